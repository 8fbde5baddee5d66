"""The outbox: what is to be told, in the store, until it was (docs/sources.md, "Notices")."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from basecamp.notifications.channels import channels
from basecamp.notifications.entry import Entry
from basecamp.notifications.notice import Notice, notice_id
from dataspec.store.base import MISSING, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from basecamp.notifications.messages import Messages
    from basecamp.notifications.notice import Message, RunEnd, SourceChange
    from basecamp.services.clock import Clock
    from dataspec.spec import Target
    from dataspec.store import Store

T = TypeVar("T")

PREFIX = "basecamp/outbox/"
KEPT = timedelta(days=2)
"""How long a notice stays once it was sent, so that what is found again is not told again."""


class Outbox:
    """The notices in a store. Safe to share between threads.

    Args:
        store: Where they are.
        clock: The time.
        messages: Writes what they say.
    """

    def __init__(self, store: Store, clock: Clock, messages: Messages) -> None:
        self._store = store
        self._clock = clock
        self._messages = messages
        self._known: dict[str, tuple[str, Entry]] = {}
        self.on_put: Callable[[], None] = lambda: None
        """Called when something was put in."""

    def announce(self, changes: Sequence[tuple[SourceChange, Sequence[Target]]]) -> None:
        """Tell of changes of source: one message for each channel, whatever number of changes.

        It may be repeated after any interruption, with the same changes or more of them: what a
        channel was told by a check of the same ledger is not told again.

        Args:
            changes: Each change with the channels of both specs, the going and the coming one.

        Raises:
            StoreUnreachable: When the store does not answer; some notices may be in.
        """
        by_channel: dict[str, list[SourceChange]] = defaultdict(list)
        found: dict[str, Target] = {}
        for change, targets in changes:
            for target in channels(targets):
                place = notice_id(target, "source_change", change.ledger_etag)
                found[place] = target
                by_channel[place].append(change)
        for place, target in found.items():
            told = {_key(change): change for change in by_channel[place]}
            self._tell(target, place, told, self._messages.of_changes)

    def announce_run(self, end: RunEnd, targets: Sequence[Target]) -> None:
        """Tell of the end of a run, each channel once; it may be repeated.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        message = self._messages.of_end(end)
        for target in channels(targets):
            place = notice_id(target, end.event, end.key)
            self._tell(target, place, {end.key: end}, lambda _: message)

    def _tell(
        self, target: Target, place: str, told: Mapping[str, T], write: Callable[[list[T]], Message]
    ) -> None:
        """Put in one notice of what was not told at this place yet.

        The first notice of a place is created under the same name by whoever comes; who finds it
        there tells only what it leaves out, under the next name.
        """
        left, number = dict(told), 0
        while left:
            notice = Notice(
                id=notice_id(target, place, number),
                target=target,
                message=write(list(left.values())),
                told=tuple(left),
                created_at=self._clock.now(),
            )
            before = self._put_new(notice)
            if before is None:
                self.on_put()
                return
            left = {key: value for key, value in left.items() if key not in before}
            number += 1

    def _put_new(self, notice: Notice) -> tuple[str, ...] | None:
        """Put a notice in; return what the one tells that is there already."""
        key = f"{PREFIX}{notice.id}.json"
        try:
            self._store.put(key, Entry.new(notice).body(), expected=MISSING)
        except PreconditionFailed:
            stored = self._store.get(key)
            entry = Entry.read(stored.body) if stored else None
            return entry.notice.told if entry else notice.told
        return None

    def entries(self) -> Iterable[tuple[str, str, Entry]]:
        """Return every notice with its key and ETag, reading only what changed since the last time.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        listed = {info.key: info.etag for info in self._store.list(PREFIX)}
        known = {key: kept for key, kept in self._known.items() if listed.get(key) == kept[0]}
        for key, stored in self._store.get_many(listed.keys() - known.keys()).items():
            entry = Entry.read(stored.body)
            if entry is not None:
                known[key] = stored.etag, entry
        self._known = known
        return [(key, etag, entry) for key, (etag, entry) in known.items()]

    def put(self, key: str, etag: str, entry: Entry) -> str | None:
        """Replace a notice; return the new ETag, or None where somebody else was first.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        try:
            return self._store.put(key, entry.body(), expected=etag)
        except PreconditionFailed:
            return None

    def sweep(self, key: str, etag: str, entry: Entry, now: datetime) -> None:
        """Remove a notice whose time is over.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        if entry.ended_at is None or now - entry.ended_at < KEPT:
            return
        try:
            self._store.delete(key, expected=etag)
        except PreconditionFailed:
            return  # another replica sweeps as well


def _key(change: SourceChange) -> str:
    return f"{change.dataset}/{change.before}/{change.after}"
