"""Everything outside the clients: S3, PostgreSQL, Airflow, a receiver of webhooks, and the replicas with their networks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx

from basecamp.dev.airflow_environment import AirflowEnvironment, running_origin
from basecamp.dev.configuration import Configuration, kept_keys
from basecamp.dev.home import Home
from basecamp.dev.processes.components import components_of
from basecamp.dev.processes.guard import Guard
from basecamp.dev.processes.interrupts import Interrupts
from basecamp.dev.processes.supervisor import Progress, Supervisor
from chaos.clients import CONNECTION
from chaos.faults import Network, network
from chaos.replicas import Replica, Version
from postgres import Postgres, postgres_server
from receivers import Answer, Asked, WebhookReceiver
from s3 import S3, free_port, s3_server
from stacks import REPOSITORY, command_of, family_of

AIRFLOW_ENV = REPOSITORY / ".basecamp" / "airflow-env"
SYNC_SECONDS = 15
TABLE = """
create table executions (
  dataset text, request text, day text, spec text, began timestamptz, ended timestamptz
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AirflowRun:
    """A DAG run, as Airflow itself tells it."""

    dag_id: str
    run_id: str
    state: str
    queued_at: datetime
    request: str
    """The mark of the client's request in its parameters."""
    day: str
    backfill_id: str | None
    note: str | None
    tries: int


@dataclass(frozen=True, slots=True)
class Execution:
    """A row that a run has written to PostgreSQL."""

    request: str
    day: str
    began: datetime
    ended: datetime


class Receiver(WebhookReceiver):
    """Takes notifications, and refuses some of them while there are faults."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = 0.0
        self._random = Random(0)

    def answer(self, asked: Asked) -> Answer:
        if self._random.random() < self.refuses:
            return Answer(503)
        return super().answer(asked)


class World:
    """The servers and replicas of a run.

    Attributes:
        store: The store, reached without a fault.
        database: The warehouse of the datasets.
        receiver: The receiver of notifications.
    """

    def __init__(
        self, store: S3, database: Postgres, airflow_url: str, receiver: Receiver, replicas: list[Replica]
    ) -> None:
        self.place = store
        self.store = store.store()
        self.database = database
        self.receiver = receiver
        self.replicas = replicas
        self._airflow = httpx.Client(base_url=f"{airflow_url}/api/v2", timeout=60)

    def runs(self) -> list[AirflowRun]:
        """Return every run of Airflow, the oldest first."""
        attempts: dict[tuple[str, str], int] = {}
        for instance in self._all("dags/~/dagRuns/~/taskInstances", "task_instances"):
            attempts[instance["dag_id"], instance["dag_run_id"]] = instance["try_number"]
        rows = self._all("dags/~/dagRuns", "dag_runs")
        found = [_run(row, attempts.get((row["dag_id"], row["dag_run_id"]), 0)) for row in rows]
        return sorted(found, key=lambda run: run.queued_at)

    def _all(self, path: str, name: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            response = self._airflow.get(path, params={"limit": 100, "offset": offset, "order_by": "id"})
            page = response.raise_for_status().json()[name]
            yield from page
            offset += len(page)
            if not page:
                return

    def is_paused(self, dag_id: str) -> bool:
        """Say whether Airflow has paused a dataset."""
        return bool(self._airflow.get(f"dags/{dag_id}").raise_for_status().json()["is_paused"])

    def unpause(self, dag_id: str) -> None:
        """Unpause a dataset in Airflow itself, so that what waits can end."""
        self._airflow.patch(f"dags/{dag_id}", json={"is_paused": False}).raise_for_status()

    def executions(self) -> list[Execution]:
        """Return the rows that runs have written, the oldest first."""
        rows = self.database.ask("select request, day, began, ended from executions order by began")
        return [
            Execution(request, day, datetime.fromisoformat(began), datetime.fromisoformat(ended))
            for request, day, began, ended in rows
        ]

    def store_keys(self, prefix: str) -> list[str]:
        """Return the keys of the store below a prefix."""
        return [info.key for info in self.store.list(prefix)]

    def told(self) -> str:
        """Return all that the receiver of notifications was sent."""
        return "\n".join(asked.body.decode() for asked in tuple(self.receiver.asked))

    def workers(self) -> list[int]:
        """Return the processes of Airflow that run a task."""
        commands = {pid: command_of(pid) for pid in family_of(os.getpid())}
        return [
            pid
            for pid, command in commands.items()
            if command.startswith("airflow worker -- ") and "LocalExecutor" not in command
        ]

    def get(self, replica: Replica, path: str) -> httpx.Response:
        """Send a replica a request."""
        return httpx.get(f"{replica.url}{path}", timeout=60)


def _run(row: dict[str, Any], tries: int) -> AirflowRun:
    conf = row["conf"] or {}
    return AirflowRun(
        dag_id=row["dag_id"],
        run_id=row["dag_run_id"],
        state=row["state"],
        queued_at=datetime.fromisoformat(row["queued_at"]),
        request=str(conf.get("request")),
        day=str(conf.get("execution_date")),
        backfill_id=conf.get("_dli", {}).get("backfill_id"),
        note=row.get("note"),
        tries=tries,
    )


@contextmanager
def airflow(home: Home, store: S3, database: Postgres) -> Iterator[str]:
    """Run Airflow without a Basecamp; gives its address."""
    os.environ.update(store.environ)
    warehouse: dict[str, Any] = {"conn_type": "postgres", "host": "127.0.0.1", "login": "postgres"}
    warehouse |= {"schema": database.database, "port": database.port}
    configuration = Configuration(
        home=home,
        server_port=free_port(),
        airflow_port=free_port(),
        store_url=store.url,
        connections={CONNECTION: json.dumps(warehouse)},
        keys=kept_keys(home.secrets),
        database_url=database.fresh().url,
    )
    environment = AirflowEnvironment(AIRFLOW_ENV, running_origin(), home.line, patience=300)
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        guard = stack.enter_context(Guard(stack.enter_context(home.held(interrupts))))
        stack.enter_context(environment.ready(lambda: _install(environment), interrupts))
        supervisor = stack.enter_context(Supervisor(guard, interrupts, Progress(sys.stderr)))
        components = components_of(configuration, environment)
        home.airflow.mkdir(parents=True)
        supervisor.run(components.migration(configuration.airflow_database), "migrating Airflow's database")
        for stage in components.stages():
            supervisor.start(*(part for part in stage if part.program.name != "basecamp"))
        yield configuration.airflow_url


def _install(environment: AirflowEnvironment) -> None:
    for _, command in environment.commands():
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def world(folder: Path, seed: int, versions: Sequence[Version]) -> Iterator[tuple[World, list[Network]]]:
    """Start everything, with one replica of each given version; gives also the networks between them."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        store = stack.enter_context(s3_server(folder)).below("chaos")
        database = stack.enter_context(postgres_server()).fresh()
        database.ask(TABLE)
        receiver = stack.enter_context(Receiver())
        home = Home(folder / "airflow")
        home.logs.mkdir(parents=True)
        airflow_url = stack.enter_context(airflow(home, store, database))
        replicas, networks = [], []
        for number, version in enumerate(versions):
            random = Random(f"{seed} network {number}")
            to_store = stack.enter_context(network(f"{number} → store", store.endpoint, random))
            to_airflow = stack.enter_context(network(f"{number} → Airflow", airflow_url, random))
            networks += [to_store, to_airflow]
            environ = {
                **store.through(to_store.url).environ,
                "BASECAMP_STORE_URL": store.url,
                "BASECAMP_AIRFLOW_URL": to_airflow.url,
                "BASECAMP_AIRFLOW_PUBLIC_URL": airflow_url,
                "BASECAMP_AIRFLOW_AUTH": "none",
                "BASECAMP_DIALECTS": f"{CONNECTION}=postgres",
                "BASECAMP_WEBHOOK_NETWORKS": "127.0.0.1",
                "SYNC_INTERVAL_SECONDS": str(SYNC_SECONDS),
            }
            replica = Replica(number, folder / f"replica-{number}.log", environ, version)
            stack.callback(replica.end)
            replica.start()
            replicas.append(replica)
        for replica in replicas:
            replica.await_ready()
        yield World(store, database, airflow_url, receiver, replicas), networks
