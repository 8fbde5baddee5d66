"""Polling: follow a run, a backfill or a log to its end."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from dataspec.errors import Unavailable
from dataspec.models import Backfill, WorkflowRun
from dli.client.protocol import Item, Pause, Steps

TOLERATED_SECONDS = 60.0
"""Time for which polling tolerates a server that does not respond, such as during a restart."""
SHORTEST_PAUSE_SECONDS = 0.1
PAUSE_SHARE = 0.05
"""The pause before the next poll is this share of the time since the first, within the bounds."""

T = TypeVar("T")
Followed = TypeVar("Followed", WorkflowRun, Backfill)


class Polling:
    """When to poll again, and which errors to tolerate.

    Args:
        interval_seconds: The longest pause between two polls; the first pauses are shorter.
        timeout_seconds: When to stop polling; never if not given.
    """

    def __init__(self, interval_seconds: float, timeout_seconds: float | None) -> None:
        self._interval = interval_seconds
        self._began = monotonic()
        self._ends = None if timeout_seconds is None else self._began + timeout_seconds
        self._last_response: float | None = None

    def poll(self, steps: Steps[T]) -> Steps[T | None]:
        """Return the result of a call; None if the server did not respond and that is tolerated.

        Raises:
            Unavailable: When the server has not responded yet, or not for a minute.
        """
        try:
            found = yield from steps
        except Unavailable:
            if self._last_response is None or monotonic() - self._last_response > TOLERATED_SECONDS:
                raise
            return None
        self._last_response = monotonic()
        return found

    def pause(self) -> Steps[bool]:
        """Wait until the next poll; return False at once if the timeout comes first."""
        now = monotonic()
        seconds = pause_after(now - self._began, self._interval)
        if self._ends is not None and now + seconds > self._ends:
            return False
        yield Pause(seconds)
        return True


def follow(
    call: Callable[[], Steps[Followed]], *, interval_seconds: float, timeout_seconds: float | None
) -> Steps[Followed | None]:
    """Poll a run or a backfill, show each state, and return the last one; None at the timeout."""
    polling = Polling(interval_seconds, timeout_seconds)
    while True:
        found = yield from polling.poll(call())
        if found is not None:
            if found.status.finished:
                return found
            yield Item(found)
        if not (yield from polling.pause()):
            return None


def pause_after(seconds: float, longest: float) -> float:
    """Return the pause before the next poll of what has been polled for so many seconds."""
    return min(max(seconds * PAUSE_SHARE, SHORTEST_PAUSE_SECONDS), longest)
