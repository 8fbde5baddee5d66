"""A limit for what strangers and guessers may repeat, counted at one replica."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from cachetools import TTLCache

from dataspec.errors import TooManyRequests

MAX_NAMES = 10_000
"""Maximum number of names that are counted at a time; above it the oldest counts are forgotten."""


@dataclass(slots=True)
class _Count:
    attempts: int = 0


class AttemptLimit:
    """Counts attempts by name, such as an address, within a time. Safe to share between threads.

    Args:
        attempts: Maximum number of attempts of one name.
        seconds: For how long they count, from the first one on.
        monotonic: Returns seconds that never go back.
    """

    def __init__(self, attempts: int, seconds: float, monotonic: Callable[[], float]) -> None:
        self._max = attempts
        self._counts: TTLCache[str, _Count] = TTLCache(MAX_NAMES, seconds, monotonic)
        self._lock = Lock()

    def check(self, name: str) -> None:
        """Refuse a name that has no attempt left.

        Raises:
            TooManyRequests: When its attempts are used up.
        """
        with self._lock:
            self._refuse(self._counts.get(name) or _Count())

    def count(self, name: str) -> None:
        """Count an attempt.

        Raises:
            TooManyRequests: When there was none left.
        """
        with self._lock:
            counted = self._counts.get(name)
            if counted is None:
                counted = self._counts[name] = _Count()
            self._refuse(counted)
            counted.attempts += 1  # in place: a further attempt does not renew the time of the first one

    def _refuse(self, counted: _Count) -> None:
        if counted.attempts >= self._max:
            raise TooManyRequests("Too many attempts.")
