"""Metrics of this replica: what it depends on, what waits for it, and how busy it is."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from basecamp.backfills.reconciler import Reconciler
from basecamp.monitoring.readiness import ReadinessChecks
from basecamp.notifications.delivery import Delivery
from basecamp.shared.clock import Clock
from basecamp.shared.waiting import RequestWork
from basecamp.sync.check import PeriodicCheck


class ServerMetrics(Collector):
    """Shows what the background loops of this replica have last found, and its use of threads."""

    def __init__(
        self,
        *,
        readiness: ReadinessChecks,
        check: PeriodicCheck,
        reconciler: Reconciler,
        delivery: Delivery,
        work: RequestWork,
        clock: Clock,
    ) -> None:
        self._readiness = readiness
        self._check = check
        self._reconciler = reconciler
        self._delivery = delivery
        self._work = work
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; without those that are not known yet."""
        yield from self._dependencies()
        yield _gauge(
            "basecamp_store_check_age_seconds",
            "How long ago this replica last completed the periodic check of the store.",
            self._check.age(),
        )
        yield _gauge("basecamp_backfills_active", "Backfills that have not ended.", self._reconciler.count())
        yield from self._outbox()
        yield from self._threads()

    def _dependencies(self) -> Iterator[Metric]:
        readiness = self._readiness.check()
        yield _gauge("basecamp_ready", "Whether the replica is ready for requests.", int(readiness.ready))
        healthy = GaugeMetricFamily(
            "basecamp_dependency_healthy",
            "Whether the dependency was healthy when the replica last looked.",
            labels=("dependency",),
        )
        age = GaugeMetricFamily(
            "basecamp_dependency_check_age_seconds",
            "How long ago the replica last looked at the dependency.",
            labels=("dependency",),
        )
        for name, seconds in readiness.age_seconds.items():
            healthy.add_metric((name,), int(readiness.checks[name] == "ok"))
            age.add_metric((name,), seconds)
        yield healthy
        yield age

    def _outbox(self) -> Iterator[Metric]:
        state = self._delivery.outbox_state()
        messages = GaugeMetricFamily(
            "basecamp_outbox_messages", "Notifications in the outbox by state.", labels=("state",)
        )
        oldest = None
        if state is not None:
            messages.add_metric(("pending",), state.pending - state.failing)
            messages.add_metric(("failing",), state.failing)
            messages.add_metric(("given_up",), state.given_up)
            oldest = (self._clock.now() - state.oldest).total_seconds() if state.oldest else 0.0
        yield messages
        yield _gauge(
            "basecamp_outbox_oldest_age_seconds", "Age of the oldest undelivered notification.", oldest
        )

    def _threads(self) -> Iterator[Metric]:
        labels = ("kind",)
        busy = GaugeMetricFamily("basecamp_threads_busy", "Threads that work on requests.", labels=labels)
        limit = GaugeMetricFamily("basecamp_threads_limit", "Maximum number of threads.", labels=labels)
        waiting = GaugeMetricFamily(
            "basecamp_requests_queued", "Requests that wait for a free thread.", labels=labels
        )
        for use in self._work.threads():
            busy.add_metric((use.kind,), use.busy)
            limit.add_metric((use.kind,), use.limit)
            waiting.add_metric((use.kind,), use.waiting)
        yield from (busy, limit, waiting)


def _gauge(name: str, text: str, value: float | None) -> Metric:
    """Return a metric without labels; without a value where none is known."""
    family = GaugeMetricFamily(name, text)
    if value is not None:
        family.add_metric((), value)
    return family
