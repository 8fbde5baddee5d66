"""A Basecamp on a bucket, and an Airflow that has ten thousand DAGs in its database."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from server import AIRFLOW_ENV, BENCH, BIN, get

from s3 import free_port

READY_SECONDS = 300


@dataclass(frozen=True)
class Running:
    """A server that was started."""

    url: str
    pid: int


@dataclass(frozen=True)
class Place:
    """A store, and the variables that lead to it."""

    url: str
    environ: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def airflow(folder: Path, datasets: int, database: str | None = None) -> Iterator[Running]:
    """Run Airflow's api-server on a database with the rows of so many DAGs; SQLite if none is named."""
    port = free_port()
    environ = airflow_environ(folder, port)
    if database is not None:
        environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = database
    command = str(AIRFLOW_ENV / "bin" / "airflow")
    quietly([command, "db", "migrate"], environ)
    quietly([str(AIRFLOW_ENV / "bin" / "python"), str(BENCH / "airflow_rows.py"), str(datasets)], environ)
    with started([command, "api-server"], environ, folder / "api-server.log") as pid:
        server = Running(f"http://127.0.0.1:{port}", pid)
        await_answer(f"{server.url}/api/v2/version")
        yield server


@contextmanager
def basecamp(place: Place, airflow_url: str, log: Path) -> Iterator[Running]:
    """Run `basecamp serve`; its first check has ended by the time this yields."""
    port = free_port()
    environ = os.environ | {
        **place.environ,
        "BASECAMP_STORE_URL": place.url,
        "BASECAMP_AIRFLOW_URL": airflow_url,
        "BASECAMP_AIRFLOW_AUTH": "none",
    }
    with started([str(BIN / "basecamp"), "serve", "--port", str(port)], environ, log) as pid:
        server = Running(f"http://127.0.0.1:{port}", pid)
        await_answer(f"{server.url}/readyz")
        yield server


def airflow_environ(folder: Path, port: int) -> dict[str, str]:
    """Return the environment of an Airflow with a home of its own."""
    own = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": "2000",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder / "bundles"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "PATH": f"{AIRFLOW_ENV / 'bin'}:{os.environ['PATH']}",
    }
    return {**os.environ, **own}


def quietly(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run a command; show what it said where it fails."""
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")


@contextmanager
def started(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run a server for as long as the block lasts, and all that it starts."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environ, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def answer_of(url: str, *, method: str = "GET") -> None:
    """Send a request, and wait for its answer, however long that takes."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=600) as answer:
        answer.read()


def await_answer(url: str) -> None:
    """Wait until a server answers well."""
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            get(url)
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                sys.exit(f"{url} does not answer")
            time.sleep(0.5)
        else:
            return
