"""Readiness of this replica: the state of the store, its objects, Airflow and the channels of notifications."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import CANNOT_WAIT
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.monitoring.clock_skew import ClockSkew
from basecamp.notifications.channel_health import ChannelHealth
from basecamp.outages.guarded_store import PROBE_KEY
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from dataspec.catalog.ledger import LEDGER_KEY
from dataspec.errors import DliError
from dataspec.store import Store

LOOK_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 1.0
"""The pause after a look that found a problem."""
LATE_SECONDS = 3.0
"""A look that takes longer counts as a problem before it has ended."""
NOT_YET = "Not checked yet."

UPDATE = "Update this replica."


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The readiness of this replica, as it was last seen: reading it waits for nothing."""

    ready: bool
    """Whether it should get requests: True once each dependency has answered; after that it can serve cached data.
    False while the store holds an object of a newer format: an up-to-date replica should answer."""
    status: str
    """``ready``, ``degraded``, ``starting`` or ``outdated``."""
    checks: dict[str, str] = field(default_factory=dict)
    """``ok`` or the problem, by dependency."""
    age_seconds: dict[str, float] = field(default_factory=dict)
    """How long ago each dependency was checked, in seconds; none before its first check has ended."""


class _Dependency:
    """The last state of one dependency, which a loop of its own looks at."""

    def __init__(self, name: str, check: Callable[[], str], clock: Clock) -> None:
        self._check = check
        self._clock = clock
        self._began: float | None = None
        self._state = NOT_YET
        self._at: float | None = None
        self.answered = False
        self.loop = BackgroundLoop(f"check of {name}", self._turn, retry_seconds=LOOK_AGAIN_SECONDS)

    def look(self) -> None:
        """Check it now."""
        self._began = self._clock.monotonic()
        try:
            self._state = self._check()
            self.answered = True
        except DliError as error:
            self._state = " ".join(filter(None, (error.title, error.detail))).replace("\n", " ")
        finally:
            self._at, self._began = self._clock.monotonic(), None

    def state(self) -> str:
        """Return the last state, or that the present check gets no answer."""
        began = self._began
        waits = 0.0 if began is None else self._clock.monotonic() - began
        return f"No answer for {waits:.0f} s." if waits > LATE_SECONDS else self._state

    def age(self) -> float | None:
        """Return how long ago the last check ended, in seconds."""
        return None if self._at is None else round(self._clock.monotonic() - self._at, 1)

    def _turn(self) -> float:
        self.look()
        return LOOK_SECONDS if self._state == "ok" else LOOK_AGAIN_SECONDS


class ReadinessChecks:
    """Watches the store, its objects and Airflow in the background, and reports what was last seen."""

    def __init__(
        self,
        store: Store,
        specs: CatalogCache,
        gateway: AirflowGateway,
        channels: ChannelHealth,
        clock: Clock,
        *,
        objects: ObjectReader,
    ) -> None:
        self._skew = ClockSkew(store, gateway, clock)
        self._objects = objects
        self._store = store
        self._specs = specs
        self._gateway = gateway
        self._channels = channels
        self._dependencies = {
            "store": _Dependency("the store", self._check_store, clock),
            "airflow": _Dependency("Airflow", self._check_airflow, clock),
        }

    @property
    def loops(self) -> tuple[BackgroundLoop, ...]:
        """The loops that watch the dependencies."""
        return tuple(one.loop for one in self._dependencies.values())

    def look(self) -> None:
        """Check each dependency now."""
        for one in self._dependencies.values():
            one.look()

    def check(self) -> Readiness:
        """Return the readiness by the last checks; waits for nothing."""
        checks = {name: one.state() for name, one in self._dependencies.items()}
        ages = {name: one.age() for name, one in self._dependencies.items()}
        started = all(one.answered for one in self._dependencies.values())
        newer = self._objects.newer()
        checks["notifications"] = self._channels.state()
        if (skew := self._skew.state()) != "ok":
            checks["clock"] = skew
        checks["objects"] = " ".join([*newer, *([UPDATE] if newer else []), *self._objects.damaged()]) or "ok"
        healthy = all(state == "ok" for state in checks.values())
        status = "ready" if healthy else "degraded"
        return Readiness(
            ready=started and not newer,
            status="starting" if not started else "outdated" if newer else status,
            checks=checks,
            age_seconds={name: age for name, age in ages.items() if age is not None},
        )

    def _check_store(self) -> str:
        self._objects.note(LEDGER_KEY, self._specs.catalog().ledger_error)
        self._store.get(PROBE_KEY)  # the catalog may be some seconds old
        self._skew.look()
        return "ok"

    def _check_airflow(self) -> str:
        health = self._gateway.health()
        problems = [f"Not healthy: {', '.join(health.unhealthy)}."] if health.unhealthy else []
        catalog = self._specs.latest()
        if (
            not health.can_wait
            and catalog
            and any(f.spec and f.spec.depends_on for f in catalog.effective.values())
        ):
            problems.append(CANNOT_WAIT)
        return " ".join(problems) or "ok"
