"""A `basecamp dev` to measure against, with a store that holds a thousand specs from the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basecamp.dev.airflow_environment import AirflowEnvironment, running_origin
from basecamp.dev.processes.interrupts import Interrupts
from dataspec.catalog.spec_storage import Release, manual_key, write_release
from dataspec.store import open_store

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from postgres import Postgres

BIN = Path(sys.executable).parent
BENCH = Path(__file__).resolve().parent
REPOSITORY = BENCH.parent
PATIENCE_SECONDS = 900
AIRFLOW_ENV = REPOSITORY / ".basecamp" / "airflow-env"

SPEC = """\
name: {name}
type: Dataset
owner: bench@example.com
team: "@bench"
query_file: query.sql
parameters:
  - name: execution_date
    type: date
    required: false
schedule:
  cron: "0 9 * * *"
  timezone: Asia/Seoul
"""


def install_airflow() -> None:
    """Make the environment with Airflow, unless it is there and right."""
    environment = AirflowEnvironment(AIRFLOW_ENV, running_origin(), patience=300)

    def install() -> None:
        for _, command in environment.commands():
            subprocess.run(command, check=True, capture_output=True)

    with Interrupts() as interrupts, environment.ready(install, interrupts):
        return


@dataclass(frozen=True)
class Server:
    """Where a running Basecamp and its Airflow are reached."""

    home: Path
    server_url: str
    airflow_url: str
    database: Postgres | None = None
    """Airflow's; SQLite in the home if there is none."""


def fill(store: Path, count: int) -> None:
    """Write specs into a folder as Basecamp does."""
    opened = open_store(str(store))
    for number in range(count):
        name = f"bench.dataset_{number:05d}"
        release = Release(SPEC.format(name=name).encode(), {"query.sql": "select 1\n"})
        write_release(opened, manual_key(name), release)


@contextmanager
def running(
    home: Path, datasets: int, database: Postgres | None = None, dags: Path | None = None
) -> Iterator[Server]:
    """Run `basecamp dev` with so many datasets, all of them in Airflow by the time this yields.

    Args:
        home: Its home.
        datasets: How many specs its store gets.
        database: Airflow's database; SQLite in the home if not given.
        dags: A folder with DAGs by hand, which the same Airflow runs.
    """
    fill(home / "store", datasets)
    options = ["--home", str(home), "--airflow-env", str(AIRFLOW_ENV), "--port", "0", "--airflow-port", "0"]
    options += ["--airflow-database", database.url] if database else []
    command = [str(BENCH / "dev_with_dags.py"), str(dags)] if dags else [str(BIN / "basecamp")]
    process = subprocess.Popen([sys.executable, *command, "dev", *options], stdout=subprocess.DEVNULL)
    try:
        addresses = _addresses(home / "dev.json", process)
        server = Server(home, addresses["server_url"], addresses["airflow_url"], database)
        _await_dags(server, datasets)
        yield server
    finally:
        process.terminate()
        process.wait()


def _addresses(state: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    while process.poll() is None:
        if state.exists():
            addresses: dict[str, Any] = json.loads(state.read_text())
            if addresses["pid"] == process.pid:
                return addresses
        time.sleep(0.5)
    raise SystemExit("basecamp dev did not start")


def _await_dags(server: Server, datasets: int) -> None:
    began, seen = time.monotonic(), 0
    while seen < datasets:
        time.sleep(2)
        seen = get(f"{server.airflow_url}/api/v2/dags?limit=1")["total_entries"]
        sys.stderr.write(f"\r  {seen} of {datasets} DAGs in Airflow after {time.monotonic() - began:.0f} s ")
    sys.stderr.write("\n")


def get(url: str) -> Any:
    """Return the JSON at a URL of this machine."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def airflow_environ(server: Server) -> dict[str, str]:
    """Return the environment in which Airflow's own command line sees this Airflow."""
    airflow = server.home / "airflow"
    url = server.database.url if server.database else f"sqlite:///{airflow / 'airflow.db'}"
    bundle = {
        "name": "datasets",
        "classpath": "dli_airflow.bundle.DatasetBundle",
        "kwargs": {"store_url": str(server.home / "store"), "base_url": server.server_url},
    }
    return {
        "AIRFLOW_HOME": str(airflow),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(airflow / "bundles"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        "PATH": f"{AIRFLOW_ENV / 'bin'}:{os.environ['PATH']}",
    }


def deferred(server: Server, name: str) -> int:
    """Return how many runs of a dataset wait in a triggerer."""
    path = f"/api/v2/dags/{name}/dagRuns/~/taskInstances?state=deferred&limit=1"
    return int(get(f"{server.airflow_url}{path}")["total_entries"])


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("Airflow did not get there in time")
        time.sleep(0.2)
