"""Time: the machine's clock, one that tests set, and Airflow's, which may differ from ours by minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import anyio

from basecamp.airflow.gateway import AirflowGateway
from dataspec.errors import Unavailable

LOOK_SECONDS = 0.5
"""How often a sleeping task looks whether the server is ending."""
DAY_SECONDS = 86_400.0
AIRFLOW_TIME_PRECISION = timedelta(seconds=1)
"""How late Airflow's time may be: a ``Date`` header has no fractions of a second."""


class Clock(Protocol):
    """Returns the time, and waits."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, to measure durations."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait in this thread.

        Raises:
            Unavailable: When the server is ending.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait in this task.

        Raises:
            Unavailable: When the server is ending.
        """
        ...

    def patience(self, seconds: float) -> float:
        """Return for how long to wait for another thread that may take these seconds of this clock."""
        ...


class SystemClock:
    """The machine's clock; the end of the server interrupts every wait."""

    def __init__(self) -> None:
        self._ending = threading.Event()

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, to measure durations."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait, or raise when the server is ending."""
        if self._ending.wait(seconds):
            raise going_down()

    async def sleep(self, seconds: float) -> None:
        """Wait, or raise when the server is ending."""
        deadline = self.monotonic() + seconds
        while not self._ending.is_set() and (left := deadline - self.monotonic()) > 0:  # noqa: ASYNC110 - set by a signal, outside the event loop
            await anyio.sleep(min(left, LOOK_SECONDS))
        if self._ending.is_set():
            raise going_down()

    def patience(self, seconds: float) -> float:
        """Return the seconds themselves."""
        return seconds

    def end(self) -> None:
        """Interrupt every wait."""
        self._ending.set()


class ManualClock:
    """A clock that only tests advance. Waiting takes no time.

    Attributes:
        on_wait: Functions to call at each wait, to simulate what happens meanwhile.
        is_patient: Whether a thread waits for another one however long that takes: no time passes on this clock.
    """

    def __init__(self, now: datetime) -> None:
        self.on_wait: list[Callable[[], None]] = []
        self.is_patient = True
        self._start = self._now = now

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the clock was made."""
        return (self._now - self._start).total_seconds()

    def wait(self, seconds: float) -> None:
        """Advance by these seconds."""
        self.advance(seconds)
        for happens in self.on_wait:
            happens()

    async def sleep(self, seconds: float) -> None:
        """Advance by these seconds."""
        self.wait(seconds)

    def patience(self, seconds: float) -> float:
        """Return a day, or the seconds themselves for a test of what is late."""
        return DAY_SECONDS if self.is_patient else seconds

    def advance(self, seconds: float) -> None:
        """Advance by these seconds."""
        self._now += timedelta(seconds=seconds)


def going_down() -> Unavailable:
    """Return the error for a request that the end of the server cuts off."""
    return Unavailable("The server is going down.", detail="Ask again: another one may be up already.")


def airflow_now(gateway: AirflowGateway, clock: Clock) -> datetime:
    """Return the time to compare with Airflow's times: Airflow's own, or ours before its first response."""
    return gateway.now() or clock.now()


def earlier_now(gateway: AirflowGateway, clock: Clock) -> datetime:
    """Return the earlier one of our time and Airflow's: what was before it is over by both clocks.

    A logical date must be such a time, because Airflow starts no run before it (specification 12.2). Airflow's time is
    known to the second, so ours counts unless it is ahead by more than that.
    """
    ours, theirs = clock.now(), airflow_now(gateway, clock)
    return theirs if ours - theirs > AIRFLOW_TIME_PRECISION else ours
