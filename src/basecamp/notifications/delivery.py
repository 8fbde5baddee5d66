"""Delivers what is in the outbox, on every replica (docs/sources.md, "Notices").

A replica claims a notice by compare-and-swap, sends it, and marks it sent. Each channel
has a thread of its own while there is something for it, so one that hangs holds up no other.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from basecamp.notifications.channels.channel import SendFailed, channel_name
from basecamp.notifications.channels.sending import Sender
from basecamp.notifications.entry import Entry
from basecamp.notifications.notice import notice_id
from basecamp.notifications.outbox import Outbox
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock
from dataspec.errors import StoreUnreachable

log = logging.getLogger(__name__)

CLAIM = timedelta(seconds=60)
SEND_SECONDS = 40.0
"""How long a channel may take for one message; less than a claim, so that nobody sends it meanwhile."""
LOOK_SECONDS = 10.0
"""How often the outbox is looked at when nothing was put in by this replica."""
SHORTEST_PAUSE = 0.2
MAX_TURNS = 64
"""How many channels are sent to at once."""
FAILURES_IN_A_ROW = 2
"""After so many a channel counts as down, and what is new for it waits with the rest."""

Held = tuple[str, str, "Entry"]
"""A notice in the outbox: its key, its ETag, and itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingChannel:
    """A channel that does not take its messages."""

    name: str
    since: datetime
    error: str
    waiting: int
    """How many messages wait for it."""
    given_up: int
    """How many messages were given up after a day of attempts."""


@dataclass(slots=True)
class _Turn:
    """The thread that sends to one channel."""

    sending: Held | None = None
    since: float = 0.0
    abandoned: bool = False


class Delivery:
    """Sends what is due, again and again.

    Args:
        outbox: Where the notices are.
        sender: What takes them to their channels.
        clock: The time.
        owner: Names this replica among all.
    """

    def __init__(self, outbox: Outbox, sender: Sender, clock: Clock, owner: str) -> None:
        self._outbox = outbox
        self._sender = sender
        self._clock = clock
        self._owner = owner
        self.loop = BackgroundLoop("delivery of notifications", self.look, retry_seconds=LOOK_SECONDS)
        self._state = threading.Condition()
        self._turns: dict[str, _Turn] = {}
        self._unmarked: set[str] = set()
        self._failing: tuple[FailingChannel, ...] = ()
        self._ending = False
        outbox.on_put = self.loop.wake

    def end(self, seconds: float) -> None:
        """Begin nothing new, and let what is being sent arrive: a message that was sent must be marked."""
        self._ending = True
        self.loop.end()
        self.wait_until_idle(seconds)

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until nothing is being sent; say whether that came true in time."""
        with self._state:
            return self._state.wait_for(lambda: not self._busy(), timeout=seconds)

    def failing(self) -> tuple[FailingChannel, ...]:
        """Return the channels that do not take their messages, as of the last look."""
        return self._failing

    def look(self) -> float:
        """Send what is due, each channel in its own thread; return the seconds until the next look."""
        try:
            held = list(self._outbox.entries())
            now = self._clock.now()
            self._abandon_those_that_hang(now)
            waiting = self._without_done(held, now)
        except StoreUnreachable as error:
            log.warning("The outbox could not be read: %s %s", error.title, error.detail)
            return LOOK_SECONDS
        by_channel: dict[str, list[Held]] = defaultdict(list)
        for found in waiting:
            by_channel[notice_id(found[2].notice.target)].append(found)
        self._failing = tuple(_failing_channels([entry for _, _, entry in held]))
        for channel, its in by_channel.items():
            self._begin_turn(channel, _due(its, now))
        return _pause((entry for _, _, entry in waiting), now)

    def _without_done(self, held: list[Held], now: datetime) -> list[Held]:
        """Return what is still to be sent; mark what was sent and could not be marked, sweep what is old."""
        waiting = []
        for key, etag, entry in held:
            if entry.ended_at is not None:
                self._unmarked.discard(key)
                self._outbox.sweep(key, etag, entry, now)
            elif key in self._unmarked:
                self._outbox.put(key, etag, entry.sent(now))
            else:
                waiting.append((key, etag, entry))
        return waiting

    def _begin_turn(self, channel: str, due: Sequence[Held]) -> None:
        with self._state:
            if not due or self._ending or channel in self._turns or self._busy() >= MAX_TURNS:
                return
            turn = self._turns[channel] = _Turn()
        name = f"deliver-{channel[:8]}"
        threading.Thread(target=self._take_turn, args=(channel, turn, due), name=name, daemon=True).start()

    def _busy(self) -> int:
        return sum(not turn.abandoned for turn in self._turns.values())

    def _take_turn(self, channel: str, turn: _Turn, due: Sequence[Held]) -> None:
        """Send a channel what is due for it, in order, until it is found to be down."""
        failures = 0
        try:
            for held in due:
                if self._ending or turn.abandoned:
                    return
                failures = 0 if self._send(turn, held) else failures + 1
                if failures >= FAILURES_IN_A_ROW:
                    return
            if not failures:
                self.loop.wake()  # for what was put in meanwhile
        except _AskedToWait:
            return
        except StoreUnreachable as error:
            log.warning("The outbox could not be written: %s %s", error.title, error.detail)
        finally:
            with self._state:
                del self._turns[channel]
                self._state.notify_all()

    def _send(self, turn: _Turn, held: Held) -> bool:
        """Claim a notice, send it, and mark what became of it; say whether the channel may be well."""
        key, etag, entry = held
        now = self._clock.now()
        claimed = entry.claimed(self._owner, now + CLAIM)
        claim = self._outbox.put(key, etag, claimed)
        if claim is None:
            return True  # another replica has it
        turn.since = self._clock.monotonic()
        turn.sending = key, claim, claimed
        failure = self._failure(entry)
        with self._state:
            turn.sending = None
            if turn.abandoned and failure is not None:
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

    def _failure(self, entry: Entry) -> SendFailed | None:
        try:
            self._sender.send(entry.notice)
        except SendFailed as failure:
            return failure
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the other channels go on
            # Its text may hold an address with a secret in it.
            return SendFailed(f"sending it failed ({type(error).__name__})")
        return None

    def _mark_sent(self, key: str, claim: str, claimed: Entry) -> None:
        self._unmarked.add(key)  # until it is seen marked, it is not sent again by this replica
        log.info("Told %s: %s", channel_name(claimed.notice.target), claimed.notice.message.title)
        self._outbox.put(key, claim, claimed.sent(self._clock.now()))

    def _abandon_those_that_hang(self, now: datetime) -> None:
        """Let a message count as not taken that a channel neither takes nor refuses.

        The thread is left to itself; its channel gets no other one here until it has ended.
        """
        with self._state:
            hanging = [
                turn
                for turn in self._turns.values()
                if turn.sending and self._clock.monotonic() - turn.since > SEND_SECONDS and not turn.abandoned
            ]
            for turn in hanging:
                turn.abandoned = True
        for turn in hanging:
            if turn.sending is not None:
                key, claim, claimed = turn.sending
                failed = claimed.failed(now, f"no answer within {SEND_SECONDS:.0f} s")
                self._outbox.put(key, claim, failed)
                _log_failure(failed)


class _AskedToWait(Exception):
    """The channel said when to come again."""


def _due(its: Sequence[Held], now: datetime) -> list[Held]:
    """Return what is to be sent to a channel now: what failed before first, then what is new, by age.

    What is new waits while the channel is known to be down, until something that failed is due.
    """
    failed = [held for held in its if held[2].attempts]
    down = len(failed) >= FAILURES_IN_A_ROW or any(entry.asked_to_wait for _, _, entry in failed)
    ready = [held for held in its if held[2].due_at <= now and not held[2].is_claimed(now)]
    if down and not any(entry.attempts for _, _, entry in ready):
        return []
    return sorted(ready, key=lambda held: (not held[2].attempts, held[2].notice.created_at, held[0]))


def _pause(waiting: Iterable[Entry], now: datetime) -> float:
    """Return the seconds until something may be due, at most those of a look."""
    moments = (
        max(entry.due_at, entry.claimed_until or entry.due_at)
        for entry in waiting
        if entry.due_at > now or entry.is_claimed(now)
    )
    soonest = min(((moment - now).total_seconds() for moment in moments), default=LOOK_SECONDS)
    return min(max(soonest, SHORTEST_PAUSE), LOOK_SECONDS)


def _failing_channels(entries: Sequence[Entry]) -> Iterable[FailingChannel]:
    by_channel: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_channel[notice_id(entry.notice.target)].append(entry)
    for its in by_channel.values():
        last_sent = max((entry.sent_at for entry in its if entry.sent_at), default=None)
        given_up = [
            entry
            for entry in its
            if entry.given_up_at and (last_sent is None or entry.given_up_at > last_sent)
        ]
        waiting = [entry for entry in its if entry.ended_at is None]
        failing = [entry for entry in (*waiting, *given_up) if entry.failing_since and entry.error]
        if failing:
            first = min(failing, key=lambda entry: entry.failing_since or entry.due_at)
            yield FailingChannel(
                name=channel_name(first.notice.target),
                since=first.failing_since or first.due_at,
                error=first.error or "",
                waiting=len(waiting),
                given_up=len(given_up),
            )


def _log_failure(entry: Entry) -> None:
    name, title = channel_name(entry.notice.target), entry.notice.message.title
    if entry.given_up_at:
        log.error("Gave up telling %s '%s' after %d attempts: %s.", name, title, entry.attempts, entry.error)
    else:
        log.warning(
            "%s did not take '%s' (attempt %d; again at %s): %s.",
            name,
            title,
            entry.attempts,
            f"{entry.due_at:%H:%M:%S}",
            entry.error,
        )
