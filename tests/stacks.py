"""A running `basecamp dev`, and what tests do with one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from io import BytesIO, StringIO, TextIOWrapper
from itertools import count
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import duckdb
import pytest
import yaml

from basecamp.dev.processes.guard import running_processes
from basecamp.dev.release_lines import AIRFLOW_3, ReleaseLine
from dli.main import main
from s3 import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
FLIGHTS = REPOSITORY / "examples" / "flights"
BIN = Path(sys.executable).parent
READY_SECONDS = 1200

_numbers = count(1)


class Dev:
    """A `basecamp dev` process: on free ports, in a project's folder."""

    def __init__(self, home: Path, airflow_env: Path, project: Path, *more: str, **environ: str) -> None:
        """Start it, with more options and variables; it is not ready yet."""
        self.home = home
        self.output = home.with_name(f"{home.name}.out")
        options = [
            "--home",
            str(home),
            "--airflow-env",
            str(airflow_env),
            "--port",
            str(free_port()),
            "--airflow-port",
            str(free_port()),
            *more,
        ]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [BIN / "basecamp", "dev", *options],
                cwd=project,
                env=os.environ | environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ready(self) -> dict[str, Any]:
        """Wait until it announces where it is reached, and has listed its DAGs; return the addresses."""
        state = self.home / "dev.json"
        self.wait_for(state.exists, READY_SECONDS)
        addresses: dict[str, Any] = json.loads(state.read_text())
        self.wait_for(lambda: _answers(f"{addresses['server_url']}/api/v1/workflows"), READY_SECONDS)
        return addresses

    def wait_for(self, condition: Any, seconds: float) -> None:
        """Wait until something is so while it runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Ask it to end; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(240)

    def kill(self) -> None:
        """Kill it alone; check that all that it started is gone soon (specification 28.3)."""
        family = self.family()
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + 240
        while left := alive(family):
            assert time.monotonic() < deadline, left
            time.sleep(0.2)

    def family(self) -> set[int]:
        """Return the process and all that descend from it."""
        return family_of(self.process.pid)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def family_of(process: int) -> set[int]:
    """Return a process and all that descend from it."""
    parents = {pid: parent_of(pid) for pid in running_processes()}
    found = {process}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def parent_of(pid: int) -> int | None:
    """Return a process's parent, while it runs."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        asked = ["ps", "-o", "ppid=", "-p", str(pid)]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        return int(answer) if answer else None


def command_of(pid: int) -> str:
    """Return a process's command line, while it runs."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        asked = ["ps", "-o", "args=", "-p", str(pid)]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


def alive(pids: set[int]) -> set[int]:
    """Return those of the processes that run."""
    return {pid for pid in pids if pid in running_processes()}


DAILY_ZONE = "Pacific/Pago_Pago"


@dataclass(frozen=True, slots=True)
class Daily:
    """A daily dataset that is due two minutes after its stack is up, so that its test need not wait for the clock."""

    name: str
    tick: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A `basecamp dev` that is up, with a project beside it."""

    home: Path
    project: Path
    line: ReleaseLine = AIRFLOW_3
    server_url: str
    airflow_url: str
    store_url: str
    pid: int
    daily: Daily | None = None

    def cli(self, *arguments: str, answer: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """Run `dli` in the project, within this process: one of its own takes a fifth of a second to start."""
        out, err = (TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "stdin", StringIO(answer))
            patch.chdir(self.project)
            for name in [name for name in os.environ if name.startswith("DLI_")]:
                patch.delenv(name)
            for name, value in {"DLI_SERVER_URL": self.server_url, **environ}.items():
                patch.setenv(name, value)
            status = main(arguments)
        printed = (stream.buffer.getvalue().decode() for stream in (out, err))
        return subprocess.CompletedProcess(["dli", *arguments], status, *printed)

    def program(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `dli` in the project as a user does, as a program of its own."""
        return subprocess.run(
            [BIN / "dli", *arguments],
            cwd=self.project,
            env={**os.environ, "DLI_SERVER_URL": self.server_url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def ask(self, *arguments: str) -> Any:
        """Run a `dli` command that must succeed; return what its JSON says."""
        done = self.cli(*arguments, "--format", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def write(self, query: str, **keys: Any) -> str:
        """Write a dataset's file into the project, under a name of its own; return the name."""
        name = f"test.made_{next(_numbers)}_{time.time_ns()}"
        spec = {"name": name, "type": "Dataset", "owner": "ann@example.com", "query_statement": query, **keys}
        (self.project / "datasets" / f"dataset.{name}.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
        return name

    def register(self, query: str, **keys: Any) -> str:
        """Write a dataset's file and register it; return its name."""
        name = self.write(query, **keys)
        done = self.cli("dataset", "register", name, "--wait-seconds", "120")
        assert done.returncode == 0, done.stderr
        return name

    def with_daily(self) -> Stack:
        """Register the daily dataset; return the stack with it."""
        while True:
            daily = self._registered_daily()
            if datetime.now(UTC) < daily.tick.replace(second=0):  # a slow machine may have missed it
                return replace(self, daily=daily)

    def _registered_daily(self) -> Daily:
        tick = (datetime.now(UTC) + timedelta(seconds=105)).astimezone(ZoneInfo(DAILY_ZONE))
        name = self.register(
            "insert into moved values ('{{ execution_date }}', '{{ data_interval_start }}')",
            pre_statements=[
                {"name": "table", "sql": "create table if not exists moved (day text, since text)"}
            ],
            schedule={"cron": f"{tick.minute} {tick.hour} * * *", "timezone": DAILY_ZONE},
            parameters=[{"name": "execution_date", "type": "date"}],
        )
        return Daily(name, tick)

    def run(self, name: str, **parameters: str) -> str:
        """Start a run; return its id."""
        given = [word for key, value in parameters.items() for word in ("-p", f"{key}={value}")]
        run_id: str = self.ask("workflow", "run", name, *given)["run_id"]
        return run_id

    def status(self, run_id: str) -> dict[str, Any]:
        """Return a run as `dli workflow status` shows it."""
        run: dict[str, Any] = self.ask("workflow", "status", run_id)
        return run

    def wait(self, run_id: str, *statuses: str, seconds: float = 400) -> dict[str, Any]:
        """Wait until a run has one of the statuses, by default until it has finished."""
        if not statuses:
            self.cli("workflow", "status", run_id, "--wait")
            return self.status(run_id)
        deadline = time.monotonic() + seconds
        while (run := self.status(run_id))["status"] not in statuses:
            assert time.monotonic() < deadline, run
            time.sleep(0.5)
        return run

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds in the project's warehouse, once no run holds the file."""
        deadline = time.monotonic() + 300
        while True:
            try:
                with duckdb.connect(str(self.project / "warehouse.duckdb"), read_only=True) as warehouse:
                    return warehouse.execute(query).fetchall()
            except duckdb.IOException:
                assert time.monotonic() < deadline
                time.sleep(0.2)


def copy_of_flights(folder: Path) -> Path:
    """Copy the flights example into a folder; return where it is."""
    project = folder / "flights"
    shutil.copytree(FLIGHTS, project, ignore=shutil.ignore_patterns(".*", "*.duckdb*"))
    return project
