"""The Prometheus metrics at ``/metrics``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counts and times the requests to Basecamp and those that it sends to Airflow."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
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

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._request_seconds.labels(known, route).observe(seconds)

    def airflow_request(self, method: str, outcome: str, seconds: float) -> None:
        """Count a request to Airflow."""
        self._airflow_requests.labels(method, outcome).inc()
        self._airflow_seconds.labels(method).observe(seconds)

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry)
