"""Work that waits for Airflow without holding a thread: it yields the seconds until its next step.

A route awaits :meth:`RequestWork.finish`; a background loop calls :func:`run_through` in its own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, NamedTuple, ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter

from basecamp.outages.request_budget import extend_budget, renew_budget
from basecamp.shared.clock import Clock

P = ParamSpec("P")
T = TypeVar("T")

Steps = Generator[float, None, T]
"""The steps of a piece of work. Each yields the seconds until the next one; the last one returns the result."""

READ_THREADS = 60
"""Requests that read, in parallel: the threads that FastAPI runs plain functions in."""
WRITE_THREADS = 40
"""Requests that change something."""
STEP_THREADS = 8
"""Steps of waiting requests. So any number of them sends Airflow at most eight requests at a time."""


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    """The end of a piece of work."""

    result: T


def run_through(steps: Steps[T], clock: Clock) -> T:
    """Run all steps in this thread, waiting between them, and return the result."""
    with closing(steps):
        while not isinstance(step := _next(steps), _Done):
            clock.wait(step)
        return step.result


class ThreadUse(NamedTuple):
    """How many threads of a kind are busy, their limit, and the work that waits for one."""

    kind: str
    busy: int
    limit: int
    waiting: int


class RequestWork:
    """Runs the work of requests in threads, with a limit for each kind: none waits for threads of another kind."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._writers = CapacityLimiter(WRITE_THREADS)
        self._steppers = CapacityLimiter(STEP_THREADS)

    def threads(self) -> list[ThreadUse]:
        """Return the use of each kind of thread; to be called on the event loop."""
        kinds = {"read": current_default_thread_limiter(), "change": self._writers, "step": self._steppers}
        return [
            ThreadUse(
                kind, limiter.borrowed_tokens, int(limiter.total_tokens), limiter.statistics().tasks_waiting
            )
            for kind, limiter in kinds.items()
        ]

    async def write(self, function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Call a function that changes something, in a thread; the request's budget rests until one is free."""
        queued_at = self.clock.monotonic()

        def call() -> T:
            extend_budget(self.clock.monotonic() - queued_at)
            return function(*args, **options)

        return await anyio.to_thread.run_sync(call, limiter=self._writers)

    async def finish(self, steps: Steps[T]) -> T:
        """Run the steps of a change, each in a thread and with the time of a request, and return the result.

        Raises:
            Unavailable: When the server is ending.
        """
        with closing(steps):
            step = await self.write(_next, steps)
            while not isinstance(step, _Done):
                await self.clock.sleep(step)
                renew_budget()
                step = await anyio.to_thread.run_sync(_next, steps, limiter=self._steppers)
            return step.result


def _next(steps: Steps[T]) -> float | _Done[T]:
    try:
        return next(steps)
    except StopIteration as end:
        return _Done(end.value)
