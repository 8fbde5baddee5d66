"""What a collector of metrics has last seen: a scrape reads it without waiting, and begins the next look."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from prometheus_client.metrics_core import GaugeMetricFamily

from basecamp.shared.clock import Clock
from basecamp.shared.refresh_cache import RefreshCache
from dataspec.errors import DliError, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

MIN_AGE_SECONDS = 10.0
MAX_AGE_SECONDS = 60.0


class Observation(Generic[T]):
    """Keeps what was last seen, and how old it is.

    Args:
        name: Names what is looked at.
        look: Returns what it sees, and whether all of it is new; False where something did not answer.
        clock: The clock.
        unanswered: Returns the error of a look that can't wait any longer.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], tuple[T, bool]],
        clock: Clock,
        *,
        unanswered: Callable[[], Unavailable],
    ) -> None:
        self._name = name
        self._look = look
        self._clock = clock
        self._complete_at: float | None = None
        self._cache: RefreshCache[T] = RefreshCache(
            f"{name}-metrics",
            self._fetch,
            clock,
            unanswered=unanswered,
            min_age=MIN_AGE_SECONDS,
            max_age=MAX_AGE_SECONDS,
        )

    def latest(self) -> T | None:
        """Return what was last seen without waiting; None before the first look has ended."""
        return self._cache.latest()

    def age_family(self) -> GaugeMetricFamily:
        """Return the age of what is shown, as a metric of this thing alone."""
        family = GaugeMetricFamily(
            f"basecamp_{self._name}_seen_age_seconds",
            f"How long ago all that is shown of {self._name} was last seen.",
        )
        if self._complete_at is not None:
            family.add_metric((), self._clock.monotonic() - self._complete_at)
        return family

    def _fetch(self) -> T:
        began = self._clock.monotonic()
        try:
            seen, is_complete = self._look()
        except DliError:
            raise  # the age says it
        except Exception:
            log.exception("The metrics of %s can't be read", self._name)
            raise
        if is_complete:
            self._complete_at = began
        return seen
