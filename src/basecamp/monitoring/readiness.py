"""Whether this replica can do its work, and what is wrong if not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from basecamp.airflow.gateway import AirflowGateway
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.notifications.health import ChannelHealth
from dataspec.errors import DliError


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How this replica is."""

    ready: bool
    """Whether it should get requests: once each part has answered, it serves what it knows."""
    status: str
    """``ready``, ``degraded`` or ``starting``."""
    checks: dict[str, str] = field(default_factory=dict)
    """``ok``, or what is wrong, by part."""


class ReadinessChecks:
    """Asks the store, Airflow and the channels of notifications how they are."""

    def __init__(self, specs: CatalogCache, gateway: AirflowGateway, channels: ChannelHealth) -> None:
        self._specs = specs
        self._gateway = gateway
        self._channels = channels
        self._answered: set[str] = set()

    def check(self) -> Readiness:
        """Look at each part."""
        checks = {"store": self._of("store", self._store), "airflow": self._of("airflow", self._airflow)}
        ready = self._answered >= checks.keys()
        checks["notifications"] = self._channels.state()
        well = all(state == "ok" for state in checks.values())
        return Readiness(
            ready=ready,
            status="ready" if ready and well else "degraded" if ready else "starting",
            checks=checks,
        )

    def _of(self, part: str, ask: Callable[[], str]) -> str:
        try:
            state = ask()
        except DliError as error:
            return " ".join(filter(None, (error.title, error.detail))).replace("\n", " ")
        self._answered.add(part)
        return state

    def _store(self) -> str:
        self._specs.catalog()
        return "ok"

    def _airflow(self) -> str:
        unwell = self._gateway.health().unhealthy
        return "ok" if not unwell else f"Not healthy: {', '.join(unwell)}."
