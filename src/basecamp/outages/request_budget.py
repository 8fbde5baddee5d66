"""The time that one request may wait for the store and Airflow, in sum (specification 18.16)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

from dataspec.store.call_budget import CallBudget, waited_for

T = TypeVar("T")
A = TypeVar("A")

REQUEST_SECONDS = 7.0
"""Leaves three of ten seconds for the rest of a request on a busy machine."""
MAX_CALLS = 128
"""Maximum number of calls in parallel; one that was given up holds its thread until the client's own timeout."""

_CALLS = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="call")


class _RequestBudget:
    """The budget of one request. It begins with the first call, so a request that queues loses none of it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._budget: CallBudget | None = None

    def started(self) -> CallBudget:
        if self._budget is None:
            self._budget = CallBudget(self._seconds)
        return self._budget

    def renew(self) -> None:
        self._budget = None

    def extend(self, seconds: float) -> None:
        if self._budget is not None:
            self._budget.extend(seconds)


_CURRENT: ContextVar[_RequestBudget | None] = ContextVar("request_budget", default=None)


@contextmanager
def request_budget(seconds: float) -> Iterator[None]:
    """Bound the time that the calls within may take in sum."""
    token = _CURRENT.set(_RequestBudget(seconds))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def renew_budget() -> None:
    """Restart the current request's budget: a request that polls has it for each poll."""
    if (budget := _CURRENT.get()) is not None:
        budget.renew()


def extend_budget(seconds: float) -> None:
    """Add to the current request's budget the time in which it has queued: neither the store nor Airflow took it."""
    if (budget := _CURRENT.get()) is not None:
        budget.extend(seconds)


def wait_within_budget(answer: Future[T]) -> T:
    """Return the result of a call that others may wait for as well; without a request, wait for any time.

    Raises:
        CallBudgetExceeded: When the request's budget is used up first.
    """
    budget = _CURRENT.get()
    return answer.result() if budget is None else budget.started().wait(answer)


def begin_call(call: Callable[[], T]) -> Future[T]:
    """Begin a call in a thread of its own."""
    return _CALLS.submit(call)


def call_within_budget(call: Callable[[], T]) -> T:
    """Call a function and give it up when the request's budget is used up; without a request, call it directly.

    The call knows the budget, so that what it sends can end with it (:func:`~dataspec.store.call_budget.seconds_left`).

    Raises:
        CallBudgetExceeded: When the call has not ended by then. It may still take effect.
    """
    if (current := _CURRENT.get()) is None:
        return call()
    budget = current.started()

    def bounded() -> T:
        with waited_for(budget):
            return call()

    return budget.wait(begin_call(bounded))


def map_within_budget(
    pool: ThreadPoolExecutor, function: Callable[[A], T], items: Sequence[A]
) -> Iterator[T]:
    """Call a function for each item in a pool's threads, which share the request's budget."""
    contexts = [copy_context() for _ in items]
    return pool.map(lambda context, item: context.run(function, item), contexts, items)
