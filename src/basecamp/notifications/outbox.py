"""The outbox: notifications in the store until they are delivered (docs/sources.md, "Notices")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from basecamp.notifications.channels.channel import channels
from basecamp.notifications.messages import Messages
from basecamp.notifications.notification import (
    Message,
    Notification,
    RunEnd,
    SourceChange,
    notification_id,
)
from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.unchanged import Unchanged
from dataspec.errors import NewerFormat
from dataspec.spec.model import Target
from dataspec.store import Store, StoredObject
from dataspec.store.base import MISSING, try_delete, try_put, usable
from dataspec.stored_document import Moment, StoredDocument

PREFIX = "basecamp/outbox/"
RETENTION = timedelta(days=2)
"""A delivered notification is kept for this long, so that a change that is detected again is not sent again."""
FIRST_RETRY = timedelta(seconds=5)
MAX_RETRY_PAUSE = timedelta(minutes=15)
MAX_RETRY_AFTER = timedelta(hours=1)
"""Upper bound of the pause that a channel can ask for."""
GIVE_UP_AFTER = timedelta(hours=24)


class OutboxEntry(StoredDocument):
    """A notification with the state of its delivery; one object in the store."""

    notification: Annotated[Notification, Field(alias="notice")]
    attempts: int = 0
    """Number of failed attempts."""
    due_at: Moment
    """By the clock of the replica that wrote the entry; for readers that know no ``pause_seconds``."""
    pause_seconds: float | None = None
    """How long to wait after the last failure; None before one, and in entries of version 0.1."""
    claimed_by: str | None = None
    claimed_until: Moment | None = None
    """By the clock of the claiming replica; for readers of version 0.1."""
    failing_since: Moment | None = None
    asked_to_wait: bool = False
    """Whether the channel set the time of the next attempt (``Retry-After``)."""
    error: str | None = None
    sent_at: Moment | None = None
    given_up_at: Moment | None = None

    @classmethod
    def new(cls, notification: Notification) -> OutboxEntry:
        """Return an entry that is due at once."""
        return cls(notification=notification, due_at=notification.created_at)

    @property
    def ended_at(self) -> datetime | None:
        """Time at which it was sent or given up; None until then."""
        return self.sent_at or self.given_up_at

    def claimed(self, owner: str, until: datetime) -> OutboxEntry:
        """Return the entry claimed by a replica."""
        return self.changed(claimed_by=owner, claimed_until=until)

    def sent(self, now: datetime) -> OutboxEntry:
        """Return the entry after its delivery."""
        return self._unclaimed().changed(sent_at=now, error=None)

    def failed(self, now: datetime, reason: str, retry_after: float | None = None) -> OutboxEntry:
        """Return the entry after a failed attempt: due for a retry, or given up after a day of failures."""
        since = self.failing_since or now
        failed = self._unclaimed().changed(
            attempts=self.attempts + 1,
            failing_since=since,
            asked_to_wait=bool(retry_after),
            error=reason,
        )
        if now - since >= GIVE_UP_AFTER:
            return failed.changed(given_up_at=now)
        asked = min(timedelta(seconds=retry_after or 0), MAX_RETRY_AFTER)
        pause = max(_retry_pause(self.attempts), asked)
        return failed.changed(due_at=now + pause, pause_seconds=pause.total_seconds())

    def _unclaimed(self) -> OutboxEntry:
        return self.changed(claimed_by=None, claimed_until=None)

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON values, without a pause that is not set: as version 0.1 writes it."""
        data = super().to_json()
        return {key: value for key, value in data.items() if key != "pause_seconds" or value is not None}


class StoredEntry(NamedTuple):
    """An entry with its key and ETag in the store."""

    key: str
    etag: str
    entry: OutboxEntry


class Outbox:
    """The notifications in a store. Thread-safe.

    Args:
        store: The store.
        clock: The clock.
        messages: Writes the messages.
        objects: Notes the entries that this replica can't read.
    """

    def __init__(self, store: Store, clock: Clock, messages: Messages, objects: ObjectReader) -> None:
        self._store = store
        self._objects = objects
        self._clock = clock
        self._messages = messages
        self._known: dict[str, StoredEntry] = {}
        self._written: dict[str, datetime] = {}
        self._store_now: datetime | None = None
        self._unchanged = Unchanged(clock)
        self.on_put: Callable[[], None] = lambda: None
        """Called after a new notification was stored."""

    def announce(self, changes: Sequence[tuple[SourceChange, Sequence[Target]]]) -> None:
        """Store notifications of source changes: one message per channel, however many the changes.

        May be repeated after an interruption, with the same changes or with more of them: a change
        that is in the outbox for a channel, sent or not, is not added for it again.

        Args:
            changes: Each change with the channels of both specs, the previous and the new one.

        Raises:
            StoreUnreachable: When the store does not answer; some notifications may be stored.
        """
        by_channel: dict[str, dict[str, SourceChange]] = defaultdict(dict)
        targets_by_id: dict[str, Target] = {}
        for change, targets in changes:
            for target in channels(targets):
                channel = notification_id(target)
                targets_by_id[channel] = target
                by_channel[channel][change.key] = change
        stored = [entry.notification for _, _, entry in self.entries()]
        for channel, target in targets_by_id.items():
            known = {key for one in stored if notification_id(one.target) == channel for key in one.subjects}
            new = {key: change for key, change in sorted(by_channel[channel].items()) if key not in known}
            if new:
                self._add(target, new.keys(), self._messages.of_changes(list(new.values())))

    def announce_run(self, end: RunEnd, targets: Sequence[Target]) -> None:
        """Store notifications of the end of a run, one per channel; may be repeated.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        self.put_message(self._messages.of_end(end), [end.key], targets)

    def put_message(self, message: Message, subjects: Sequence[str], targets: Sequence[Target]) -> None:
        """Store a message, one notification per channel; may be repeated.

        Args:
            message: The message.
            subjects: What it tells: the same are not told to a channel twice.
            targets: Who is told.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        for target in channels(targets):
            self._add(target, subjects, message)

    def _add(self, target: Target, subjects: Iterable[str], message: Message) -> None:
        """Store the notification under a deterministic id, so that a repeated write is a no-op."""
        subjects = tuple(subjects)
        notification = Notification.of(
            message,
            target,
            identifier=notification_id(target, message.event, *subjects),
            created_at=self._clock.now(),
            subjects=subjects,
        )
        body = OutboxEntry.new(notification).body()
        if try_put(self._store, f"{PREFIX}{notification.id}.json", body, expected=MISSING) is not None:
            self.on_put()

    def entries(self) -> Iterable[StoredEntry]:
        """Return all entries; reads only those that changed since the last call.

        A damaged entry is moved to the quarantine: its message is not sent. One of a newer format is left to the
        replicas that can read it.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        found = list(usable(self._store.list(PREFIX)))
        self._written = {info.key: info.last_modified for info in found}
        self._store_now = None
        listed = {info.key: info.etag for info in found}
        known = {key: stored for key, stored in self._known.items() if listed.get(key) == stored.etag}
        for key, stored in self._store.get_many(listed.keys() - known.keys()).items():
            entry = self._read(stored)
            if entry is not None:
                known[key] = StoredEntry(key, stored.etag, entry)
        self._known = known
        return list(known.values())

    def unchanged_seconds(self, stored: StoredEntry) -> float:
        """Return for how long an entry has been as it is: by the store's clock at the first look, then by ours.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        return self._unchanged.seconds(stored.key, stored.etag, lambda: self._age(stored.key))

    def _age(self, key: str) -> timedelta:
        if self._store_now is None:
            self._store_now = self._store.now()
        return self._store_now - self._written.get(key, self._store_now)

    def _read(self, stored: StoredObject) -> OutboxEntry | None:
        try:
            return self._objects.read_or_remove(OutboxEntry.read, stored)
        except NewerFormat:
            return None

    @property
    def messages(self) -> Messages:
        """Writes the messages."""
        return self._messages

    def put(self, key: str, etag: str, entry: OutboxEntry) -> str | None:
        """Replace an entry; return the new ETag, or None where another replica changed it first.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        written = try_put(self._store, key, entry.body(), expected=etag)
        if written is not None:
            self._unchanged.begin(key, written)
        return written

    def sweep(self, key: str, etag: str, entry: OutboxEntry, now: datetime) -> None:
        """Remove an entry whose retention is over.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        if entry.ended_at is not None and now - entry.ended_at >= RETENTION:
            try_delete(self._store, key, expected=etag)


def _retry_pause(attempts: int) -> timedelta:
    # The exponent is bounded: a day of attempts would overflow a timedelta.
    return min(FIRST_RETRY * (1 << min(attempts, 10)), MAX_RETRY_PAUSE)
