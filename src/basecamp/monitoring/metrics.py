"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counts and times requests: those that Basecamp answers, and those that it sends to Airflow."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "basecamp_http_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "basecamp_http_request_seconds",
            "How long an answer took.",
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
            "How long Airflow took to answer.",
            ("method",),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._request_seconds.labels(known, route).observe(seconds)

    def airflow_request(self, method: str, outcome: str, seconds: float) -> None:
        """Count a request to Airflow."""
        self._airflow_requests.labels(method, outcome).inc()
        self._airflow_seconds.labels(method).observe(seconds)

    def render(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return generate_latest(self._registry)
