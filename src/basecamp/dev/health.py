"""Whether a part is up, by its own word over HTTP."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any

from basecamp.dev.ports import LOOPBACK

_TIMEOUT_SECONDS = 5.0


def server_ready(port: int) -> bool:
    """Say whether Basecamp, its store and its Airflow are ready."""
    status, _ = _answer(port, "/readyz")
    return status == 200  # noqa: PLR2004 - HTTP's own number


class AirflowHealth:
    """Airflow's word on its parts since a point in time.

    Airflow calls a part healthy for half a minute after its last sign of life, so after a
    restart only a sign from after the start counts.
    """

    def __init__(self, port: int, *, since: datetime) -> None:
        self._port = port
        self._since = since

    def api_server(self) -> bool:
        """Say whether the api-server answers and reaches the database."""
        return bool(self._part("metadatabase").get("status") == "healthy")

    def scheduler(self) -> bool:
        """Say whether the scheduler has been heard of."""
        return self._alive("scheduler")

    def dag_processor(self) -> bool:
        """Say whether the dag processor has been heard of."""
        return self._alive("dag_processor")

    def _alive(self, name: str) -> bool:
        part = self._part(name)
        heartbeat = part.get(f"latest_{name}_heartbeat")
        if part.get("status") != "healthy" or heartbeat is None:
            return False
        return datetime.fromisoformat(heartbeat).astimezone(UTC) >= self._since

    def _part(self, name: str) -> dict[str, Any]:
        status, body = _answer(self._port, "/api/v2/monitor/health")
        found: dict[str, Any] = json.loads(body).get(name, {}) if status == 200 else {}  # noqa: PLR2004 - HTTP's
        return found


def _answer(port: int, path: str) -> tuple[int, bytes]:
    with closing(HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_SECONDS)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException):
            return 0, b""
