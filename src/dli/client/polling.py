"""How a run or a backfill is followed to its end: when to look again, and what to bear meanwhile."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Literal, TypeVar

from dataspec.models import Backfill, WorkflowRun

if TYPE_CHECKING:
    from dataspec.errors import Unavailable

PATIENCE_SECONDS = 60.0
"""How long following a run bears a server that does not answer, as while it restarts."""
SHORTEST_PAUSE_SECONDS = 0.1
PAUSE_SHARE = 0.05
"""Between two looks lies a twentieth of the time for which a run has been followed, within the bounds."""

Ended = TypeVar("Ended", WorkflowRun, Backfill)


class Following:
    """How a run is followed: what to bear, and when to ask again.

    Args:
        interval_seconds: The longest pause between two looks; the first ones are shorter.
        timeout_seconds: When to end, whatever the run does; never if not given.
    """

    def __init__(self, interval_seconds: float, timeout_seconds: float | None) -> None:
        self._interval = interval_seconds
        self._began = monotonic()
        self._ends = monotonic() + timeout_seconds if timeout_seconds is not None else None
        self._last_heard: float | None = None

    def heard(self) -> None:
        """Keep in mind that the server has answered."""
        self._last_heard = monotonic()

    def bear(self, error: Unavailable) -> None:
        """Bear that the server does not answer, as while it restarts.

        Raises:
            Unavailable: When it never answered, or not for a minute.
        """
        if self._last_heard is None or monotonic() - self._last_heard > PATIENCE_SECONDS:
            raise error

    def pause(self) -> float | None:
        """Return the seconds until the next look; None where the timeout comes first."""
        now = monotonic()
        pause = pause_after(now - self._began, self._interval)
        over = self._ends is not None and now + pause > self._ends
        return None if over else pause


def pause_after(seconds: float, longest: float) -> float:
    """Return the pause before the next look at what has been followed for so long."""
    return min(max(seconds * PAUSE_SHARE, SHORTEST_PAUSE_SECONDS), longest)


def ended(found: Ended | None, kind: Literal["run", "backfill"], name: str) -> Ended:
    """Return a run or a backfill that was waited for.

    Raises:
        TimeoutError: When it goes on.
    """
    if found is None or not found.status.finished:
        raise TimeoutError(f"The {kind} '{name}' has not finished yet; it keeps running.")
    return found
