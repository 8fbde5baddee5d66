"""Measure what ten thousand specs in a bucket cost: a check, the DAG bundle's refresh, memory.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date. Its
argument is another number of specs, to try it out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from bucket import DATASETS, change, filled, name_of, release
from calls import Call, Cost, measure, table
from commands import machine
from counting import CountingStore, bare_list, resident_megabytes
from processes import Command
from processes import measure as measure_commands
from processes import table as table_of_commands
from server import AIRFLOW_ENV, BENCH, BIN, install_airflow
from serving import Place, Running, airflow, airflow_environ, answer_of, basecamp

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.server.wiring import build_services
from basecamp.shared.clock import SystemClock
from dataspec.catalog.ledger import LEDGER_KEY
from dataspec.store import StoredObject
from s3 import S3

CHANGED = 10
ROUNDS = 3
LIST = "obstore.list, all pages"
LIST_IN_AIRFLOW = "obstore.list, all pages, in Airflow's environment"
FIRST = "the first check"

Ask = Callable[[str], Cost]


def main() -> None:
    """Measure and print."""
    datasets = int(sys.argv[1]) if len(sys.argv) > 1 else DATASETS
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    install_airflow()
    with (
        filled(datasets) as place,
        tempfile.TemporaryDirectory(prefix="dli-bench-") as folder,
        refreshing(place, Path(folder)) as ask,
    ):
        Checks(place, ask, datasets).measured()
        with (
            airflow(Path(folder), datasets) as airflow_server,
            basecamp(
                Place(place.url, place.environ), airflow_server.url, Path(folder) / "basecamp.log"
            ) as server,
        ):
            served(server, Path(folder), datasets)


class Checks:
    """The check and the refresh, on one bucket."""

    def __init__(self, place: S3, ask: Ask, datasets: int) -> None:
        self._store = CountingStore(place.store())
        self._client = place.client()
        self._checks = build_services(self._store, MemoryAirflow(), SystemClock()).check
        self._ask = ask
        self._datasets = datasets
        self._notes = count()
        self._newest = {"yaml": "first", "sql": "first"}

    def measured(self) -> None:
        """Measure and print both."""
        first = [
            Call(FIRST, self._check, FIRST),
            Call("the first refresh of a new machine", lambda: self._ask("refresh"), FIRST),
        ]
        for call in first:
            call.measure()
        keys = bare_list(self._client)
        print(f"## {self._datasets:,} specs in {keys:,} keys\n")
        print(table(first, times="wall, times the check"), "\n")
        calls = [*self._of_check(), *self._of_refresh()]
        measure(calls, ROUNDS)
        print(table(calls, times="wall, times the listing"), "\n")

    def _of_check(self) -> list[Call]:
        return [
            Call(LIST, self._list, LIST),
            Call("obstore.get of the ledger, not modified", self._ledger, LIST, before=self._check),
            Call("check, nothing changed", self._check, LIST),
            Call(f"check, {CHANGED} with other SQL", self._check, LIST, before=lambda: self._change("sql")),
            Call(f"check, {CHANGED} with other YAML", self._check, LIST, before=lambda: self._change("yaml")),
            Call(
                f"check, {CHANGED} with both", self._check, LIST, before=lambda: self._change("sql", "yaml")
            ),
        ]

    def _of_refresh(self) -> list[Call]:
        def refresh() -> Cost:
            return self._ask("refresh")

        def settle(*what: str) -> None:
            self._check()
            refresh()
            if what:
                self._change(*what)

        beside = LIST_IN_AIRFLOW
        return [
            Call(beside, lambda: self._ask("list"), beside),
            Call("refresh, nothing changed", refresh, beside, before=settle),
            Call(f"refresh, {CHANGED} with other SQL", refresh, beside, before=lambda: settle("sql")),
            Call(f"refresh, {CHANGED} with other YAML", refresh, beside, before=lambda: settle("yaml")),
            Call("refresh after a check of that", refresh, beside, before=self._check),
        ]

    def _list(self) -> Cost:
        return self._store.cost_of(lambda: bare_list(self._client))

    def _check(self) -> Cost:
        return self._store.cost_of(self._checks.sync)

    def _ledger(self) -> Cost:
        stored = self._store.get(LEDGER_KEY)
        assert stored is not None
        known = StoredObject(LEDGER_KEY, stored.etag, b"")
        return self._store.cost_of(lambda: self._store.get(LEDGER_KEY, known=known))

    def _change(self, *what: str) -> None:
        """Write other YAML, other SQL, or both, of some datasets."""
        self._newest |= {kind: f"v{next(self._notes)}" for kind in what}
        change(self._store.store, range(CHANGED), **self._newest)


@contextmanager
def refreshing(place: S3, folder: Path) -> Iterator[Ask]:
    """Give a process in Airflow's environment that refreshes a bundle, and tells what that cost."""
    client: dict[str, Any] = dict(place.client().config) | {"client_options": {"allow_http": True}}
    prefix = place.client().prefix
    arguments = json.dumps(client | ({"prefix": str(prefix)} if prefix else {}))
    process = subprocess.Popen(
        [AIRFLOW_ENV / "bin" / "python", BENCH / "refresh.py", place.url, arguments],
        env={**airflow_environ(folder, 0), **place.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "refresh.log").open("wb"),
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked, answers = process.stdin, process.stdout

    def ask(what: str) -> Cost:
        asked.write(f"{what}\n")
        asked.flush()
        for line in answers:
            if line.startswith("cost "):
                return Cost(**json.loads(line.removeprefix("cost ")))
        raise SystemExit(f"the refreshing process ended:\n{(folder / 'refresh.log').read_text()[-3000:]}")

    try:
        yield ask
    finally:
        asked.close()
        process.wait()


def served(server: Running, folder: Path, datasets: int) -> None:
    """Measure and print what a user waits for, and the server's memory."""
    answer_of(f"{server.url}/api/v1/workflows?limit=1")  # the first one waits for all of Airflow's pages
    ready = resident_megabytes(server.pid)
    changes = start_and_register(server, folder)
    measure_commands(changes)
    print(f"## Start and register, among {datasets:,}\n")
    print(table_of_commands(changes, beside=changes[0].name), "\n")
    for _ in range(3):
        answer_of(f"{server.url}/api/v1/sync", method="POST")
    print("## Memory of the server\n")
    print("| `basecamp serve` | resident, MB |\n| --- | ---: |")
    print(f"| ready: {datasets:,} specs read, and as many DAGs listed | {ready:.0f} |")
    print(f"| after all of the above | {resident_megabytes(server.pid):.0f} |")


def start_and_register(server: Running, folder: Path) -> list[Command]:
    """Return the commands that look at the store anew; nothing is started in Airflow."""
    spec = release(1, sql="of a person")
    (folder / "query.sql").write_text(spec.files["query.sql"])
    (folder / "dataset.yaml").write_bytes(spec.yaml)
    ours, dli = {"DLI_SERVER_URL": server.url}, str(BIN / "dli")
    run = [dli, "workflow", "run", name_of(1), "-p", "execution_date=2024-01-15", "--dry-run"]
    register = f'echo "-- $(date +%N)" >> query.sql && exec {dli} dataset register dataset.yaml --no-wait'
    return [
        Command("dli workflow run --dry-run", run, ours, rounds=3),
        Command("dli dataset register --no-wait", ["sh", "-c", f"cd {folder} && {register}"], ours, rounds=3),
    ]


if __name__ == "__main__":
    main()
