"""The metrics at ``/metrics``, in Prometheus' text format or in OpenMetrics (docs/monitoring.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from dataspec.distribution import version

OPENMETRICS = "application/openmetrics-text"
"""The part of ``Accept`` that counts; the encoder gets this alone, never what a caller has written around it."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The metrics of this process: what it counts itself, and what the services know of datasets and runs."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._requests = Counter(
            "basecamp_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "basecamp_http_request_seconds",
            "Duration of a request.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._airflow_requests = Counter(
            "basecamp_airflow_requests",
            "Requests to Airflow; the outcome is a status, or 'unreachable'.",
            ("method", "outcome"),
            registry=self._registry,
        )
        self._airflow_seconds = Histogram(
            "basecamp_airflow_request_seconds",
            "Duration of a request to Airflow.",
            ("method",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        build = Gauge(
            "basecamp_build_info", "The version of Basecamp.", ("version",), registry=self._registry
        )
        build.labels(version()).set(1)

    def watch(self, collectors: Iterable[Collector]) -> None:
        """Show what the collectors of the services know as well; they must wait for nothing."""
        for collector in collectors:
            self._registry.register(collector)

    def watch_connections(self, count: Callable[[], int], limit: int) -> None:
        """Show the number of open connections, and their limit."""
        connections = Gauge("basecamp_connections_open", "Open connections.", registry=self._registry)
        connections.set_function(count)
        most = Gauge("basecamp_connections_limit", "Maximum number of connections.", registry=self._registry)
        most.set(limit)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._request_seconds.labels(known, route).observe(seconds)

    def airflow_request(self, method: str, outcome: str, seconds: float) -> None:
        """Count a request to Airflow."""
        self._airflow_requests.labels(method, outcome).inc()
        self._airflow_seconds.labels(method).observe(seconds)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics with their content type.

        Args:
            accept: The request's header ``Accept``. With OpenMetrics in it, that is what is returned.
        """
        encode, content_type = choose_encoder(OPENMETRICS if OPENMETRICS in accept.lower() else "")
        return encode(self._registry), content_type
