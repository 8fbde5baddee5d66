"""The components of `basecamp dev`: Airflow's programs and Basecamp, with their health checks."""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any

from basecamp.dev.airflow_environment import AirflowEnvironment
from basecamp.dev.configuration import Configuration
from basecamp.dev.processes.ports import LOOPBACK
from basecamp.dev.processes.process import Program
from basecamp.dev.release_lines import AIRFLOW_2

OPEN_TO_ALL = """\
# Written by basecamp dev: Airflow listens on this machine only, and requires no sign-in.
AUTH_ROLE_PUBLIC = "Admin"
"""


@dataclass(frozen=True, slots=True)
class Component:
    """A program that runs as long as `basecamp dev`."""

    program: Program
    healthy: Callable[[], bool]
    port: int | None = None
    """The port that it listens on, if any."""
    stateless: bool = False
    """Whether it can be restarted without losing state."""


class Components(ABC):
    """Airflow's components and Basecamp, in the order of their start."""

    def __init__(self, configuration: Configuration, environment: AirflowEnvironment) -> None:
        self._configuration = configuration
        self._python = environment.python
        self._airflow = environment.python.with_name("airflow")
        self._environ = configuration.airflow_environ(os.environ, self._airflow.parent)
        path = configuration.home.line.health_path
        self._health = AirflowHealthCheck(configuration.airflow_port, path, since=datetime.now(UTC))

    def migration(self, database: str) -> Program:
        """Return the program that migrates a database, given by its URL, to this Airflow."""
        environ = self._environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database}
        return self._program("migrate", [str(self._airflow), "db", "migrate"], environ)

    @abstractmethod
    def preparation(self) -> Sequence[Program]:
        """Return the programs to run before Airflow starts."""

    @abstractmethod
    def stages(self) -> Sequence[Sequence[Component]]:
        """Return the components in stages; those of a stage start in parallel."""

    def _scheduler(self, healthy: Callable[[], bool]) -> Component:
        """Return the scheduler, without its server of log files: the logs are on this machine."""
        return self._component("scheduler", healthy, "--skip-serve-logs")

    def _triggerer(self) -> Component:
        """Return the triggerer, in which runs wait for other datasets."""
        return self._component("triggerer", self._health.triggerer, "--skip-serve-logs")

    def _basecamp(self) -> Component:
        port = self._configuration.server_port
        command = [sys.executable, "-P", "-m", "basecamp", "serve", "--host", LOOPBACK, "--port", str(port)]
        environ = self._configuration.basecamp_environ(os.environ)
        program = self._program("basecamp", command, environ)
        return Component(program, lambda: server_ready(port), port, stateless=True)

    def _serving(self, name: str) -> Component:
        """Return the component that serves Airflow's API."""
        return replace(self._component(name, self._health.api_server), port=self._configuration.airflow_port)

    def _component(self, name: str, healthy: Callable[[], bool], *options: str) -> Component:
        return Component(self._program(name, [str(self._airflow), name, *options], self._environ), healthy)

    def _program(self, name: str, command: Sequence[str], environ: dict[str, str]) -> Program:
        home = self._configuration.home
        log = home.logs / f"{name}.log"
        return Program(name=name, command=command, environ=environ, folder=home.folder, log=log)


class Airflow3Components(Components):
    """The components with Airflow 3."""

    def preparation(self) -> Sequence[Program]:
        """Return nothing: the DAG bundle writes its files itself."""
        return ()

    def stages(self) -> Sequence[Sequence[Component]]:
        """Return the API server in the first stage: a task that starts before it fails."""
        processor = self._component("dag-processor", self._health.dag_processor)
        scheduler = self._scheduler(lambda: self._health.tasks_api() and self._health.scheduler())
        return (self._serving("api-server"), processor), (scheduler, self._triggerer(), self._basecamp())


class Airflow2Components(Components):
    """The components with Airflow 2, whose scheduler parses the DAG files."""

    def preparation(self) -> Sequence[Program]:
        """Return the program that writes the DAG files."""
        self._configuration.webserver_file.write_text(OPEN_TO_ALL)
        return (self._dag_files("write"),)

    def stages(self) -> Sequence[Sequence[Component]]:
        """Return the webserver in the first stage: it reports the scheduler's health."""
        watcher = Component(self._dag_files("watch"), lambda: True)
        scheduler = self._scheduler(self._health.scheduler)
        return (self._serving("webserver"),), (scheduler, self._triggerer(), watcher, self._basecamp())

    def _dag_files(self, verb: str) -> Program:
        folder = self._configuration.dags_folder
        command = [str(self._python), "-m", "dli_airflow.dag_files", verb, str(folder)]
        return self._program(f"dag-files-{verb}", command, self._environ)


def components_of(configuration: Configuration, environment: AirflowEnvironment) -> Components:
    """Return the components for a configuration's release line."""
    kind = Airflow2Components if configuration.home.line == AIRFLOW_2 else Airflow3Components
    return kind(configuration, environment)


_OK = 200
_TIMEOUT_SECONDS = 2.0  # a signal is handled only after it


def server_ready(port: int) -> bool:
    """Say whether Basecamp is ready, with its store and its Airflow."""
    status, _ = _answer(port, "/readyz")
    return status == _OK


class AirflowHealthCheck:
    """The health of Airflow's components since a point in time.

    Airflow reports a component as healthy for half a minute after its last heartbeat, so after a
    restart only heartbeats after the start count.
    """

    def __init__(self, port: int, path: str, *, since: datetime) -> None:
        """Create the check from the API's port and the path of the release line's health check."""
        self._port = port
        self._path = path
        self._since = since

    def api_server(self) -> bool:
        """Say whether the API server answers and reaches the database."""
        return bool(self._reported("metadatabase").get("status") == "healthy")

    def scheduler(self) -> bool:
        """Say whether the scheduler has sent a heartbeat."""
        return self._alive("scheduler")

    def tasks_api(self) -> bool:
        """Say whether the API that tasks report to answers (Airflow 3).

        The API server builds it at the first request, and answers no other for seconds: do it before
        the first run.
        """
        status, _ = _answer(self._port, "/execution/health")
        return status == _OK

    def dag_processor(self) -> bool:
        """Say whether the DAG processor has sent a heartbeat."""
        return self._alive("dag_processor")

    def triggerer(self) -> bool:
        """Say whether the triggerer has sent a heartbeat."""
        return self._alive("triggerer")

    def _alive(self, name: str) -> bool:
        state = self._reported(name)
        heartbeat = state.get(f"latest_{name}_heartbeat")
        if state.get("status") != "healthy" or heartbeat is None:
            return False
        return datetime.fromisoformat(heartbeat).astimezone(UTC) >= self._since

    def _reported(self, name: str) -> dict[str, Any]:
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
