"""From nothing to `Ready`, and down again."""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click

from basecamp.dev.airflow.connections import airflow_connections
from basecamp.dev.airflow.database import Database
from basecamp.dev.airflow.environment import AirflowEnvironment
from basecamp.dev.airflow.keys import kept_keys
from basecamp.dev.configuration import Configuration
from basecamp.dev.home import Addresses, Home
from basecamp.dev.origin import running_origin
from basecamp.dev.processes.guard import Guard
from basecamp.dev.processes.interrupts import Interrupts
from basecamp.dev.processes.parts import Parts, parts_of
from basecamp.dev.processes.ports import claim
from basecamp.dev.processes.process import Program
from basecamp.dev.processes.supervisor import Supervisor
from basecamp.dev.progress import Progress
from dataspec.trust import Trust

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the caller asked for."""

    home: Home
    project: Path
    """The folder whose ``dli.yaml`` is read for connections."""
    port: int
    airflow_port: int
    store: str | None
    airflow_env: Path | None
    database_url: str | None = field(default=None, repr=False)
    """Airflow's database, if it is not to be a file in the home."""

    @property
    def store_url(self) -> str:
        """The store's address; a folder is made absolute, for Airflow runs elsewhere."""
        store = self.store or str(self.home.store)
        return store if _URL.match(store) else str(Path(store).absolute())


class Startup:
    """Brings everything up, says so, and watches it until somebody asks to end."""

    def __init__(self, asked: Request, interrupts: Interrupts, progress: Progress) -> None:
        self._asked = asked
        self._home = asked.home
        self._interrupts = interrupts
        self._progress = progress
        folder = asked.airflow_env or asked.home.airflow_env
        self._environment = AirflowEnvironment(folder, running_origin(), asked.home.line)

    def run(self) -> None:
        """Run until asked to end. By the time that this raises, everything is down.

        Raises:
            Interrupted: When somebody asked to end.
            DliError: When something could not be started, or ended by itself.
        """
        self._home.line.check(has_database=self._asked.database_url is not None)
        self._environment.check()
        began = time.monotonic()
        with ExitStack() as stack:
            held = stack.enter_context(self._home.held(self._interrupts))
            configuration = self._configuration()
            self._progress.say(f"basecamp dev in {self._home.folder}")
            guard = stack.enter_context(Guard(held))
            stack.enter_context(self._environment.ready(lambda: self._install(guard), self._interrupts))
            supervisor = stack.enter_context(self._supervisor(guard))
            parts = parts_of(configuration, self._environment)
            self._migrate(configuration, parts, supervisor)
            for program in parts.preparation():
                supervisor.run(program, "writing Airflow's DAG files")
            for stage in parts.stages():
                supervisor.start(*stage)
            stack.enter_context(self._home.announced(_addresses(configuration)))
            self._progress.done("everything is up", began)
            click.echo(_ready(configuration))
            supervisor.watch()

    def _configuration(self) -> Configuration:
        asked = self._asked
        port = claim(asked.port, option="--port")
        return Configuration(
            home=self._home,
            server_port=port,
            airflow_port=claim(asked.airflow_port, option="--airflow-port", other=port),
            store_url=asked.store_url,
            connections=airflow_connections(asked.project, os.environ, Trust(asked.project, os.environ)),
            keys=kept_keys(self._home.secrets),
            database_url=asked.database_url,
        )

    def _supervisor(self, guard: Guard) -> Supervisor:
        return Supervisor(guard, self._interrupts, self._progress)

    def _install(self, guard: Guard) -> None:
        since = time.monotonic()
        what = f"Airflow {self._home.line.version}"
        self._progress.say(f"  installing {what} into {self._environment.folder}")
        with self._supervisor(guard) as supervisor:
            for step, command in self._environment.commands():
                log = self._home.logs / f"install-{step}.log"
                program = Program(
                    name=f"uv ({step})",
                    command=command,
                    environ=os.environ,
                    folder=self._home.folder,
                    log=log,
                )
                supervisor.run(program, f"installing {what} ({step})")
        self._progress.done(f"{what} is installed", since)

    def _migrate(self, configuration: Configuration, parts: Parts, supervisor: Supervisor) -> None:
        """Bring Airflow's database up to its version; a server's each time, for others may have changed it."""
        since = time.monotonic()
        doing = "making Airflow's database"
        if configuration.database_url:
            configuration.home.airflow.mkdir(parents=True, exist_ok=True)
            supervisor.run(parts.migration(configuration.database_url), doing)
        else:
            version, database = self._home.line.version, Database(configuration.database)
            if database.is_for(version):
                return
            database.begin()
            supervisor.run(parts.migration(f"sqlite:///{database.draft}"), doing)
            database.finish(version)
        self._progress.done("Airflow's database is made", since)


def _addresses(configuration: Configuration) -> Addresses:
    return Addresses(
        pid=os.getpid(),
        server_url=configuration.server_url,
        airflow_url=configuration.airflow_url,
        store_url=configuration.store_url,
    )


def _ready(configuration: Configuration) -> str:
    return f"""
Ready

  Basecamp  {configuration.server_url}
  Airflow   {configuration.airflow_url}
  Store     {configuration.store_url}
  Logs      {configuration.home.logs}

  export DLI_SERVER_URL={configuration.server_url}

Ctrl-C stops everything."""
