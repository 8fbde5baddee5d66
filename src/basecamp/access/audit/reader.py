"""Read the audit log, the newest entry first, a day of the store at a time."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from cachetools import LRUCache

from basecamp.access.audit.records import (
    KEPT,
    PREFIX,
    AuditIntention,
    AuditOutcome,
    AuditRecord,
    Kind,
    day_prefix,
    key_of,
    read_key,
)
from basecamp.airflow.gateway import WrongCursor
from basecamp.outages.request_budget import map_within_budget
from basecamp.shared.clock import Clock
from basecamp.shared.cursors import decode_cursor, encode_cursor
from basecamp.shared.last_known import ListPage
from basecamp.shared.object_reader import ObjectReader
from dataspec.errors import UnreadableObject
from dataspec.models import AuditEntry, AuditOutcomeWord
from dataspec.store import Store, StoredObject
from dataspec.store.base import usable

DAYS_A_PAGE = 100
"""Maximum number of days that one page lists; with fewer entries than wanted, it has a cursor all the same."""
LISTS_AT_ONCE = 8
ENTRIES_A_PAGE = 2_000
"""Maximum number of entries that one page reads."""
BATCH = 200
SETTLED = timedelta(days=2)
"""Age from which a day's list of objects changes no more."""
MAX_LISTED = 200_000
MAX_ENTRIES = 20_000
"""Maximum number of finished entries that are cached, some 1 KB each."""

_Day = Mapping[str, frozenset[Kind]]
"""The kinds of objects of each entry of a day, by its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """The filter of the audit log."""

    dataset: str | None = None
    user: str | None = None
    """The caller's name or identity."""
    since: datetime | None = None

    def matches(self, entry: AuditEntry) -> bool:
        """Return whether the filter selects an entry."""
        return (
            (self.dataset is None or entry.dataset == self.dataset)
            and (self.user is None or self.user in {entry.name, entry.identity})
            and (self.since is None or entry.at >= self.since)
        )


class AuditReader:
    """Reads the audit log. Safe to share between threads.

    Args:
        store: The store.
        clock: The clock.
        objects: Notes the objects that this replica can't read.
    """

    def __init__(self, store: Store, clock: Clock, objects: ObjectReader) -> None:
        self._store = store
        self._clock = clock
        self._objects = objects
        self._lock = threading.Lock()
        self._days: LRUCache[str, _Day] = LRUCache(MAX_LISTED, getsizeof=lambda day: len(day) + 1)
        self._entries: LRUCache[str, AuditEntry] = LRUCache(MAX_ENTRIES)
        self._listers = ThreadPoolExecutor(LISTS_AT_ONCE, thread_name_prefix="audit")

    def page(
        self,
        wanted: AuditFilter,
        *,
        limit: int,
        cursor: str | None = None,
        sees: Callable[[str | None], bool] = lambda _dataset: True,
    ) -> ListPage[AuditEntry]:
        """Return the selected entries, the newest first.

        Args:
            wanted: The filter.
            limit: The maximum number of entries.
            cursor: The ``next_cursor`` of the page before.
            sees: Returns whether the reader may see the entries of a dataset, or those without one.

        Raises:
            InvalidUsage: For a cursor of another list.
            StoreUnreachable: When the store does not answer.
        """
        before = decode_cursor(cursor, parts=1)[0] if cursor else None
        found: list[AuditEntry] = []
        read = 0
        for batch in self._batches(wanted, before):
            for entry in self._read(batch):
                if wanted.matches(entry) and sees(entry.dataset):
                    if len(found) == limit:
                        return ListPage(items=found, next_cursor=encode_cursor([found[-1].id]))
                    found.append(entry)
            read += len(batch)
            if read >= ENTRIES_A_PAGE:
                return ListPage(items=found, next_cursor=encode_cursor([min(batch)]))
        return ListPage(items=found, next_cursor=self._after_days(wanted, before))

    def _after_days(self, wanted: AuditFilter, before: str | None) -> str | None:
        """Return the cursor at the first day that a page did not list; None after the last one."""
        days = self._wanted_days(wanted, before)
        return encode_cursor([f"{days[DAYS_A_PAGE]:%Y/%m/%d}/~"]) if len(days) > DAYS_A_PAGE else None

    def _batches(self, wanted: AuditFilter, before: str | None) -> Iterator[_Day]:
        """Yield entries that were listed, the newest first."""
        prefixes = self._prefixes(self._wanted_days(wanted, before)[:DAYS_A_PAGE], before)
        groups = (prefixes[at : at + LISTS_AT_ONCE] for at in range(0, len(prefixes), LISTS_AT_ONCE))
        for group in groups:
            for day in map_within_budget(self._listers, self._listed, group):
                places = sorted((one for one in day if before is None or one < before), reverse=True)
                for start in range(0, len(places), BATCH):
                    yield {place: day[place] for place in places[start : start + BATCH]}

    def _prefixes(self, days: Sequence[date], before: str | None) -> list[str]:
        """Return the prefixes to list, the newest first: most pages end within a day, which is listed by hour."""
        by_hour = _day_of(before) if before else self._clock.now().date()
        return [
            f"{day_prefix(day)}{part}"
            for day in days
            for part in ((f"{hour:02}" for hour in reversed(range(24))) if day == by_hour else ("",))
        ]

    def _wanted_days(self, wanted: AuditFilter, before: str | None) -> list[date]:
        """Return the days to list, the newest first; the clock of another replica may be a day ahead."""
        now = self._clock.now()
        since = max(wanted.since.astimezone(UTC), now - KEPT) if wanted.since else now - KEPT
        newest, oldest = (now + timedelta(days=1)).date(), since.date()
        if before is not None:
            newest = min(newest, _day_of(before))
        return [newest - timedelta(days=back) for back in range((newest - oldest).days + 1)]

    def _listed(self, prefix: str) -> _Day:
        with self._lock:
            known = self._days.get(prefix)
        if known is not None:
            return known
        kinds: dict[str, set[Kind]] = defaultdict(set)
        for info in usable(self._store.list(prefix)):
            if found := read_key(info.key):
                kinds[found[0]].add(found[1])
        listed = {place: frozenset(found) for place, found in kinds.items()}
        day = _day_of(prefix.removeprefix(PREFIX))
        if self._clock.now().date() - day > SETTLED and len(listed) < MAX_LISTED:
            with self._lock:
                self._days[prefix] = listed
        return listed

    def _read(self, places: _Day) -> list[AuditEntry]:
        """Return listed entries, in the same order; without those that can't be read."""
        with self._lock:
            known = {place: entry for place in places if (entry := self._entries.get(place))}
        missing = [place for place in places if place not in known]
        keys = [key_of(place, kind) for place in missing for kind in places[place]]
        stored = self._store.get_many(keys) if keys else {}
        read = {place: entry for place in missing if (entry := self._entry(place, stored))}
        with self._lock:
            self._entries.update(
                {place: entry for place, entry in read.items() if entry.outcome != "unknown"}
            )
        found = known | read
        return [found[place] for place in places if place in found]

    def _entry(self, place: str, stored: Mapping[str, StoredObject]) -> AuditEntry | None:
        whole, begun = stored.get(key_of(place, "entry")), stored.get(key_of(place, "intention"))
        ended = stored.get(key_of(place, "outcome"))
        try:
            if whole is not None:
                record = self._objects.read(AuditRecord.read, whole)
                return entry_of(place, record, record.outcome)
            if begun is None:
                return None
            outcome = self._objects.read(AuditOutcome.read, ended) if ended else None
            return entry_of(place, self._objects.read(AuditIntention.read, begun), outcome)
        except UnreadableObject:
            return None  # noted by the reader, and shown by /readyz


def entry_of(place: str, intention: AuditIntention, outcome: AuditOutcome | None) -> AuditEntry:
    """Return an entry as the API shows it."""
    told = outcome or AuditOutcome(at=intention.at, status=0)
    return AuditEntry(
        id=place,
        at=intention.at,
        name=told.name or intention.name,
        method=intention.method,
        identity=told.identity or intention.identity,
        role=intention.role,
        action=intention.action,
        dataset=told.dataset or intention.dataset,
        run_id=told.run_id or intention.run_id,
        backfill_id=told.backfill_id or intention.backfill_id,
        subject=told.subject or intention.subject,
        spec_hash_before=told.spec_hash_before,
        spec_hash_after=told.spec_hash_after,
        reason=intention.reason,
        address=intention.address,
        request_id=intention.request_id,
        replica=intention.replica,
        outcome=_word(outcome),
        finished_at=outcome.at if outcome else None,
        status=outcome.status if outcome else None,
        code=told.code,
        title=told.title,
        count=told.count,
    )


def _word(outcome: AuditOutcome | None) -> AuditOutcomeWord:
    if outcome is None:
        return "unknown"
    if outcome.status < 400:  # noqa: PLR2004 - the statuses of success
        return "repeated" if outcome.repeated else "done"
    return "failed" if outcome.status >= 500 else "refused"  # noqa: PLR2004


def _day_of(place: str) -> date:
    """Return the day of a place in a cursor.

    Raises:
        WrongCursor: When it is no place.
    """
    try:
        return datetime.strptime(place[:10], "%Y/%m/%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise WrongCursor from None
