"""Runs that wait for other datasets: through failures of these, changes of the spec, and without Basecamp."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from airflow_api import Airflow, until
from dataspec.contract import WAIT_PREFIX
from stacks import Stack, command_of, family_of

SCHEDULE = {"cron": "0 0 * * *", "timezone": "Pacific/Pago_Pago", "retry": {"max_attempts": 0}}
PARAMETERS = [{"name": "execution_date", "type": "date"}]
DAY = (datetime.now(UTC) + timedelta(days=10)).date().isoformat()
"""A partition that is due after the datasets were registered, so that it is waited for."""


def dataset(stack: Stack, query: str, **keys: Any) -> str:
    return stack.register(query, schedule=SCHEDULE, parameters=PARAMETERS, **keys)


def change(stack: Stack, name: str, **keys: Any) -> None:
    """Register a dataset again with other keys."""
    file = stack.project / "datasets" / f"dataset.{name}.yaml"
    spec: dict[str, Any] = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**spec, **keys}, sort_keys=False))
    stack.ask("dataset", "register", name, "--wait-seconds", "120")


def waiting(airflow: Airflow, name: str, run_id: str) -> set[str]:
    """Return the tasks of a run in which it waits on a triggerer."""
    tasks = airflow.ask(f"/dags/{name}/dagRuns/{run_id}/taskInstances")["task_instances"]
    return {task["task_id"] for task in tasks if task["state"] == "deferred"}


def waiting_run(stack: Stack, airflow: Airflow, name: str, day: str = DAY) -> str:
    """Start a run that waits as a scheduled one does; return its id once a triggerer has it."""
    given = ("--wait-for-upstream", "-p", f"execution_date={day}")
    run_id: str = stack.ask("workflow", "run", name, *given)["run_id"]
    until(lambda: bool(waiting(airflow, name, run_id)))
    return run_id


@contextmanager
def basecamp_off(stack: Stack) -> Iterator[None]:
    """Let Basecamp stand still; `basecamp dev` would start one that has ended."""
    [server] = [pid for pid in family_of(stack.pid) if "basecamp serve" in command_of(pid)]
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)


@pytest.mark.rule("31.52", "31.54", "31.60")
def test_a_run_waits_through_a_failure_of_its_upstream_and_goes_on_once_that_is_mended(stack: Stack) -> None:
    airflow = Airflow(stack)
    orders = dataset(stack, "select * from no_such_table")
    report = dataset(stack, "create or replace table report_of_day as select 1", depends_on=[orders])
    run_id = waiting_run(stack, airflow, report)
    failed = stack.run(orders, execution_date=DAY)
    assert stack.wait(failed)["status"] == "FAILED"
    other = stack.run(orders, execution_date="2001-01-01")
    stack.wait(other)
    pending = stack.status(run_id)
    assert (pending["status"], pending["attempts"], pending["started_at"]) == ("PENDING", 0, None)

    change(stack, orders, query_statement="select 1")
    assert stack.cli("workflow", "retry", failed).returncode == 0
    upstream, done = stack.wait(failed), stack.wait(run_id)
    assert (upstream["status"], done["status"], done["attempts"]) == ("COMPLETED", "COMPLETED", 1)
    assert datetime.fromisoformat(done["started_at"]) > datetime.fromisoformat(upstream["started_at"])


@pytest.mark.rule("31.50", "31.52")
def test_a_changed_list_frees_a_run_and_basecamp_may_be_off_while_it_waits(stack: Stack) -> None:
    airflow = Airflow(stack)
    gone, orders = dataset(stack, "select 1"), dataset(stack, "select 1")
    report = dataset(stack, "select 1", depends_on=[gone])
    run_id = waiting_run(stack, airflow, report)
    before = waiting(airflow, report, run_id)
    change(stack, report, depends_on=[orders])
    until(lambda: bool(waiting(airflow, report, run_id) - before))

    with basecamp_off(stack):
        airflow.trigger(orders, {"execution_date": DAY})
        path = f"/dags/{report}/dagRuns/{run_id}"
        until(lambda: bool(airflow.ask(path)["state"] == "success"))
    tasks = airflow.ask(f"{path}/taskInstances")["task_instances"]
    states = sorted(task["state"] for task in tasks if task["task_id"].startswith(WAIT_PREFIX))
    assert states == ["removed", "success"]
    assert stack.status(run_id)["status"] == "COMPLETED"


@pytest.mark.rule("31.55", "31.60")
def test_a_run_that_waits_too_long_says_what_is_missing_and_waits_anew_once_retried(stack: Stack) -> None:
    airflow = Airflow(stack)
    orders = dataset(stack, "select 1")
    report = dataset(stack, "select 1", depends_on=[{"dataset": orders, "timeout_seconds": 1}])
    run_id = stack.ask("workflow", "run", report, "--wait-for-upstream", "-p", f"execution_date={DAY}")[
        "run_id"
    ]
    failed = stack.wait(run_id)
    missing = f"It has waited too long, and this is still missing: {orders} {DAY}."
    error = f"{missing} Then run it again: dli workflow retry {run_id}"
    assert (failed["status"], failed["attempts"], failed["error"]) == ("FAILED", 0, error)
    assert stack.cli("workflow", "logs", run_id).stdout == f"{error}\n"

    change(stack, report, depends_on=[{"dataset": orders, "timeout_seconds": 3600}])
    assert stack.cli("workflow", "retry", run_id).returncode == 0
    until(lambda: bool(waiting(airflow, report, run_id)))
    assert stack.status(run_id)["status"] == "PENDING"
    stopped = stack.cli("workflow", "stop", run_id)
    assert (stopped.returncode, waiting(airflow, report, run_id)) == (0, set()), stopped.stderr
    assert stack.status(run_id)["status"] == "KILLED"
