"""Calls that concurrent callers share (specification 18.21)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from basecamp.outages.request_budget import begin_call, wait_within_budget

T = TypeVar("T")


@dataclass(slots=True)
class _Calls(Generic[T]):
    """The running call, and the next one, for the callers that came after the running one began."""

    running: Future[T]
    upcoming: Future[T] | None = None


class SharedCalls(Generic[T]):
    """Lets callers with one question share a call. Safe to share between threads.

    A caller gets the result of a call that began after it asked: it sees every write before that. Nothing is kept
    after the call; a value that stays in use until it is old is for
    :class:`~basecamp.shared.refresh_cache.RefreshCache`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._calls: dict[Hashable, _Calls[T]] = {}

    def call(self, question: Hashable, call: Callable[[], T]) -> T:
        """Return the result of a shared call. Raises what the call raises.

        Raises:
            CallBudgetExceeded: When the request's budget is used up first.
        """
        return wait_within_budget(self._joined(question, call))

    def _joined(self, question: Hashable, call: Callable[[], T]) -> Future[T]:
        with self._lock:
            calls = self._calls.get(question)
            if calls is None:
                running = begin_call(call)
                self._calls[question] = _Calls(running)
                running.add_done_callback(lambda _: self._ended(question, call))
                return running
            if calls.upcoming is None:
                calls.upcoming = Future()
            return calls.upcoming

    def _ended(self, question: Hashable, call: Callable[[], T]) -> None:
        with self._lock:
            upcoming = self._calls.pop(question).upcoming
            if upcoming is not None:
                self._joined(question, call).add_done_callback(lambda done: _copy(done, upcoming))


def _copy(done: Future[T], to: Future[T]) -> None:
    error = done.exception()
    if error is None:
        to.set_result(done.result())
    else:
        to.set_exception(error)
