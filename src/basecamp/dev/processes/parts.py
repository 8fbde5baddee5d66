"""The programs that make up a `basecamp dev`, and how each is known to be up."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from basecamp.dev.airflow.environment import AirflowEnvironment
from basecamp.dev.configuration import Configuration
from basecamp.dev.lines import AIRFLOW_2
from basecamp.dev.processes.health import AirflowHealth, server_ready
from basecamp.dev.processes.ports import LOOPBACK
from basecamp.dev.processes.process import Program

OPEN_TO_ALL = """\
# Written by basecamp dev: Airflow listens on this machine alone, and lets everyone in.
AUTH_ROLE_PUBLIC = "Admin"
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A program that runs for as long as `basecamp dev` does."""

    program: Program
    healthy: Callable[[], bool]
    port: int | None = None
    """Where it listens, if it does."""
    stateless: bool = False
    """Whether another one goes on where one that was killed has ended."""


class Parts(ABC):
    """Airflow's parts and Basecamp, as they are to be started."""

    def __init__(self, configuration: Configuration, environment: AirflowEnvironment) -> None:
        self._configuration = configuration
        self._python = environment.python
        self._airflow = environment.python.with_name("airflow")
        self._environ = configuration.airflow_environ(os.environ, self._airflow.parent)
        path = configuration.home.line.health_path
        self._health = AirflowHealth(configuration.airflow_port, path, since=datetime.now(UTC))

    def migration(self, database: str) -> Program:
        """Return the program that brings a database, named by its address, up to this Airflow."""
        environ = self._environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database}
        return self._program("migrate", [str(self._airflow), "db", "migrate"], environ)

    @abstractmethod
    def preparation(self) -> Sequence[Program]:
        """Return what is to be run to its end before Airflow starts."""

    @abstractmethod
    def stages(self) -> Sequence[Sequence[Part]]:
        """Return the parts in the order in which they start, those of a stage side by side."""

    def _scheduler(self, healthy: Callable[[], bool]) -> Part:
        """Return the scheduler; its server of log files is not needed where the logs are."""
        return self._part("scheduler", healthy, "--skip-serve-logs")

    def _basecamp(self) -> Part:
        port = self._configuration.server_port
        command = [sys.executable, "-P", "-m", "basecamp", "serve", "--host", LOOPBACK, "--port", str(port)]
        environ = self._configuration.basecamp_environ(os.environ)
        program = self._program("basecamp", command, environ)
        return Part(program, lambda: server_ready(port), port, stateless=True)

    def _serving(self, name: str) -> Part:
        """Return the part that answers Airflow's API."""
        return replace(self._part(name, self._health.api_server), port=self._configuration.airflow_port)

    def _part(self, name: str, healthy: Callable[[], bool], *options: str) -> Part:
        return Part(self._program(name, [str(self._airflow), name, *options], self._environ), healthy)

    def _program(self, name: str, command: Sequence[str], environ: dict[str, str]) -> Program:
        home = self._configuration.home
        log = home.logs / f"{name}.log"
        return Program(name=name, command=command, environ=environ, folder=home.folder, log=log)


class Airflow3Parts(Parts):
    """Those of Airflow 3."""

    def preparation(self) -> Sequence[Program]:
        """Return nothing: the DAG bundle makes its files itself."""
        return ()

    def stages(self) -> Sequence[Sequence[Part]]:
        """Return the api-server first, which tasks report to: one that starts before it fails."""
        processor = self._part("dag-processor", self._health.dag_processor)
        scheduler = self._scheduler(lambda: self._health.tasks_api() and self._health.scheduler())
        return (self._serving("api-server"), processor), (scheduler, self._basecamp())


class Airflow2Parts(Parts):
    """Those of Airflow 2, whose scheduler parses the DAG files."""

    def preparation(self) -> Sequence[Program]:
        """Return what writes the DAG files."""
        self._configuration.webserver_file.write_text(OPEN_TO_ALL)
        return (self._dag_files("write"),)

    def stages(self) -> Sequence[Sequence[Part]]:
        """Return the webserver first, which tells how the scheduler is."""
        watcher = Part(self._dag_files("watch"), lambda: True)
        scheduler = self._scheduler(self._health.scheduler)
        return (self._serving("webserver"),), (scheduler, watcher, self._basecamp())

    def _dag_files(self, verb: str) -> Program:
        folder = self._configuration.dags_folder
        command = [str(self._python), "-m", "dli_airflow.dag_files", verb, str(folder)]
        return self._program(f"dag-files-{verb}", command, self._environ)


def parts_of(configuration: Configuration, environment: AirflowEnvironment) -> Parts:
    """Return the parts of the line that a configuration is for."""
    kind = Airflow2Parts if configuration.home.line == AIRFLOW_2 else Airflow3Parts
    return kind(configuration, environment)
