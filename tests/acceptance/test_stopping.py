"""What `stop` and a timeout leave behind: nothing, neither on Airflow's machine nor on the engine."""

from __future__ import annotations

import re

import pytest

from acceptance.engine import CONNECTION, Gated
from acceptance.test_backfill import started as started_backfill
from airflow_api import until
from endless import ENDLESS
from lines_here import on_airflow_2
from postgres import Postgres
from stacks import Stack, alive


@pytest.mark.rule("13.1")
def test_after_a_stop_run_process_and_query_are_gone_and_only_then_the_next_run_begins(
    stack: Stack, engine: Postgres
) -> None:
    gated = Gated(stack, engine)
    name = gated.register()
    run_id = stack.run(name, execution_date="2024-01-01")
    until(lambda: gated.is_at("2024-01-01"))
    process = gated.process(name)
    following = stack.run(name, execution_date="2024-01-02")
    gated.open("2024-01-02")

    stopped = stack.cli("workflow", "stop", run_id, "--reason", "took too long")

    assert (stopped.returncode, stopped.stdout) == (0, f"Stopped: {run_id}\n"), stopped.stderr
    assert not alive({process})
    until(lambda: not gated.is_at("2024-01-01"))
    run = stack.status(run_id)
    assert run["status"] == "KILLED"
    assert re.fullmatch(r"Stopped by \S+ at \S+ in attempt 1: took too long", run["note"])
    assert "Cancelling the query on the engine: " in stack.cli("workflow", "logs", run_id).stdout
    assert stack.wait(following)["status"] == "COMPLETED"
    assert gated.begun() == [["2024-01-01", "0"], ["2024-01-02", "0"]]
    assert gated.built() == [["2024-01-02", "first"]]
    again = stack.cli("workflow", "stop", run_id)
    assert (again.returncode, again.stdout) == (0, f"Stopped: {run_id}\n")
    assert stack.status(run_id) == run
    ended = stack.cli("workflow", "stop", following)
    assert (ended.returncode, ended.stdout) == (0, f"Already ended: {following} (COMPLETED)\n")


@on_airflow_2
@pytest.mark.rule("14.9")
def test_a_stop_of_a_backfills_run_leaves_no_query_and_ends_the_backfill(
    stack: Stack, engine: Postgres
) -> None:
    gated = Gated(stack, engine)
    backfill_id = started_backfill(stack, gated.register(), "2024-01-01", "2024-01-03")
    run_id = f"{backfill_id}_20240101"
    until(lambda: gated.is_at("2024-01-01"))

    stopped = stack.cli("workflow", "stop", run_id)

    until(gated.is_gone)
    assert (stopped.returncode, stopped.stdout) == (0, f"Stopped: {run_id}\n"), stopped.stderr
    assert stack.cli("workflow", "status", backfill_id, "--wait").returncode == 1
    assert stack.ask("workflow", "status", backfill_id)["status"] == "KILLED"
    assert gated.begun() == [["2024-01-01", "0"]]


@on_airflow_2
@pytest.mark.rule("12.10")
def test_a_timeout_cancels_the_query_on_the_engine(stack: Stack, engine: Postgres) -> None:
    gated = Gated(stack, engine)
    name = gated.register(execution={"connection": CONNECTION, "timeout_seconds": 20})
    run_id = stack.run(name, execution_date="2024-01-01")
    until(gated.begun)

    run = stack.wait(run_id)

    until(gated.is_gone)
    assert run["status"] == "FAILED"
    assert "took longer than execution.timeout_seconds, 20 s: statement 'query' was cancelled" in run["error"]


@on_airflow_2
@pytest.mark.rule("13.4")
def test_runs_that_wait_are_stopped_and_what_they_wait_for_goes_on(stack: Stack) -> None:
    """One waits for the DuckDB file that another dataset's run holds, one for that first one."""
    holding = stack.run(stack.register(ENDLESS))
    stack.wait(holding, "RUNNING")
    name = stack.register("select 1")
    waiting = stack.run(name)
    until(lambda: f"held by the run {holding}" in stack.cli("workflow", "logs", waiting).stdout)
    pending = stack.run(name)

    for run_id, when in ((pending, "before its first attempt"), (waiting, "in attempt 1")):
        assert stack.cli("workflow", "stop", run_id).stdout == f"Stopped: {run_id}\n"
        run = stack.status(run_id)
        assert run["status"] == "KILLED"
        assert run["note"].endswith(when)

    assert stack.status(holding)["status"] == "RUNNING"
    assert stack.cli("workflow", "stop", holding).returncode == 0
