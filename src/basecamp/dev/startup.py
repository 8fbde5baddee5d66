"""Startup of `basecamp dev`: installs, migrates and starts everything, and supervises it until the end."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import click

from basecamp.dev.airflow_environment import AirflowEnvironment, running_origin
from basecamp.dev.configuration import Configuration, kept_keys
from basecamp.dev.connections import airflow_connections
from basecamp.dev.home import Addresses, Home
from basecamp.dev.processes.components import Components, components_of
from basecamp.dev.processes.guard import Guard
from basecamp.dev.processes.interrupts import Interrupts
from basecamp.dev.processes.ports import claim
from basecamp.dev.processes.process import Program
from basecamp.dev.processes.supervisor import Progress, Supervisor
from dataspec.trust import Trust

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command."""

    home: Home
    project: Path
    """The folder whose ``dli.yaml`` is read for connections."""
    port: int
    airflow_port: int
    store: str | None
    airflow_env: Path | None
    database_url: str | None = field(default=None, repr=False)
    """URL of Airflow's database; by default a SQLite file in the home."""

    @property
    def store_url(self) -> str:
        """The store's URL; a folder becomes absolute, because Airflow has another working directory."""
        store = self.store or str(self.home.store)
        return store if _URL.match(store) else str(Path(store).absolute())


class Startup:
    """Starts everything, prints the addresses, and supervises it until the user stops it."""

    def __init__(self, options: Options, interrupts: Interrupts, progress: Progress) -> None:
        self._options = options
        self._home = options.home
        self._interrupts = interrupts
        self._progress = progress
        folder = options.airflow_env or options.home.airflow_env
        self._environment = AirflowEnvironment(folder, running_origin(), options.home.line)

    def run(self) -> None:
        """Run until a signal arrives. Everything is stopped before this raises.

        Raises:
            Interrupted: After SIGINT, SIGTERM or SIGHUP.
            DliError: When a program could not be started, or exited.
        """
        self._home.line.check(has_database=self._options.database_url is not None)
        self._environment.check()
        began = time.monotonic()
        with ExitStack() as stack:
            held = stack.enter_context(self._home.held(self._interrupts))
            configuration = self._configuration()
            self._progress.say(f"basecamp dev in {self._home.folder}")
            guard = stack.enter_context(Guard(held))
            stack.enter_context(self._environment.ready(lambda: self._install(guard), self._interrupts))
            supervisor = stack.enter_context(self._supervisor(guard))
            components = components_of(configuration, self._environment)
            self._migrate(configuration, components, supervisor)
            for program in components.preparation():
                supervisor.run(program, "writing Airflow's DAG files")
            for stage in components.stages():
                supervisor.start(*stage)
            stack.enter_context(self._home.announced(_addresses(configuration)))
            self._progress.done("everything is running", began)
            click.echo(ready_text(configuration))
            supervisor.watch()

    def _configuration(self) -> Configuration:
        options = self._options
        port = claim(options.port, option="--port")
        return Configuration(
            home=self._home,
            server_port=port,
            airflow_port=claim(options.airflow_port, option="--airflow-port", other=port),
            store_url=options.store_url,
            connections=airflow_connections(options.project, os.environ, Trust(options.project, os.environ)),
            keys=kept_keys(self._home.secrets),
            database_url=options.database_url,
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

    def _migrate(self, configuration: Configuration, components: Components, supervisor: Supervisor) -> None:
        """Migrate Airflow's database to its version; PostgreSQL at each start, because others may have changed it."""
        since = time.monotonic()
        doing = "migrating Airflow's database"
        if configuration.database_url:
            configuration.home.airflow.mkdir(parents=True, exist_ok=True)
            supervisor.run(components.migration(configuration.database_url), doing)
        else:
            version, database = self._home.line.version, SqliteFile(configuration.database)
            if database.is_for(version):
                return
            database.begin()
            supervisor.run(components.migration(f"sqlite:///{database.draft}"), doing)
            database.finish(version)
        self._progress.done("Airflow's database is migrated", since)


def _addresses(configuration: Configuration) -> Addresses:
    return Addresses(
        pid=os.getpid(),
        server_url=configuration.server_url,
        airflow_url=configuration.airflow_url,
        store_url=configuration.store_url,
    )


def ready_text(configuration: Configuration) -> str:
    """Return what is printed once everything answers: the addresses, and that there is no sign-in."""
    return f"""
Ready

  Basecamp  {configuration.server_url}
  Airflow   {configuration.airflow_url}
  Store     {configuration.store_url}
  Logs      {configuration.home.logs}

  export DLI_SERVER_URL={configuration.server_url}

There is no sign-in: every program on this machine may do everything, and no other machine gets in.
Ctrl-C stops everything."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """Airflow's SQLite file, with the version of its last migration. A copy is migrated, and replaces the file."""

    file: Path

    @property
    def draft(self) -> Path:
        """The copy that is migrated, so that an interrupted migration leaves the file intact."""
        return self.file.with_suffix(".draft.db")

    @property
    def _stamp(self) -> Path:
        return self.file.with_suffix(".version")

    def is_for(self, version: str) -> bool:
        """Say whether the file was migrated to a version of Airflow."""
        return self.file.exists() and self._stamp.exists() and self._stamp.read_text() == version

    def begin(self) -> None:
        """Create the draft as a copy of the file, if there is one."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self.file.parent.glob(f"{self.draft.name}*"):
            leftover.unlink()
        if self.file.exists():
            # Closing the last connection also merges a killed Airflow's write-ahead log into the file.
            with closing(sqlite3.connect(self.file)) as there, closing(sqlite3.connect(self.draft)) as draft:
                there.backup(draft)

    def finish(self, version: str) -> None:
        """Replace the file with the migrated draft."""
        with closing(sqlite3.connect(self.draft)) as draft:
            # Otherwise writers block readers, and Airflow's components fail with "database is locked".
            draft.execute("PRAGMA journal_mode=WAL")
        self.draft.replace(self.file)
        self._stamp.write_text(version)
