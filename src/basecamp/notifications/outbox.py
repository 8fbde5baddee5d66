"""The outbox: what is to be told, in the store, until it was (docs/sources.md, "Notices")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from basecamp.notifications.channels.channel import channels
from basecamp.notifications.entry import Entry
from basecamp.notifications.messages import Messages
from basecamp.notifications.notice import Message, Notice, RunEnd, SourceChange, notice_id
from basecamp.shared.clock import Clock
from dataspec.spec.model import Target
from dataspec.store import Store
from dataspec.store.base import MISSING, PreconditionFailed, usable

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

        It may be repeated after any interruption, with the same changes or more of them: what is
        in the outbox for a channel, sent or not, is not told to it again.

        Args:
            changes: Each change with the channels of both specs, the going and the coming one.

        Raises:
            StoreUnreachable: When the store does not answer; some notices may be in.
        """
        by_channel: dict[str, dict[str, SourceChange]] = defaultdict(dict)
        found: dict[str, Target] = {}
        for change, targets in changes:
            for target in channels(targets):
                channel = notice_id(target)
                found[channel] = target
                by_channel[channel][change.key] = change
        notices = [entry.notice for _, _, entry in self.entries()]
        for channel, target in found.items():
            told = {key for notice in notices if notice_id(notice.target) == channel for key in notice.told}
            left = {key: change for key, change in sorted(by_channel[channel].items()) if key not in told}
            if left:
                self._tell(target, left.keys(), self._messages.of_changes(list(left.values())))

    def announce_run(self, end: RunEnd, targets: Sequence[Target]) -> None:
        """Tell of the end of a run, each channel once; it may be repeated.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        message = self._messages.of_end(end)
        for target in channels(targets):
            self._tell(target, [end.key], message)

    def _tell(self, target: Target, told: Iterable[str], message: Message) -> None:
        """Put a notice in, under a name that is made of what it tells, so that it is there once."""
        told = tuple(told)
        notice = Notice(
            id=notice_id(target, message.event, *told),
            target=target,
            message=message,
            told=told,
            created_at=self._clock.now(),
        )
        try:
            self._store.put(f"{PREFIX}{notice.id}.json", Entry.new(notice).body(), expected=MISSING)
        except PreconditionFailed:
            return
        self.on_put()

    def entries(self) -> Iterable[tuple[str, str, Entry]]:
        """Return every notice with its key and ETag, reading only what changed since the last time.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        listed = {info.key: info.etag for info in usable(self._store.list(PREFIX))}
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
