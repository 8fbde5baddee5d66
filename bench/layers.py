"""Measure datasets in ten layers: the check at a registration, chains, and runs that wait, beside DAGs by hand.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from commands import machine, ours
from server import BENCH, BIN, Server, deferred, get, install_airflow, running, until
from serving import quietly

from dataspec.catalog.spec_storage import Release, manual_key, write_release
from dataspec.contract import CONF_KEY, WAIT_KEY
from dataspec.store import open_store
from memory_server import memory_server
from postgres import postgres_server

LAYERS = 10
CONNECTION = "bench_pg"
ROUNDS = 3
REGISTRATIONS = 15
FIRST = datetime.now(UTC).date() + timedelta(days=10)
"""Partitions from here on are due after the registration, so they are waited for."""
SPEC = """\
name: {name}
type: Dataset
owner: bench@example.com
query_statement: select 1
parameters: [{{name: execution_date, type: date}}]
schedule: {{cron: "0 0 * * *", timezone: Pacific/Pago_Pago}}
execution: {{connection: {connection}}}
depends_on: {upstream}
"""


@dataclass(frozen=True)
class Layered:
    """Datasets in layers: one at the top, the others each behind one or two of the layer above."""

    name: str
    width: int

    @property
    def datasets(self) -> dict[str, list[str]]:
        """What each is built from."""
        found: dict[str, list[str]] = {self.of(0, 0): []}
        for layer in range(1, LAYERS):
            above = 1 if layer == 1 else self.width
            for number in range(self.width):
                both = {number % above, (number + 1) % above}
                found[self.of(layer, number)] = [self.of(layer - 1, one) for one in sorted(both)]
        return found

    def of(self, layer: int, number: int) -> str:
        """Return the name of a dataset."""
        return f"{self.name}.layer_{layer}_{number:03d}"

    @property
    def first(self) -> str:
        """The dataset at the top."""
        return self.of(0, 0)

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{len(self.datasets)} datasets"

    def specs(self) -> Iterator[tuple[str, bytes]]:
        """Yield the YAML of each."""
        for name, upstream in self.datasets.items():
            yield (
                name,
                SPEC.format(name=name, upstream=json.dumps(upstream), connection=CONNECTION).encode(),
            )


@dataclass
class Way:
    """A way to build all layers for one date, and the seconds it took each time."""

    name: str
    dags: tuple[str, ...]
    build: Callable[[date], None]
    seconds: list[float] = field(default_factory=list)

    def row(self) -> str:
        """Return its line of the table."""
        median = statistics.median(self.seconds)
        return f"| {self.name} | {median:.1f} | {median / LAYERS:.2f} | {max(self.seconds):.1f} |"


NARROW, WIDE, MANY = Layered("narrow", 1), Layered("wide", 11), Layered("many", 111)


def main() -> None:
    """Measure and print."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    print(f"## A registration among {len(MANY.datasets):,} datasets in {LAYERS} layers\n")
    print(registrations())
    install_airflow()
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder, postgres_server() as database:
        home, warehouse = Path(folder) / "home", database.fresh()
        os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"] = json.dumps(
            {"conn_type": "postgres", "host": "127.0.0.1", "port": warehouse.port, "login": "postgres"}
            | {"schema": warehouse.database}
        )
        fill(home / "store", NARROW, WIDE)
        count = len(NARROW.datasets) + len(WIDE.datasets)
        with running(home, 0, database.fresh(), BENCH / "hand_written") as server:
            until(lambda: dags(server) == count + 2 * LAYERS)
            ways = [*by_hand(server), *by_datasets(server, NARROW), *by_datasets(server, WIDE)]
            for number in range(ROUNDS):
                for way in ways:
                    measure(way, server, FIRST + timedelta(days=number))
    print(f"\n## {LAYERS} layers, one after the other\n")
    print("| what builds them | from the first run to the end of the last, s | a layer, s | slowest, s |")
    print("| --- | ---: | ---: | ---: |")
    print("\n".join(way.row() for way in ways))


def registrations() -> str:
    """Return the time of a registration at the bottom of many layers, without Airflow."""
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder:
        store = Path(folder) / "store"
        fill(store, MANY)
        with memory_server(Path(folder) / "log", "--store", str(store)) as server:
            below = [MANY.of(LAYERS - 1, number) for number in range(MANY.width)]
            took: dict[bool, list[float]] = {False: [], True: []}
            for number in range(2 * REGISTRATIONS):
                behind = number % 2 == 1
                yaml = SPEC.format(
                    name=f"more.dataset_{number:03d}",
                    upstream=json.dumps(below if behind else []),
                    connection=CONNECTION,
                )
                began = time.monotonic()
                send(
                    "PUT",
                    f"{server.url}/api/v1/datasets/more.dataset_{number:03d}",
                    {"yaml": yaml, "files": {}},
                )
                took[behind].append(1000 * (time.monotonic() - began))
    lines = ["| registration of a dataset | wall, ms | slowest, ms | runs |", "| --- | ---: | ---: | ---: |"]
    for behind, title in ((False, "that needs no other"), (True, f"that needs {len(below)} others")):
        each = took[behind]
        lines.append(f"| {title} | {statistics.median(each):.0f} | {max(each):.0f} | {len(each)} |")
    return "\n".join(lines)


def by_datasets(server: Server, layered: Layered) -> tuple[Way, Way]:
    """Return the two ways in which datasets follow each other: runs that wait, and a chain."""
    dli = [str(BIN / "dli"), "workflow", "run", layered.first]

    def waiting(day: date) -> None:
        start(server, layered, day, wait=True)
        quietly([*dli, "-p", f"execution_date={day}"], os.environ | ours(server))

    def chain(day: date) -> None:
        quietly(
            [*dli, "-p", f"execution_date={day}", "--with-downstream", "--wait"], os.environ | ours(server)
        )

    names = tuple(layered.datasets)
    return (
        Way(f"{layered.title}: scheduled runs, which wait", names, waiting),
        Way(f"{layered.title}: `dli workflow run --with-downstream`", names, chain),
    )


def by_hand(server: Server) -> tuple[Way, Way]:
    """Return the two ways in which DAGs by hand follow each other: sensors, and partitioned assets."""

    def sensors(day: date) -> None:
        for number in reversed(range(LAYERS)):
            past = day - timedelta(days=7300)  # a run of a later date would wait for it
            trigger(server, f"sensors_{number}", {"logical_date": f"{past}T00:00:00Z"})

    def assets(day: date) -> None:
        trigger(server, "assets_0", {"logical_date": None, "partition_key": f"{day}"})

    return (
        Way(
            f"{LAYERS} DAGs by hand: `ExternalTaskSensor`, deferrable, polls each second",
            hand_written("sensors"),
            sensors,
        ),
        Way(f"{LAYERS} DAGs by hand: partitioned assets", hand_written("assets"), assets),
    )


def hand_written(kind: str) -> tuple[str, ...]:
    """Return the ids of the DAGs by hand."""
    return tuple(f"{kind}_{number}" for number in range(LAYERS))


def measure(way: Way, server: Server, day: date) -> None:
    """Build all layers for a date once; note the time from the first run's task to the end of the last."""
    before = {dag: ended(server, dag) for dag in way.dags}
    way.build(day)
    until(lambda: all(ended(server, dag) > count for dag, count in before.items()))
    runs = [get(f"{server.airflow_url}{TASKS.format(dag=dag)}")["task_instances"][0] for dag in way.dags]
    begin = datetime.fromisoformat(runs[0]["start_date"])
    end = max(datetime.fromisoformat(run["end_date"]) for run in runs)
    way.seconds.append((end - begin).total_seconds())
    sys.stderr.write(f"  {way.name}: {way.seconds[-1]:.1f} s\n")


TASKS = "/api/v2/dags/{dag}/dagRuns/~/taskInstances?task_id=run&order_by=-start_date&limit=1"


def start(server: Server, layered: Layered, day: date, *, wait: bool) -> None:
    """Start runs of all but the first dataset, and see them wait."""
    below = [name for name in layered.datasets if name != layered.first]
    for name in below:
        now = datetime.now(UTC)
        conf = {"execution_date": f"{day}", CONF_KEY: {"run_type": "adhoc", WAIT_KEY: wait}}
        body = {"dag_run_id": f"{name}_{now:%Y%m%d_%H%M%S}", "logical_date": now.isoformat(), "conf": conf}
        trigger(server, name, body)
    until(lambda: sum(deferred(server, name) for name in below) == len(below))


def ended(server: Server, dag: str) -> int:
    """Return how many runs of a DAG have succeeded."""
    path = f"/api/v2/dags/{dag}/dagRuns?limit=1&state=success"
    return int(get(f"{server.airflow_url}{path}")["total_entries"])


def dags(server: Server) -> int:
    """Return how many DAGs Airflow has loaded."""
    return int(get(f"{server.airflow_url}/api/v2/dags?limit=1")["total_entries"])


def trigger(server: Server, dag: str, body: dict[str, Any]) -> None:
    """Start a run by Airflow's API."""
    send("POST", f"{server.airflow_url}/api/v2/dags/{dag}/dagRuns", body)


def send(method: str, url: str, body: object) -> None:
    """Send JSON to a server, which must take it."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def fill(store: Path, *all_layers: Layered) -> None:
    """Write specs into a folder as Basecamp does."""
    opened = open_store(str(store))
    for layered in all_layers:
        for name, yaml in layered.specs():
            write_release(opened, manual_key(name), Release(yaml, {}))


if __name__ == "__main__":
    main()
