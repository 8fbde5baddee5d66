"""Measure a backfill of thirty dates of an empty SQL beside Airflow's own, on the same Airflow.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date. Its
argument is another number of dates, to try it out.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from commands import airflow, machine, ours
from server import BIN, Server, airflow_environ, get, install_airflow, running
from serving import quietly

from postgres import postgres_server

DATES = 30
FIRST = date(2024, 1, 1)
ORDER = "ABBAABBA"
"""Each several times, so that a drift of the machine's speed meets both; each time another dataset."""


@dataclass
class Backfill:
    """A way to build dates one after the other, and how long it took each time, in seconds."""

    name: str
    create: Callable[[str, date, date], None]
    from_command: list[float] = field(default_factory=list)
    """From the command to the end of the last run."""
    from_first_run: list[float] = field(default_factory=list)
    """From the start of the first run to the end of the last."""


def main() -> None:
    """Measure and print."""
    dates = int(sys.argv[1]) if len(sys.argv) > 1 else DATES
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    install_airflow()
    with (
        tempfile.TemporaryDirectory(prefix="dli-bench-") as folder,
        postgres_server() as database,
        running(Path(folder) / "home", len(ORDER), database.fresh()) as server,
    ):
        own, theirs = backfills(server)
        for number, letter in enumerate(ORDER):
            dataset = f"bench.dataset_{number:05d}"
            quietly([str(BIN / "dli"), "workflow", "run", dataset, "--wait"], os.environ | ours(server))
            measure(own if letter == "A" else theirs, server, dataset, dates)
    print(f"## A backfill of {dates} dates\n")
    print(table([own, theirs], dates))


def backfills(server: Server) -> tuple[Backfill, Backfill]:
    """Return ours and Airflow's; the command of each ends when the backfill has been accepted."""

    def by_dli(dataset: str, start: date, end: date) -> None:
        bounds = ["--start", str(start), "--end", str(end)]
        quietly([str(BIN / "dli"), "workflow", "backfill", dataset, *bounds], os.environ | ours(server))

    def by_airflow(dataset: str, start: date, end: date) -> None:
        bounds = ["--from-date", f"{start}T00:00:00Z", "--to-date", f"{end}T00:00:00Z"]
        command = [airflow(), "backfill", "create", "--dag-id", dataset, *bounds, "--max-active-runs", "1"]
        quietly(command, os.environ | airflow_environ(server))

    return (
        Backfill("dli workflow backfill", by_dli),
        Backfill("airflow backfill create --max-active-runs 1", by_airflow),
    )


def measure(backfill: Backfill, server: Server, dataset: str, dates: int) -> None:
    """Build so many dates, and note how long it took; the runs before were others."""
    before, began = count(server, dataset), datetime.now(UTC)
    backfill.create(dataset, FIRST, FIRST + timedelta(days=dates - 1))
    while (done := count(server, dataset) - before) < dates:
        sys.stderr.write(f"\r  {backfill.name}: {done} of {dates} dates ")
        time.sleep(1)
    sys.stderr.write("\n")
    path = f"/api/v2/dags/{dataset}/dagRuns?order_by=-id&limit={dates}"
    runs = get(server.airflow_url + path)["dag_runs"]
    ended = max(datetime.fromisoformat(run["end_date"]) for run in runs)
    started = min(datetime.fromisoformat(run["start_date"]) for run in runs)
    backfill.from_command.append((ended - began).total_seconds())
    backfill.from_first_run.append((ended - started).total_seconds())


def count(server: Server, dataset: str) -> int:
    """Return how many runs of a dataset have succeeded; none may fail."""
    runs = f"{server.airflow_url}/api/v2/dags/{dataset}/dagRuns?limit=1&state="
    failed = get(f"{runs}failed")["total_entries"]
    if failed:
        raise SystemExit(f"{failed} runs of {dataset} failed")
    succeeded: int = get(f"{runs}success")["total_entries"]
    return succeeded


def table(backfills: list[Backfill], dates: int) -> str:
    """Return the medians as a Markdown table."""
    base = statistics.median(backfills[0].from_first_run)
    lines = [
        "| backfill | from the command, s | from its first run, s | a date, s | times | runs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for backfill in backfills:
        whole, rest = statistics.median(backfill.from_command), statistics.median(backfill.from_first_run)
        lines.append(
            f"| {backfill.name} | {whole:.1f} | {rest:.1f} | {rest / dates:.2f} | {rest / base:.2f} "
            f"| {len(backfill.from_command)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
