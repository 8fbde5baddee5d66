"""The daily housekeeping: remove stored objects that nothing needs any more (docs/server.md, "What stays how long").

Each removal is conditional, and an object of a newer format is never removed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice

from basecamp.access.audit.records import KEPT as AUDIT_STAYS
from basecamp.access.audit.records import AuditRecord, day_prefix, month_prefix
from basecamp.access.logins import PREFIX as LOGINS_PREFIX
from basecamp.access.logins import LoginRecord
from basecamp.access.sessions.records import PREFIX as SESSIONS_PREFIX
from basecamp.access.sessions.records import SessionRecord
from basecamp.access.tokens import TokenRecord, Tokens
from basecamp.backfills.plans import CHAINS_PREFIX, ENDED_PREFIX
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.idempotency import PREFIX as IDEMPOTENCY_PREFIX
from basecamp.shared.idempotency import ReservationRecord
from basecamp.shared.object_reader import QUARANTINE_PREFIX, ObjectReader
from basecamp.sync.history_repair import HistoryRepair
from dataspec.catalog.ledger import VERSIONS_PREFIX, ArchivedVersion, hash_of
from dataspec.catalog.version_archive import KeptVersions
from dataspec.catalog.version_history import HISTORY_PREFIX, VersionHistory, VersionRecord
from dataspec.schedule.backfill_plan import BackfillPlan
from dataspec.store import Store, StoredObject
from dataspec.store.base import ObjectInfo, etag_of, try_delete, try_put, usable
from dataspec.stored_document import Moment, StoredDocument

log = logging.getLogger(__name__)

KEY = "basecamp/housekeeping.json"
PROBE_PREFIX = "basecamp/probe-"
"""The objects of the test of conditional writes; one stays when the server is killed during it."""
INTERVAL = timedelta(days=1)
LOOK_SECONDS = 3600.0
"""Seconds between two looks at whether the last housekeeping is a day old."""
RETRY_SECONDS = 10.0

VERSIONS_STAY = timedelta(days=400)
BACKFILLS_STAY = timedelta(days=400)
NEWEST_KEPT = 20
"""Number of versions, and of ended backfills, of a dataset that stay whatever their age."""
QUARANTINE_STAYS = timedelta(days=90)
IDEMPOTENCY_STAYS = timedelta(days=2)
SESSIONS_STAY = timedelta(days=1)
"""Longer than a session goes on without use, which is noted every 15 minutes."""
PROBES_STAY = timedelta(days=1)
AUDIT_MONTHS = 24
"""Number of months that are looked through before the audit log's time: a server may have been off that long."""
AUDIT_A_DAY = 50_000
"""Maximum number of objects of the audit log that one day's housekeeping removes."""
LOGINS_STAY = timedelta(days=1)
BATCH = 500
"""Number of objects that are read at a time."""


class HousekeepingRecord(StoredDocument):
    """When the last housekeeping began; one object in the store."""

    began_at: Moment


class Housekeeping:
    """Cleans the store once a day, on whichever replica begins first.

    Args:
        store: The store.
        specs: The specs and the ledger, which name versions.
        archive: The versions of all datasets.
        history: Which versions there are of which dataset.
        repair: Completes the history.
        tokens: The API tokens.
        objects: Notes a record that this replica can't read.
    """

    def __init__(
        self,
        store: Store,
        specs: CatalogCache,
        *,
        archive: KeptVersions,
        history: VersionHistory,
        repair: HistoryRepair,
        tokens: Tokens,
        objects: ObjectReader,
    ) -> None:
        self._store = store
        self._specs = specs
        self._archive = archive
        self._history = history
        self._repair = repair
        self._tokens = tokens
        self._objects = objects
        self.loop = BackgroundLoop("daily housekeeping", self.turn, retry_seconds=RETRY_SECONDS)

    def turn(self) -> float:
        """Clean the store if the last housekeeping is a day old; return the seconds until the next look.

        Raises:
            NewerFormat: When a newer version of Basecamp wrote the record: its replicas clean the store.
            StoreUnreachable: When the store does not answer.
        """
        if self._claim():
            self.clean()
            self.expire_audit_log()
        return LOOK_SECONDS

    def clean(self) -> int:
        """Remove what nothing needs any more; return the number of removed objects.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        self._repair.complete()
        removed = sum(
            (
                self._remove(self._old_versions(), ArchivedVersion.is_newer),
                self._remove(self._old_history(), VersionRecord.is_newer),
                self._remove(self._old_backfills(), BackfillPlan.is_newer),
                self._remove(self._tokens.ended(), TokenRecord.is_newer),
                self._remove(self._old(IDEMPOTENCY_PREFIX, IDEMPOTENCY_STAYS), ReservationRecord.is_newer),
                self._remove(self._old(SESSIONS_PREFIX, SESSIONS_STAY), SessionRecord.is_newer),
                self._remove(self._old(QUARANTINE_PREFIX, QUARANTINE_STAYS)),
                self._remove(self._old(PROBE_PREFIX, PROBES_STAY)),
                self._remove(self._old(LOGINS_PREFIX, LOGINS_STAY), LoginRecord.is_newer),
            )
        )
        log.info("Housekeeping: removed %d objects that nothing needs any more", removed)
        return removed

    def expire_audit_log(self) -> int:
        """Remove the oldest days of the audit log; return the number of removed objects.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        removed = self._remove(islice(self._old_audit(), AUDIT_A_DAY), AuditRecord.is_newer)
        log.info("Housekeeping: removed %d objects of the audit log", removed)
        return removed

    def _claim(self) -> bool:
        """Take the housekeeping of this day, by compare-and-swap of the record; return False if it is taken."""
        now, stored = self._store.now(), self._store.get(KEY)
        last = self._objects.read_or_put_aside(HousekeepingRecord.read, stored) if stored else None
        if last is not None and abs(now - last.began_at) < INTERVAL:
            return False
        body = (last.changed(began_at=now) if last else HousekeepingRecord(began_at=now)).body()
        return try_put(self._store, KEY, body, expected=etag_of(stored)) is not None

    def _old(self, prefix: str, stays: timedelta) -> Iterator[ObjectInfo]:
        """Yield the objects under a prefix that were last written before their time."""
        before = self._store.now() - stays
        return (info for info in usable(self._store.list(prefix)) if info.last_modified < before)

    def _old_audit(self) -> Iterator[ObjectInfo]:
        """Yield the audit log of the days before its time: of the last day's month by day, of earlier ones by month."""
        last = (self._store.now() - AUDIT_STAYS).date()
        prefixes = [day_prefix(last - timedelta(days=back)) for back in range(1, last.day)]
        month = last
        for _ in range(AUDIT_MONTHS):
            month = month.replace(day=1) - timedelta(days=1)
            prefixes.append(month_prefix(month))
        return (info for prefix in prefixes for info in usable(self._store.list(prefix)))

    def _old_backfills(self) -> list[ObjectInfo]:
        by_dataset: dict[str, list[ObjectInfo]] = defaultdict(list)
        for prefix in (ENDED_PREFIX, CHAINS_PREFIX):
            for info in usable(self._store.list(prefix)):
                by_dataset[info.key.rpartition("/")[0]].append(info)
        before = self._store.now() - BACKFILLS_STAY
        older = (_beyond_newest(ended) for ended in by_dataset.values())
        return [info for ended in older for info in ended if info.last_modified < before]

    def _old_versions(self) -> list[ObjectInfo]:
        """Return old versions that neither the ledger nor a spec names, without the newest ones of each dataset."""
        old = {info.key: info for info in self._old(VERSIONS_PREFIX, VERSIONS_STAY)}
        catalog = self._specs.catalog(fresh=True)
        if not old or catalog.ledger_error is not None:
            return []
        used = {
            kept.spec_hash for entry in catalog.ledger.entries.values() for kept in entry.versions.values()
        }
        for files in (catalog.effective, catalog.overridden, catalog.retired):
            used |= {file.spec_hash for file in files.values() if file.spec_hash}
        by_dataset: dict[str, list[ObjectInfo]] = defaultdict(list)
        names = {entry.spec_hash: entry.name for entry in self._history.all()}
        for info in usable(self._store.list(VERSIONS_PREFIX)):
            if (name := names.get(hash_of(info.key))) is not None:
                by_dataset[name].append(info)
        unused = (info.key for infos in by_dataset.values() for info in _beyond_newest(infos))
        return [old[key] for key in unused if key in old and hash_of(key) not in used]

    def _old_history(self) -> list[ObjectInfo]:
        """Return old records of versions that are kept no more, or that were written again since."""
        old = list(self._old(HISTORY_PREFIX, VERSIONS_STAY))
        if not old:
            return []
        newest = {entry.version: entry for entry in sorted(self._history.all(), key=lambda entry: entry.at)}
        kept = self._archive.hashes()
        needed = {entry.key for entry in newest.values() if entry.spec_hash in kept}
        return [info for info in old if info.key not in needed]

    def _remove(
        self, listed: Iterable[ObjectInfo], is_newer: Callable[[StoredObject], bool] | None = None
    ) -> int:
        """Remove objects that have not changed since they were listed; return how many.

        Args:
            listed: The objects.
            is_newer: Tells whether an object has a newer format, and stays; None where that is known already.
        """
        infos, removed = list(listed), 0
        for start in range(0, len(infos), BATCH):
            batch = infos[start : start + BATCH]
            found = self._store.get_many([info.key for info in batch]) if is_newer else {}
            for info in batch:
                stored = found.get(info.key)
                if is_newer and (stored is None or stored.etag != info.etag or is_newer(stored)):
                    continue
                removed += try_delete(self._store, info.key, expected=info.etag)
        return removed


def _beyond_newest(infos: list[ObjectInfo]) -> list[ObjectInfo]:
    return sorted(infos, key=lambda info: info.last_modified, reverse=True)[NEWEST_KEPT:]
