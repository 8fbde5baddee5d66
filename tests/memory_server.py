"""A real Basecamp in a process of its own, on an Airflow in memory whose workers take a moment for each run."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from basecamp.airflow.authorization import Everyone
from basecamp.airflow.models import RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.monitoring.metrics import Metrics
from basecamp.server.connections import ConnectionLimits
from basecamp.server.logs import configure_logging
from basecamp.server.serving import Serving, listen
from basecamp.server.settings import Settings
from dataspec.catalog.spec_storage import Release, manual_key, write_release
from dataspec.store import Store, open_store
from s3 import free_port

SPEC = """\
name: {name}
type: Dataset
owner: engineer@example.com
team: "@data"
description: {note}
query_file: query.sql
parameters:
  - name: execution_date
    type: date
schedule:
  cron: "0 9 * * *"
  timezone: Asia/Seoul
"""
SQL = "select 1 as one, '{{ execution_date }}' as day\n"

READY_SECONDS = 300
STEP_SECONDS = 0.5
KEPT_RUNS = 1000


def name_of(number: int) -> str:
    """Return a dataset's name."""
    return f"load.dataset_{number:04d}"


@dataclass(frozen=True)
class MemoryServer:
    """A server that was started."""

    url: str
    pid: int
    log: Path

    @property
    def cpu_seconds(self) -> float:
        """The processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def memory_server(log: Path, *options: str) -> Iterator[MemoryServer]:
    """Run this module as a program, with its options; it is ready when this yields."""
    port = free_port()
    command = [sys.executable, __file__, "--port", str(port), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        server = MemoryServer(f"http://127.0.0.1:{port}", process.pid, log)
        _await_ready(server, process)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=180)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(server: MemoryServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/readyz", timeout=60):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(server.log.read_text(encoding="utf-8")[-3000:])


def work(airflow: MemoryAirflow) -> None:
    """Start and end the runs of the Airflow in memory, and forget all but the last ones."""
    ended: deque[tuple[str, str]] = deque()
    while True:
        time.sleep(STEP_SECONDS)
        for run in airflow.list_runs(RunFilter(states=("queued", "running")), limit=100).runs:
            if run.state == "queued":
                airflow.start(run.dag_id, run.run_id, source="manual", spec_hash="")
            else:
                airflow.end(run.dag_id, run.run_id, "success")
                ended.append(run.key)
        while len(ended) > KEPT_RUNS:
            airflow.delete_run(*ended.popleft())


def fill(store: Store, datasets: int) -> None:
    """Write so many specs."""
    for number in range(datasets):
        name = name_of(number)
        spec = SPEC.format(name=name, note="First version").encode()
        write_release(store, manual_key(name), Release(spec, {"query.sql": SQL}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", default="memory:")
    parser.add_argument("--datasets", type=int, default=0)
    parser.add_argument("--loads-nothing", action="store_true", help="Airflow loads no spec")
    parser.add_argument("--connections", type=int, help="maximum number of connections")
    parser.add_argument("--seconds", type=float, help="time limit of each phase of a connection")
    parser.add_argument("--files", type=int, help="limit of open files")
    parser.add_argument("--free-files", type=int, help="how many of them are left at the start")
    options = parser.parse_args(arguments)

    if options.files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.files, options.files))
    configure_logging("info")
    store = open_store(options.store)
    fill(store, options.datasets)
    gateway = airflow_on(store, loads=not options.loads_nothing)
    address = "http://airflow.memory"
    settings = Settings(
        store_url=options.store,
        airflow_url=address,
        airflow_public_url=address,
        airflow_credentials=Everyone(),
    )
    serving = Serving.on(
        store,
        gateway,
        settings,
        listen("127.0.0.1", options.port),
        metrics=Metrics(),
        limits=limits_of(options),
    )
    taken = take_files(options.files - options.free_files) if options.free_files else []
    serving.run()
    del taken


def airflow_on(store: Store, *, loads: bool) -> MemoryAirflow:
    """Start an Airflow that has loaded the specs of a store, and loads changed ones when it is asked to."""
    airflow = MemoryAirflow()
    dags = MemoryDags(airflow, store, lambda: datetime.now(UTC))
    dags.refresh()
    airflow.load("earlier.dataset", tags=["source:manual"])
    if loads:
        airflow.on_parse = lambda _dag: dags.refresh()
    threading.Thread(target=work, args=(airflow,), daemon=True).start()
    return airflow


def limits_of(options: argparse.Namespace) -> ConnectionLimits:
    """Return the limits of connections that the options name; else those of production."""
    limits = ConnectionLimits.of_process()
    if options.connections:
        limits = replace(limits, connections=options.connections)
    if options.seconds:
        times = dict.fromkeys(("head", "body", "response", "idle"), options.seconds)
        limits = replace(limits, **times)
    return limits


def take_files(count: int) -> list[socket.socket]:
    """Open files until so many are open."""
    taken: list[socket.socket] = []
    while not taken or taken[-1].fileno() < count:
        taken.append(socket.socket())
    return taken


if __name__ == "__main__":
    main()
