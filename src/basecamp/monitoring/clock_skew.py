"""Compare this machine's clock with the store's and Airflow's (specification 18.20)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from basecamp.airflow.gateway import AirflowGateway
from basecamp.shared.clock import Clock
from dataspec.errors import DliError
from dataspec.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
TOLERATED_SECONDS = 5.0
"""The dates of responses are cut to the second, and a response takes a while."""


class ClockSkew:
    """Warns, once a minute, while this machine's clock differs from the store's or Airflow's. Nothing fails by it."""

    def __init__(self, store: Store, gateway: AirflowGateway, clock: Clock) -> None:
        self._clock = clock
        self._others: dict[str, Callable[[], datetime | None]] = {
            "the store's": store.now,
            "Airflow's": gateway.now,
        }
        self._state = "ok"
        self._looked_at: float | None = None

    def state(self) -> str:
        """Return ``ok``, or the differences that the last look has found."""
        return self._state

    def look(self) -> None:
        """Compare the clocks and log each difference; at most once a minute."""
        now = self._clock.monotonic()
        if self._looked_at is not None and now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        differences = [self._difference(name, read) for name, read in self._others.items()]
        warnings = [difference for difference in differences if difference]
        for warning in warnings:
            log.warning("%s", warning)
        self._state = " ".join(warnings) or "ok"

    def _difference(self, name: str, read: Callable[[], datetime | None]) -> str | None:
        before, other = self._clock.now(), None
        with suppress(DliError):  # the check of the store or of Airflow reports it
            other = read()
        if other is None:
            return None
        after = self._clock.now()
        ahead = (before + (after - before) / 2 - other).total_seconds()
        if abs(ahead) <= TOLERATED_SECONDS + (after - before).total_seconds():
            return None
        side = "ahead of" if ahead > 0 else "behind"
        return (
            f"This machine's clock is {abs(ahead):.0f} s {side} {name}. Synchronize both with a time server."
        )
