"""Another DAG under a dataset's id, on a running Airflow: nothing of ours starts, and nobody takes its runs for ours."""

from __future__ import annotations

import json
import os
import time
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_api import NEVER, Airflow, until
from dli_airflow.dag_files import SHARDS
from dli_airflow.mirror.dag_folder import shard_of
from lines_here import on_airflow_2, on_airflow_3
from stacks import Stack

DAG_FILE = '''\
"""A DAG of the company's own, for airflow."""

import datetime
import pathlib

try:
    from airflow.sdk import DAG, BaseOperator
except ImportError:
    from airflow import DAG
    from airflow.models.baseoperator import BaseOperator


class Extract(BaseOperator):
    def execute(self, context):
        with pathlib.Path({trace!r}).open("a") as trace:
            trace.write(context["run_id"] + "\\n")


with DAG({name!r}, schedule=None, start_date=datetime.datetime(2024, 1, 1), is_paused_upon_creation=False):
    Extract(task_id={task!r})
'''


@dataclass
class Company:
    """Somebody with DAGs of their own in the Airflow that Basecamp uses."""

    stack: Stack
    airflow: Airflow
    trace: Path
    files: list[Path] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where files of DAGs lie: on Airflow 3 a folder in the one bundle that the stack has."""
        home = self.stack.home / f"airflow{self.stack.line.suffix}"
        return home / "dags" if self.airflow.is_2 else home / "bundles" / "datasets" / "dags" / "company"

    def take(self, name: str, *, task: str = "extract") -> Path:
        """Write a DAG with a dataset's id; return its file."""
        file = self.folder / f"etl_{len(self.files)}_{time.time_ns()}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(DAG_FILE.format(name=name, task=task, trace=str(self.trace)))
        self.files.append(file)
        return file

    def ran(self) -> list[str]:
        """Return the ids of the runs that its code ran in."""
        return self.trace.read_text().splitlines() if self.trace.exists() else []

    def owner(self, name: str) -> str:
        """Return the file that Airflow has a DAG from now."""
        return Path(self.airflow.ask(f"/dags/{name}/details")["fileloc"]).name

    def wait_for(self, name: str, file: Path) -> None:
        """Wait until Airflow has a DAG from a file, which is parsed every 30 s, as by Airflow's default.

        Where the dataset's file was parsed last before the dataset stepped back, the other DAG is unlisted until its
        own file is parsed again (``docs/airflow.md``); the stack parses files that did not change every ten minutes.
        """
        parsed_at = time.monotonic()

        def owns() -> bool:
            nonlocal parsed_at
            if time.monotonic() - parsed_at > 30:
                os.utime(file)
                parsed_at = time.monotonic()
            return self.owner(name) == file.name

        until(owns)

    def trigger(self, name: str, file: Path) -> str:
        """Start a run of the DAG in a file; return its id.

        A parse of the dataset's file unlists the other DAG until its own file is parsed again: Airflow says 404.
        """

        def started() -> str | None:
            try:
                return unquote(self.airflow.trigger(name, {}))
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.NOT_FOUND:
                    raise
                os.utime(file)
                return None

        return str(until(started))

    def shard(self, name: str) -> Path:
        """Return the file of the DAG factory that a dataset is in."""
        if self.airflow.is_2:
            return self.folder / f"dli_shard_{shard_of(name, SHARDS):03}.py"
        [lines] = [
            file for file in self.folder.parent.glob("shard_*.jsonl") if f'"{name}"' in file.read_text()
        ]
        return lines.with_suffix(".py")

    def settle(self, name: str) -> None:
        """Have Airflow parse the dataset's file once its time, which is set ahead by seconds, has passed.

        From then on Airflow does not parse it by itself before its next turn.
        """
        shard = self.shard(name)
        until(lambda: time.time() > shard.stat().st_mtime)
        asked_at = time.time()
        token = self.airflow.ask(f"/dags/{name}")["file_token"]
        self.airflow.ask(f"/parseDagFile/{token}", "PUT", accept="*/*")

        def parsed() -> bool:
            at = datetime.fromisoformat(self.airflow.ask(f"/dags/{name}")["last_parsed_time"])
            return at.timestamp() > asked_at

        until(parsed)

    def row(self, name: str) -> dict[str, Any]:
        """Return a dataset's row."""
        [row] = self.stack.ask("workflow", "list", "--dataset", name)
        found: dict[str, Any] = row
        return found

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Return what Airflow has of runs."""
        found: list[dict[str, Any]] = self.airflow.ask(f"/dags/{name}/dagRuns")["dag_runs"]
        return found


@pytest.fixture
def company(stack: Stack, tmp_path: Path) -> Iterator[Company]:
    company = Company(stack, Airflow(stack), tmp_path / "trace.txt")
    yield company
    for file in company.files:
        file.unlink()


@on_airflow_3
@pytest.mark.rule("12.23", "12.25")
def test_nothing_starts_in_a_dag_that_took_a_dataset_over_and_its_runs_are_not_shown_as_ours(
    stack: Stack, company: Company
) -> None:
    name = stack.register(
        "select '{{ execution_date }}'",
        schedule={"cron": NEVER},
        parameters=[{"name": "execution_date", "type": "date"}],
    )
    company.settle(name)
    file = company.take(name)
    company.wait_for(name, file)
    until(lambda: company.row(name)["taken_over_by"])
    day = ("-p", "execution_date=2024-01-15")
    days = ("--start", "2024-01-15", "--end", "2024-01-16", "--every", "day")
    for command in (
        ("workflow", "run", name, *day),
        ("workflow", "backfill", name, *days),
        ("workflow", "pause", name),
        ("dataset", "register", name),
    ):
        done = stack.cli(*command)
        assert (done.returncode, done.stdout) == (4, ""), command
        assert f"Another DAG has the id of the dataset '{name}'" in done.stderr
        assert file.name in done.stderr
        assert airflow_bundle(company) in done.stderr
    assert company.runs(name) == []
    assert not company.airflow.ask(f"/dags/{name}/details")["is_paused"]
    assert file.name in company.row(name)["error"]
    assert file.name in stack.cli("workflow", "sync").stderr

    run_id = company.trigger(name, file)
    until(lambda: company.runs(name)[0]["state"] == "success")
    assert company.ran() == [run_id]
    shown = stack.status(run_id)
    assert (shown["status"], shown["other_code"], shown["source_type"], shown["spec_hash"]) == (
        "FAILED",
        True,
        None,
        None,
    )
    assert file.name in shown["error"]
    assert [run["run_id"] for run in stack.ask("workflow", "history", "-d", name, "--status", "FAILED")] == [
        run_id
    ]
    assert stack.ask("workflow", "history", "-d", name, "--status", "COMPLETED") == []
    assert stack.cli("workflow", "status", run_id, "--wait").returncode == 1
    assert stack.cli("workflow", "retry", run_id).returncode == 4


@pytest.mark.rule("15.19")
def test_where_two_files_make_a_dag_of_one_id_the_datasets_own_steps_back_and_returns(
    stack: Stack, company: Company
) -> None:
    airflow = company.airflow
    name = stack.register("select 1", schedule={"cron": NEVER})
    company.settle(name)
    shard = company.shard(name)
    version = airflow.version_of(name)
    # A run that was made while the DAG was ours, and begins when it is the other's, runs the other's code.
    airflow.ask(f"/dags/{name}", "PATCH", {"is_paused": True})
    run_id = unquote(airflow.trigger(name, {}))
    file = company.take(name, task="run")
    company.wait_for(name, file)
    airflow.ask(f"/dags/{name}", "PATCH", {"is_paused": False})
    until(lambda: company.runs(name)[0]["state"] in {"success", "failed"})
    assert company.ran() == [run_id]
    shown = stack.status(run_id)
    assert (shown["status"], shown["other_code"], shown["source_type"]) == ("FAILED", True, None)

    [error] = until(lambda: airflow.import_errors(f"'{name}'"))
    assert f"The dataset '{name}' has no DAG in Airflow: another DAG has its id" in error
    assert file.name in error
    if shard.exists():  # whatever makes Airflow parse the dataset's file again
        os.utime(shard)
    refused = stack.cli("workflow", "run", name)
    assert refused.returncode == 4
    assert file.name in refused.stderr
    assert company.owner(name) == file.name

    file.unlink()
    company.files.remove(file)
    until(lambda: airflow.version_of(name) == version)
    assert not airflow.import_errors(f"'{name}'")


@on_airflow_2
@pytest.mark.rule("12.23")
def test_a_name_that_another_dag_has_is_refused_before_anything_is_stored(
    stack: Stack, company: Company
) -> None:
    name = stack.write("select 1")
    file = company.take(name)
    until(lambda: json.dumps(company.airflow.ask(f"/dags?dag_id_pattern={name}")).count(file.name))
    refused = stack.cli("dataset", "register", name)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert file.name in refused.stderr
    assert stack.cli("dataset", "show", name, "--registered").returncode == 3


def airflow_bundle(company: Company) -> str:
    """Return what tells the bundle in a message; Airflow 2 has none."""
    return "" if company.airflow.is_2 else "in the bundle 'datasets'"
