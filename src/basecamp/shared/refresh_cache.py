"""A value that is slow to fetch, kept for a while and fetched again in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from basecamp.outages.request_budget import wait_within_budget
from basecamp.shared.clock import Clock
from basecamp.shared.last_known import ValueWithWarnings, warning
from dataspec.errors import AirflowUnreachable, StoreUnreachable, Unavailable
from dataspec.store.call_budget import CallBudgetExceeded

T = TypeVar("T")

COST_FACTOR = 10
"""A value may be used for ten times as long as its fetch took, within the cache's bounds."""
SHARED_SECONDS = 1.0
"""The longest time for which readers share a value that is to be the present one: what a fetch costs, and not the number
of readers, says how often Airflow is asked."""


@dataclass(frozen=True, slots=True)
class _Fetched(Generic[T]):
    value: T
    at: float
    changes: int
    """How many changes this replica had made when the fetch began."""


class Changes:
    """Counts what this replica has changed: what was fetched before is not shown to the next reader."""

    def __init__(self) -> None:
        self.count = 0

    def note(self) -> None:
        """Count a change that has been made."""
        self.count += 1


class RefreshCache(Generic[T]):
    """Keeps the last value of a fetch. At most one fetch runs at a time. Safe to share between threads.

    It has one question and shows its last answer; :class:`~basecamp.outages.shared_calls.SharedCalls` has many, and
    keeps no answer.

    Args:
        name: Names the thread that fetches.
        fetch: Returns the value.
        clock: The clock.
        unanswered: Returns the error of a caller whose request can't wait any longer for a fetch.
        min_age: The shortest time for which a value may be used, in seconds.
        max_age: The longest time.
        refresh_age: Seconds for which a value is not fetched again in the background in any case.
        keep: Returns the value to keep, given a new one and when its fetch began.
        changes: The changes after which a value is not used any more.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], T],
        clock: Clock,
        *,
        unanswered: Callable[[], Unavailable],
        min_age: float,
        max_age: float,
        refresh_age: float = 0.0,
        keep: Callable[[T, float], T] = lambda value, _began: value,
        changes: Changes | None = None,
    ) -> None:
        self._changes = changes or Changes()
        self._fetch = fetch
        self._keep = keep
        self._clock = clock
        self._unanswered = unanswered
        self._bounds = min_age, max_age
        self._refresh_age = refresh_age
        self._usable_for = min_age
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix=f"refresh-{name}")
        self._lock = threading.Lock()
        self._fetching: Future[T] | None = None
        self._number = 0
        self._began = 0.0
        self._last: _Fetched[T] | None = None

    @property
    def last(self) -> T | None:
        """The last value, however old; None before the first fetch has ended."""
        return self._last.value if self._last else None

    def age(self) -> float | None:
        """Return the age of the last value in seconds; None if there is none."""
        return self._clock.monotonic() - self._last.at if self._last else None

    def usable(self) -> T | None:
        """Return the last value unless it is too old; past half of its time, begin to fetch it again.

        A fetch that took no time at all is repeated for each reader, if there is no shortest time.
        """
        last, age = self._last, self.age()
        if last is None or age is None or not self._usable_for or age > self._usable_for:
            return None
        if last.changes != self._changes.count:
            return None
        if age > max(self._usable_for / 2, self._refresh_age):
            self.refresh()
        return last.value

    def latest(self) -> T | None:
        """Return the last value, however old, without waiting; begin to fetch it again if it is old."""
        value = self.usable()
        if value is None:
            self.refresh()
        return self.last

    def fresh(self) -> T:
        """Return a value whose fetch began after this call. Raises what the fetch raises."""
        with self._lock:
            asked = self._number
        while True:
            number, fetching = self._fetch_under_way()
            value = self._result(fetching)
            if number > asked:
                return value

    def refresh(self) -> None:
        """Begin a fetch, unless one runs."""
        self._fetch_under_way()

    def next(self) -> T:
        """Return the value of the fetch that runs, or of a new one. Raises what the fetch raises."""
        return self._result(self._fetch_under_way()[1])

    def _result(self, fetching: Future[T]) -> T:
        try:
            return wait_within_budget(fetching)
        except CallBudgetExceeded:
            raise self._unanswered() from None

    def _fetch_under_way(self) -> tuple[int, Future[T]]:
        with self._lock:
            if self._fetching is None or self._fetching.done():
                self._number += 1
                self._began = self._clock.monotonic()
                self._fetching = self._fetcher.submit(self._run)
            return self._number, self._fetching

    def refreshed(
        self, patience_seconds: float, *, late: str | None = None, first: Callable[[], T] | None = None
    ) -> ValueWithWarnings[T]:
        """Fetch the value again, and return the last one if that fails or takes too long.

        Args:
            patience_seconds: How long the fetch may take since it began.
            late: The warning of a value that is shown since the fetch takes longer; none if not given.
            first: Returns what is shown while the first fetch takes longer; it may take any time if not given.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
            StoreUnreachable: When the store does not answer, and never did.
        """
        last, age, (_, fetching) = self._last, self.age(), self._fetch_under_way()
        wait = self._clock.patience(max(0.0, patience_seconds - (self._clock.monotonic() - self._began)))
        if last is None or age is None:
            return self._first(fetching, wait, late, first)
        try:
            return ValueWithWarnings(fetching.result(wait))
        except TimeoutError:
            return ValueWithWarnings(last.value, (warning(late, age),) if late else ())
        except (AirflowUnreachable, StoreUnreachable) as error:
            return ValueWithWarnings(last.value, (warning(error.title, age),))

    def _first(
        self, fetching: Future[T], wait: float, late: str | None, first: Callable[[], T] | None
    ) -> ValueWithWarnings[T]:
        if first is None:
            return ValueWithWarnings(self._result(fetching))
        try:
            return ValueWithWarnings(fetching.result(wait))
        except TimeoutError:
            return ValueWithWarnings(first(), (late,) if late else ())
        except (AirflowUnreachable, StoreUnreachable) as error:
            return ValueWithWarnings(first(), (error.title,))

    def change(self, change: Callable[[T], T]) -> None:
        """Replace the last value, if there is one, by what a function makes of it."""
        with self._lock:
            if self._last is not None:
                self._last = replace(self._last, value=change(self._last.value))

    def _run(self) -> T:
        began, changes = self._clock.monotonic(), self._changes.count
        value = self._fetch()
        took = self._clock.monotonic() - began
        shortest, longest = self._bounds
        with self._lock:
            self._usable_for = min(max(took * COST_FACTOR, shortest), longest)
            self._last = _Fetched(self._keep(value, began), began, changes)
            return self._last.value
