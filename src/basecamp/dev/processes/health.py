"""Whether a part is up, by its own word over HTTP."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any

from basecamp.dev.processes.ports import LOOPBACK

_OK = 200
_TIMEOUT_SECONDS = 2.0  # no longer, for a signal waits as long


def server_ready(port: int) -> bool:
    """Say whether Basecamp, its store and its Airflow are ready."""
    status, _ = _answer(port, "/readyz")
    return status == _OK


class AirflowHealth:
    """Airflow's word on its parts since a point in time.

    Airflow calls a part healthy for half a minute after its last sign of life, so after a
    restart only a sign from after the start counts.
    """

    def __init__(self, port: int, path: str, *, since: datetime) -> None:
        """Name where it is asked: the port, and the path of the line's health answer."""
        self._port = port
        self._path = path
        self._since = since

    def api_server(self) -> bool:
        """Say whether the api-server answers and reaches the database."""
        return bool(self._part("metadatabase").get("status") == "healthy")

    def scheduler(self) -> bool:
        """Say whether the scheduler has been heard of."""
        return self._alive("scheduler")

    def tasks_api(self) -> bool:
        """Say whether tasks have someone to report to (Airflow 3).

        The api-server builds the tasks' API when it is first asked for, and answers nobody
        meanwhile, for seconds: better now than in the first run.
        """
        status, _ = _answer(self._port, "/execution/health")
        return status == _OK

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
        status, body = _answer(self._port, self._path)
        found: dict[str, Any] = json.loads(body).get(name, {}) if status == _OK else {}
        return found


def _answer(port: int, path: str) -> tuple[int, bytes]:
    with closing(HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_SECONDS)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException):
            return 0, b""
