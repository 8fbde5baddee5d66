"""Measure the list of ten thousand datasets, on an Airflow's api-server with as many DAGs in its database.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date. Its
argument is another number of datasets, to try it out.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bucket import DATASETS, key_of, release
from commands import machine
from processes import Command, measure, table
from server import BENCH, BIN, install_airflow
from serving import Place, Running, airflow, answer_of, basecamp

from dataspec.catalog.spec_storage import write_release
from dataspec.store import MemoryStore
from postgres import postgres_server


def main() -> None:
    """Measure and print."""
    datasets = int(sys.argv[1]) if len(sys.argv) > 1 else DATASETS
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    install_airflow()
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as name, postgres_server() as database:
        folder = Path(name)
        fill(folder / "store", datasets)
        with (
            airflow(folder, datasets, database.url) as airflow_server,
            basecamp(Place(str(folder / "store")), airflow_server.url, folder / "basecamp.log") as server,
        ):
            answer_of(
                f"{server.url}/api/v1/workflows?limit=1"
            )  # the first one waits for all of Airflow's pages
            commands = [*lists(server), pages(airflow_server)]
            measure(commands)
    print(f"## List {datasets:,} datasets\n")
    print(table(commands, beside=commands[0].name))


def fill(store: Path, datasets: int) -> None:
    """Make a folder that holds so many specs, each with its map and its SQL."""
    written = MemoryStore()
    for number in range(datasets):
        write_release(written, key_of(number), release(number))
    for key, stored in written.get_many([info.key for info in written.list("")]).items():
        path = store / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored.body)


def lists(server: Running) -> list[Command]:
    """Return the list as a person asks for it, as a program does, and of one team."""
    return [
        Command(
            f"dli workflow list{more}",
            [str(BIN / "dli"), "workflow", "list", *more.split()],
            {"DLI_SERVER_URL": server.url},
            rounds=15,
        )
        for more in ("", " --format json", " --dataset team_07.*")
    ]


def pages(airflow_server: Running) -> Command:
    """Return what it takes to read the DAGs anew, which the server does in the background."""
    command = [sys.executable, str(BENCH / "airflow_pages.py"), airflow_server.url]
    return Command("Airflow's API, all pages", command, rounds=3)


if __name__ == "__main__":
    main()
