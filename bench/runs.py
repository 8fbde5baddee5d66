"""Measure what a person waits for around runs: their history among ten thousand, and a run to its end.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from commands import machine
from processes import Command, measure, table
from run_rows import put_runs
from server import BENCH, BIN, Server, install_airflow, running

from postgres import postgres_server

RUNS = 10_000
DATASETS = 100
NAME = "bench.dataset_00000"
ROUNDS = 15


def main() -> None:
    """Measure and print."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    install_airflow()
    with (
        tempfile.TemporaryDirectory(prefix="dli-bench-") as folder,
        postgres_server() as database,
        running(Path(folder) / "home", DATASETS, database.fresh()) as server,
    ):
        print("## A run to its end\n")
        waits = waited_for(server)
        measure(waits)
        print(table(waits, beside=waits[0].name), "\n")
        print(f"`dli` takes {1000 * overhead(waits):.0f} ms more than the bare calls.\n")
        assert server.database is not None
        put_runs(server.database, RUNS, DATASETS)
        print(f"## History among {RUNS:,} runs of {DATASETS} datasets\n")
        shown = histories(server)
        measure(shown)
        print(table(shown, beside=shown[0].name))


def waited_for(server: Server) -> list[Command]:
    """Return a run by Airflow's API alone, and by `dli`; each polls until it has ended."""
    bare = [sys.executable, str(BENCH / "bare_run.py"), server.airflow_url, NAME]
    return [
        Command("POST to Airflow's API, and poll", bare, rounds=ROUNDS),
        _dli("workflow run --wait", NAME, server=server),
    ]


def overhead(waits: list[Command]) -> float:
    """Return how many seconds longer the second takes."""
    bare, ours = waits
    return (ours.median.wall - bare.median.wall) / 1000


def histories(server: Server) -> list[Command]:
    """Return the history of all datasets and of one, and what a process that asks nothing costs."""
    return [
        _dli("workflow history -n 20", server=server),
        _dli("workflow history -n 20 --dataset", NAME, server=server),
        _dli("workflow history -n 20 --status failed", server=server),
        _dli("version", server=server),
    ]


def _dli(words: str, *more: str, server: Server) -> Command:
    arguments = [str(BIN / "dli"), *words.split(), *more]
    return Command(f"dli {words}", arguments, {"DLI_SERVER_URL": server.server_url}, rounds=ROUNDS)


if __name__ == "__main__":
    main()
