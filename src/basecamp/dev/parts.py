"""The programs that make up a `basecamp dev`, and how each is known to be up."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from basecamp.dev.health import AirflowHealth, server_ready
from basecamp.dev.ports import LOOPBACK
from basecamp.dev.process import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from basecamp.dev.configuration import Configuration
    from basecamp.dev.environment import AirflowEnvironment


@dataclass(frozen=True, slots=True)
class Part:
    """A program that runs for as long as `basecamp dev` does."""

    program: Program
    healthy: Callable[[], bool]
    port: int | None = None
    """Where it listens, if it does."""


class Parts:
    """Airflow's parts and Basecamp, as they are to be started."""

    def __init__(self, configuration: Configuration, environment: AirflowEnvironment) -> None:
        self._configuration = configuration
        self._airflow = environment.python.with_name("airflow")
        self._environ = configuration.airflow_environ(os.environ, self._airflow.parent)
        self._health = AirflowHealth(configuration.airflow_port, since=datetime.now(UTC))

    def migration(self, database: Path) -> Program:
        """Return the program that brings a database up to this Airflow."""
        environ = self._environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}"}
        return self._program("migrate", [str(self._airflow), "db", "migrate"], environ)

    def api_server(self) -> Part:
        """Return Airflow's api-server, which tasks report to: a task that starts before it fails."""
        part = self._part("api-server", self._health.api_server)
        return replace(part, port=self._configuration.airflow_port)

    def dag_processor(self) -> Part:
        """Return the dag processor, which makes a DAG of each registered dataset."""
        return self._part("dag-processor", self._health.dag_processor)

    def scheduler(self) -> Part:
        """Return the scheduler; its server of log files is not needed where the logs are."""
        return self._part("scheduler", self._health.scheduler, "--skip-serve-logs")

    def basecamp(self) -> Part:
        """Return Basecamp."""
        port = self._configuration.server_port
        command = [sys.executable, "-P", "-m", "basecamp", "serve", "--host", LOOPBACK, "--port", str(port)]
        environ = self._configuration.basecamp_environ(os.environ)
        return Part(self._program("basecamp", command, environ), lambda: server_ready(port), port)

    def _part(self, name: str, healthy: Callable[[], bool], *options: str) -> Part:
        return Part(self._program(name, [str(self._airflow), name, *options], self._environ), healthy)

    def _program(self, name: str, command: Sequence[str], environ: dict[str, str]) -> Program:
        home = self._configuration.home
        log = home.logs / f"{name}.log"
        return Program(name=name, command=command, environ=environ, folder=home.folder, log=log)
