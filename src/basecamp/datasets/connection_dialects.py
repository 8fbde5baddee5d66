"""The SQL dialects of connections, for specs that name none (specification 18.13)."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from cachetools import TTLCache

from basecamp.airflow.gateway import AirflowGateway
from basecamp.shared.clock import Clock
from dataspec.errors import AirflowUnreachable
from dataspec.spec.dialects import dialect_of_connection
from dataspec.spec.model import DatasetSpec

MAX_AGE_SECONDS = 30.0
"""How long Airflow's answer about a connection is cached, an empty one as well."""
MAX_KEPT = 500


class ConnectionDialects:
    """Finds the dialect of a spec's SQL. Safe to share between threads."""

    def __init__(
        self, gateway: AirflowGateway, clock: Clock, *, named: Mapping[str, str] | None = None
    ) -> None:
        """Keep the sources of dialects.

        Args:
            gateway: The Airflow with the connections.
            clock: The clock.
            named: The dialects of connections that Airflow does not show, by the connection's name.
        """
        self._gateway = gateway
        self._named = named or {}
        self._kept: TTLCache[str, str | None] = TTLCache(MAX_KEPT, MAX_AGE_SECONDS, clock.monotonic)
        self._lock = Lock()

    def of(self, spec: DatasetSpec) -> str | None:
        """Return the dialect of a spec's SQL, by sqlglot's name; None if it is unknown.

        The spec's own dialect comes first, then the one of the server's settings for its connection, then
        that of the connection's type in Airflow. While Airflow does not answer, it is unknown.
        """
        return spec.execution.dialect or self.of_connection(spec.execution.connection)

    def of_connection(self, connection: str) -> str | None:
        """Return the dialect of a connection, whatever a spec names; None if it is unknown."""
        return self._named.get(connection) or self._in_airflow(connection)

    def _in_airflow(self, connection: str) -> str | None:
        with self._lock:
            if connection in self._kept:
                return self._kept[connection]
        try:
            dialect = dialect_of_connection(self._gateway.connection_type(connection))
        except AirflowUnreachable:
            dialect = None
        with self._lock:
            self._kept[connection] = dialect
        return dialect
