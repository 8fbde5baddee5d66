"""Delivery of the outbox by every replica (docs/sources.md, "Notices").

A replica claims an entry by compare-and-swap, sends it, and marks it as sent. Each channel with
due entries has a thread of its own, so that a channel that hangs does not delay the others.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from basecamp.notifications.channels.channel import SendFailed, channel_name
from basecamp.notifications.channels.sending import Sender
from basecamp.notifications.notification import notification_id
from basecamp.notifications.outbox import Outbox, OutboxEntry, StoredEntry
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock
from dataspec.errors import StoreUnreachable

log = logging.getLogger(__name__)

CLAIM = timedelta(seconds=60)
SEND_SECONDS = 40.0
"""Time limit of one message; shorter than a claim, so that no other replica sends it meanwhile."""
POLL_SECONDS = 10.0
"""Interval of the polls; a notification that this replica stores triggers one at once."""
SHORTEST_PAUSE = 0.2
MAX_WORKERS = 64
"""Maximum number of channels that are sent to in parallel."""
FAILURES_UNTIL_DOWN = 2
"""After this many consecutive failures a channel counts as down: new entries wait for the next retry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingChannel:
    """A channel that does not accept messages."""

    name: str
    since: datetime
    error: str
    waiting: int
    """Number of waiting messages."""
    given_up: int
    """Number of messages given up after a day of attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxState:
    """The notifications that are not delivered, as of a poll."""

    pending: int
    failing: int
    """Those of the pending ones that a channel did not accept yet."""
    given_up: int
    """Those given up within the time for which the outbox keeps them."""
    oldest: datetime | None
    """When the oldest pending one was created."""

    @classmethod
    def of(cls, entries: Iterable[OutboxEntry]) -> OutboxState:
        """Return the state of an outbox with these entries."""
        kept = list(entries)
        pending = [entry for entry in kept if entry.ended_at is None]
        return cls(
            pending=len(pending),
            failing=sum(entry.attempts > 0 for entry in pending),
            given_up=sum(entry.given_up_at is not None for entry in kept),
            oldest=min((entry.notification.created_at for entry in pending), default=None),
        )


@dataclass(slots=True)
class _Worker:
    """State of the thread that sends to one channel."""

    sending: StoredEntry | None = None
    since: float = 0.0
    abandoned: bool = False


class Delivery:
    """Sends due entries continuously.

    Args:
        outbox: The outbox.
        sender: Sends a notification to its channel.
        clock: The clock.
        owner: Unique name of this replica.
    """

    def __init__(self, outbox: Outbox, sender: Sender, clock: Clock, owner: str) -> None:
        self._outbox = outbox
        self._sender = sender
        self._clock = clock
        self._owner = owner
        self.loop = BackgroundLoop("delivery of notifications", self.poll, retry_seconds=POLL_SECONDS)
        self._state = threading.Condition()
        self._workers: dict[str, _Worker] = {}
        self._unmarked: set[str] = set()
        self._failing: tuple[FailingChannel, ...] = ()
        self._outbox_state: OutboxState | None = None
        self._ending = False
        outbox.on_put = self.loop.wake

    def end(self, seconds: float) -> None:
        """Start no new sends, and wait for those under way: a sent message must be marked as sent."""
        self._ending = True
        self.loop.end()
        self.wait_until_idle(seconds)

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no send is under way; return False on timeout."""
        with self._state:
            return self._state.wait_for(lambda: not self._busy(), timeout=seconds)

    def failing(self) -> tuple[FailingChannel, ...]:
        """Return the channels that do not accept messages, as of the last poll."""
        return self._failing

    def outbox_state(self) -> OutboxState | None:
        """Return the state of the outbox as of the last poll; None before the first one."""
        return self._outbox_state

    def poll(self) -> float:
        """Send due entries, each channel in its own thread; return the seconds until the next poll."""
        try:
            stored = list(self._outbox.entries())
            now = self._clock.now()
            self._abandon_hanging_workers(now)
            waiting = self._unsent(stored, now)
            waits = {
                one.key: _until_due(one.entry, self._outbox.unchanged_seconds(one), now) for one in waiting
            }
        except StoreUnreachable as error:
            log.warning("The outbox could not be read: %s %s", error.title, error.detail)
            return POLL_SECONDS
        by_channel: dict[str, list[StoredEntry]] = defaultdict(list)
        for found in waiting:
            by_channel[notification_id(found.entry.notification.target)].append(found)
        entries_known = [entry for _, _, entry in stored]
        self._failing = tuple(_failing_channels(entries_known))
        self._outbox_state = OutboxState.of(entries_known)
        for channel, entries in by_channel.items():
            self._start_worker(channel, _due(entries, waits))
        return _pause(waits.values())

    def _unsent(self, stored: list[StoredEntry], now: datetime) -> list[StoredEntry]:
        """Return the unsent entries; mark entries whose mark failed after sending, and sweep old ones."""
        waiting = []
        for key, etag, entry in stored:
            if entry.ended_at is not None:
                self._unmarked.discard(key)
                self._outbox.sweep(key, etag, entry, now)
            elif key in self._unmarked:
                self._outbox.put(key, etag, entry.sent(now))
            else:
                waiting.append(StoredEntry(key, etag, entry))
        return waiting

    def _start_worker(self, channel: str, due: Sequence[StoredEntry]) -> None:
        with self._state:
            if not due or self._ending or channel in self._workers or self._busy() >= MAX_WORKERS:
                return
            worker = self._workers[channel] = _Worker()
        name = f"deliver-{channel[:8]}"
        threading.Thread(target=self._send_all, args=(channel, worker, due), name=name, daemon=True).start()

    def _busy(self) -> int:
        return sum(not worker.abandoned for worker in self._workers.values())

    def _send_all(self, channel: str, worker: _Worker, due: Sequence[StoredEntry]) -> None:
        """Send the due entries of a channel in order, until it counts as down."""
        failures = 0
        try:
            for stored in due:
                if self._ending or worker.abandoned:
                    return
                failures = 0 if self._send(worker, stored) else failures + 1
                if failures >= FAILURES_UNTIL_DOWN:
                    return
            if not failures:
                self.loop.wake()  # for entries stored meanwhile
        except _AskedToWait:
            return
        except StoreUnreachable as error:
            log.warning("The outbox could not be written: %s %s", error.title, error.detail)
        finally:
            with self._state:
                del self._workers[channel]
                self._state.notify_all()

    def _send(self, worker: _Worker, stored: StoredEntry) -> bool:
        """Claim an entry, send it, and store the result; return False if the channel failed."""
        key, etag, entry = stored
        now = self._clock.now()
        claimed = entry.claimed(self._owner, now + CLAIM)
        claim = self._outbox.put(key, etag, claimed)
        if claim is None:
            return True  # claimed by another replica
        worker.since = self._clock.monotonic()
        worker.sending = StoredEntry(key, claim, claimed)
        failure = self._failure(entry)
        with self._state:
            worker.sending = None
            if worker.abandoned and failure is not None:
                return False
        if failure is None:
            self._mark_sent(key, claim, claimed)
            return True
        failed = claimed.failed(self._clock.now(), failure.reason, failure.retry_after)
        self._outbox.put(key, claim, failed)
        _log_failure(failed)
        if failed.asked_to_wait:
            raise _AskedToWait
        return False

    def _failure(self, entry: OutboxEntry) -> SendFailed | None:
        try:
            self._sender.send(entry.notification)
        except SendFailed as failure:
            return failure
        except Exception as error:  # noqa: BLE001 - a library's error must not stop other channels
            # The error's text may contain an address with a secret.
            return SendFailed(f"sending failed ({type(error).__name__})")
        return None

    def _mark_sent(self, key: str, claim: str, claimed: OutboxEntry) -> None:
        self._unmarked.add(key)  # this replica does not send it again until it has read the mark
        log.info("Sent to %s: %s", channel_name(claimed.notification.target), claimed.notification.title)
        self._outbox.put(key, claim, claimed.sent(self._clock.now()))

    def _abandon_hanging_workers(self, now: datetime) -> None:
        """Record a failed attempt for each send that exceeds its time limit.

        The thread is left running; this replica starts no other for the channel until it ends.
        """
        with self._state:
            hanging = [
                worker
                for worker in self._workers.values()
                if worker.sending
                and self._clock.monotonic() - worker.since > SEND_SECONDS
                and not worker.abandoned
            ]
            for worker in hanging:
                worker.abandoned = True
        for worker in hanging:
            if worker.sending is not None:
                key, claim, claimed = worker.sending
                failed = claimed.failed(now, f"no answer within {SEND_SECONDS:.0f} s")
                self._outbox.put(key, claim, failed)
                _log_failure(failed)


class _AskedToWait(Exception):
    """The channel set the time of the next attempt."""


def _until_due(entry: OutboxEntry, unchanged: float, now: datetime) -> float:
    """Return the seconds until a replica may send an entry; at most 0 if one may now.

    Args:
        entry: The entry.
        unchanged: For how long it has been as it is: replicas don't compare their clocks.
        now: The time, for failed entries of version 0.1.
    """
    if entry.claimed_by is not None:
        return CLAIM.total_seconds() - unchanged
    if entry.pause_seconds is not None:
        return entry.pause_seconds - unchanged
    return (entry.due_at - now).total_seconds() if entry.attempts else 0.0


def _due(entries: Sequence[StoredEntry], waits: Mapping[str, float]) -> list[StoredEntry]:
    """Return the entries to send to a channel now: retries first, then new ones, each by age.

    While the channel is down, new entries wait until a retry is due.
    """
    failed = [stored for stored in entries if stored.entry.attempts]
    down = len(failed) >= FAILURES_UNTIL_DOWN or any(entry.asked_to_wait for _, _, entry in failed)
    ready = [one for one in entries if waits[one.key] <= 0]
    if down and not any(entry.attempts for _, _, entry in ready):
        return []
    return sorted(ready, key=lambda one: (not one.entry.attempts, one.entry.notification.created_at, one.key))


def _pause(waits: Iterable[float]) -> float:
    """Return the seconds until the next entry may be due, at most the polling interval."""
    soonest = min((seconds for seconds in waits if seconds > 0), default=POLL_SECONDS)
    return min(max(soonest, SHORTEST_PAUSE), POLL_SECONDS)


def _failing_channels(entries: Sequence[OutboxEntry]) -> Iterable[FailingChannel]:
    by_channel: dict[str, list[OutboxEntry]] = defaultdict(list)
    for entry in entries:
        by_channel[notification_id(entry.notification.target)].append(entry)
    for of_channel in by_channel.values():
        last_sent = max((entry.sent_at for entry in of_channel if entry.sent_at), default=None)
        given_up = [
            entry
            for entry in of_channel
            if entry.given_up_at and (last_sent is None or entry.given_up_at > last_sent)
        ]
        waiting = [entry for entry in of_channel if entry.ended_at is None]
        failing = [entry for entry in (*waiting, *given_up) if entry.failing_since and entry.error]
        if failing:
            first = min(failing, key=lambda entry: entry.failing_since or entry.due_at)
            yield FailingChannel(
                name=channel_name(first.notification.target),
                since=first.failing_since or first.due_at,
                error=first.error or "",
                waiting=len(waiting),
                given_up=len(given_up),
            )


def _log_failure(entry: OutboxEntry) -> None:
    name, title = channel_name(entry.notification.target), entry.notification.title
    if entry.given_up_at:
        log.error(
            "Gave up sending to %s '%s' after %d attempts: %s.", name, title, entry.attempts, entry.error
        )
    else:
        log.warning(
            "%s did not accept '%s' (attempt %d; next at %s): %s.",
            name,
            title,
            entry.attempts,
            f"{entry.due_at:%H:%M:%S}",
            entry.error,
        )
