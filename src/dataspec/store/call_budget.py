"""The time budget of a call to a store: each response extends it, silence uses it up."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

T = TypeVar("T")


class CallBudgetExceeded(Exception):
    """The store took longer than the budget of the call."""


class CallBudget:
    """The remaining time of a call.

    Args:
        seconds: The budget at the start.
        per_answer: Seconds added for each response: a call with many responses may take longer.
        now: Returns the current time in seconds.
    """

    def __init__(
        self, seconds: float, *, per_answer: float = 0, now: Callable[[], float] = monotonic
    ) -> None:
        self._per_answer = per_answer
        self._now = now
        self._end = now() + seconds

    def wait(self, answer: Future[T]) -> T:
        """Wait for a response and return it.

        Raises:
            CallBudgetExceeded: When the budget is used up first.
        """
        if not answer.done() and self._now() >= self._end:
            raise CallBudgetExceeded
        try:
            result = answer.result(max(0.0, self._end - self._now()))
        except TimeoutError:
            if answer.done():
                raise  # the response itself is a timeout
            raise CallBudgetExceeded from None
        self.extend(self._per_answer)
        return result

    def extend(self, seconds: float) -> None:
        """Add time to the budget."""
        self._end += seconds

    def left(self) -> float:
        """Return the remaining seconds."""
        return max(0.0, self._end - self._now())


_CALLER: ContextVar[CallBudget | None] = ContextVar("caller_budget", default=None)


@contextmanager
def waited_for(budget: CallBudget) -> Iterator[None]:
    """Let the calls within know for how long their caller waits."""
    token = _CALLER.set(budget)
    try:
        yield
    finally:
        _CALLER.reset(token)


def seconds_left(limit: float) -> float:
    """Return for how long the caller still waits, at most the limit."""
    budget = _CALLER.get()
    return limit if budget is None else min(limit, budget.left())
