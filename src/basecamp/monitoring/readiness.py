"""Readiness of this replica: the state of the store, Airflow and the channels of notifications."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from basecamp.airflow.gateway import AirflowGateway
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.notifications.channel_health import ChannelHealth
from dataspec.errors import DliError


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The readiness of this replica."""

    ready: bool
    """Whether it should get requests: True once each dependency has answered; after that it can serve cached data."""
    status: str
    """``ready``, ``degraded`` or ``starting``."""
    checks: dict[str, str] = field(default_factory=dict)
    """``ok`` or the problem, by dependency."""


class ReadinessChecks:
    """Checks the store, Airflow and the channels of notifications."""

    def __init__(self, specs: CatalogCache, gateway: AirflowGateway, channels: ChannelHealth) -> None:
        self._specs = specs
        self._gateway = gateway
        self._channels = channels
        self._answered: set[str] = set()

    def check(self) -> Readiness:
        """Check each dependency."""
        checks = {
            "store": self._state("store", self._store),
            "airflow": self._state("airflow", self._airflow),
        }
        ready = self._answered >= checks.keys()
        checks["notifications"] = self._channels.state()
        healthy = all(state == "ok" for state in checks.values())
        return Readiness(
            ready=ready,
            status="ready" if ready and healthy else "degraded" if ready else "starting",
            checks=checks,
        )

    def _state(self, dependency: str, check: Callable[[], str]) -> str:
        try:
            state = check()
        except DliError as error:
            return " ".join(filter(None, (error.title, error.detail))).replace("\n", " ")
        self._answered.add(dependency)
        return state

    def _store(self) -> str:
        self._specs.catalog()
        return "ok"

    def _airflow(self) -> str:
        unhealthy = self._gateway.health().unhealthy
        return "ok" if not unhealthy else f"Not healthy: {', '.join(unhealthy)}."
