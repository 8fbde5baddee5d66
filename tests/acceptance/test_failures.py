"""Runs that fail, are stopped, or are refused."""

import re
import time

import pytest

from endless import ENDLESS
from lines_here import on_airflow_2
from stacks import Stack

pytestmark = on_airflow_2

NO_RETRY = {"cron": "0 0 1 1 *", "retry": {"max_attempts": 0}}


def test_failing_sql_fails_the_run_and_says_why(stack: Stack) -> None:
    name = stack.register("select * from no_such_table", schedule=NO_RETRY)

    run = stack.wait(stack.run(name))

    assert run["status"] == "FAILED"
    assert re.fullmatch(
        r"StatementFailed: statement 'query' failed: Catalog Error: .*no_such_table.*", run["error"]
    )
    assert "no_such_table" in stack.cli("workflow", "logs", run["run_id"]).stdout


def test_waiting_for_a_run_that_fails_ends_with_status_1(stack: Stack) -> None:
    name = stack.register("select * from no_such_table", schedule=NO_RETRY)

    assert stack.cli("workflow", "run", name, "--wait").returncode == 1


@pytest.mark.rule("2.13", "12.9")
def test_a_failed_attempt_is_tried_again_as_often_as_the_spec_says(stack: Stack) -> None:
    retry = {"max_attempts": 1, "delay_seconds": 0}
    name = stack.register("select * from no_such_table", schedule={"cron": "0 0 1 1 *", "retry": retry})

    run = stack.wait(stack.run(name))

    assert (run["status"], run["attempts"], run["max_attempts"]) == ("FAILED", 2, 2)


def test_a_failing_statement_leaves_the_rows_of_before(stack: Stack) -> None:
    name = stack.register(
        "insert into kept values (2); select * from no_such_table",
        pre_statements=[
            {"name": "table", "sql": "create table if not exists kept as select 1 as row"},
            {"name": "begin", "sql": "begin transaction"},
            {"name": "clear", "sql": "delete from kept"},
        ],
        post_statements=[{"name": "commit", "sql": "commit"}],
        schedule=NO_RETRY,
    )

    assert stack.wait(stack.run(name))["status"] == "FAILED"

    assert stack.rows("select row from kept") == [(1,)]


@pytest.mark.rule("12.15")
def test_stop_ends_a_long_query_and_the_next_run_can_start(stack: Stack) -> None:
    name = stack.register(ENDLESS)
    run_id = stack.run(name)
    stack.wait(run_id, "RUNNING")

    stopped = stack.cli("workflow", "stop", run_id, "--reason", "took too long")

    assert (stopped.returncode, stopped.stdout) == (0, f"Stopped: {run_id}\n"), stopped.stderr
    run = stack.status(run_id)
    assert run["status"] == "KILLED"
    assert "took too long" in run["note"]
    other = stack.register("select 1")
    assert stack.wait(stack.run(other))["status"] == "COMPLETED"


@pytest.mark.rule("12.4")
def test_a_run_waits_for_the_one_before_it(stack: Stack) -> None:
    name = stack.register(ENDLESS)
    first = stack.run(name)
    stack.wait(first, "RUNNING")

    second = stack.run(name)
    time.sleep(3)  # long enough for Airflow to have started it, were it to

    assert stack.status(second)["status"] == "PENDING"
    for run_id in (first, second):
        assert stack.cli("workflow", "stop", run_id).returncode == 0


@pytest.mark.rule("22.7")
def test_a_running_run_is_listed(stack: Stack) -> None:
    name = stack.register(ENDLESS)
    run_id = stack.run(name)
    stack.wait(run_id, "RUNNING")

    (row,) = stack.ask("workflow", "list", "--running", "-d", name)
    assert row["running_run_id"] == run_id

    assert stack.cli("workflow", "stop", run_id).returncode == 0


@pytest.mark.rule("7.7")
def test_a_paused_dataset_is_not_run_until_it_is_unpaused(stack: Stack) -> None:
    name = stack.register("select 1", schedule={"cron": "0 9 * * *"})
    assert stack.cli("workflow", "pause", name).stdout == f"Paused: {name}\n"
    (row,) = stack.ask("workflow", "list", "-d", name)
    assert (row["status"], row["next_run"]) == ("paused", None)

    refused = stack.cli("workflow", "run", name)
    assert refused.returncode == 4
    assert f"dli workflow unpause {name}" in refused.stderr

    assert stack.cli("workflow", "unpause", name).returncode == 0
    assert stack.wait(stack.run(name))["status"] == "COMPLETED"
    assert stack.cli("workflow", "unpause", name).returncode == 4
