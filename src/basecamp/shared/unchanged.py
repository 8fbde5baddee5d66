"""Durations that this replica has seen pass: the clocks of two machines may differ by minutes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from datetime import timedelta

from cachetools import LRUCache

from basecamp.shared.clock import Clock

MAX_KEPT = 10_000


class Unchanged:
    """Measures by this machine's monotonic clock for how long something has stayed as it is. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: LRUCache[str, tuple[Hashable, float]] = LRUCache(MAX_KEPT)

    def begin(self, name: str, state: Hashable) -> None:
        """Begin to measure: something has just got a state."""
        with self._lock:
            self._since[name] = state, self._clock.monotonic()

    def seconds(
        self, name: str, state: Hashable, age: Callable[[], timedelta] = lambda: timedelta(0)
    ) -> float:
        """Return for how long something has been in a state.

        Args:
            name: Identifies it, such as the key of an object.
            state: Differs after a change, such as the ETag of the object.
            age: Returns its age when it is seen for the first time, such as the object's by the store's clock.
        """
        now = self._clock.monotonic()
        with self._lock:
            known = self._since.get(name)
        if known is None or known[0] != state:
            since = now if known else now - age().total_seconds()
            with self._lock:
                known = self._since[name] = state, since
        return now - known[1]
