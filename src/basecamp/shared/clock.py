"""Time, as the services ask for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from dataspec.errors import Unavailable


class Clock(Protocol):
    """Tells the time, and waits."""

    def now(self) -> datetime:
        """Return the present moment, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for ages."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait.

        Raises:
            Unavailable: When the server is to end.
        """
        ...


class SystemClock:
    """The machine's clock; whoever waits on it is woken when the server is to end."""

    def __init__(self) -> None:
        self._ending = threading.Event()

    def now(self) -> datetime:
        """Return the present moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, for ages."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait, or raise when the server is to end."""
        if self._ending.wait(seconds):
            raise Unavailable("The server is going down.", detail="Ask again: another one may be up already.")

    def end(self) -> None:
        """Wake all who wait."""
        self._ending.set()


class ManualClock:
    """A clock that only goes on when it is told to: for tests. Waiting takes no time.

    Attributes:
        on_wait: Called while somebody waits, so that the world may go on meanwhile.
    """

    def __init__(self, now: datetime) -> None:
        self.on_wait: list[Callable[[], None]] = []
        self._start = self._now = now

    def now(self) -> datetime:
        """Return the present moment, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the clock was made."""
        return (self._now - self._start).total_seconds()

    def wait(self, seconds: float) -> None:
        """Go on by these seconds."""
        self.advance(seconds)
        for happens in self.on_wait:
            happens()

    def advance(self, seconds: float) -> None:
        """Go on by these seconds."""
        self._now += timedelta(seconds=seconds)
