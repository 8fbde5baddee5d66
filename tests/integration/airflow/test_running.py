"""Datasets on a running Airflow, seen through Airflow's own API."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from airflow_api import NEVER, Airflow, until
from endless import ENDLESS
from lines_here import on_airflow_2, on_airflow_3
from stacks import Stack


def store_of(stack: Stack) -> Path:
    """Return the folder that is the store."""
    return Path(urlsplit(stack.store_url).path)


@pytest.mark.rule("12.6")
def test_a_mended_query_mends_the_run_at_its_next_attempt(stack: Stack) -> None:
    airflow = Airflow(stack)
    retry = {"max_attempts": 2, "delay_seconds": 20}
    name = stack.register("select * from no_such_table", schedule={"cron": NEVER, "retry": retry})
    run_id = airflow.trigger(name, {})
    until(lambda: airflow.attempt(name, run_id)["state"] == "up_for_retry")
    file = store_of(stack) / "manual" / f"{name}.yaml"
    file.write_text(file.read_text().replace("no_such_table", "range(3)"))
    instance = airflow.finished(name, run_id)
    assert instance["state"] == "success"
    assert "Table with name no_such_table does not exist!" in airflow.log(name, run_id, 1)
    [key] = airflow.versions(name, run_id)
    assert key.endswith(f".{instance['try_number']}")


@on_airflow_2
@pytest.mark.rule("8.9")
def test_a_wrong_parameter_given_on_airflows_page_fails_the_run_at_once(stack: Stack) -> None:
    airflow = Airflow(stack)
    name = stack.register(
        "select {{ limit }}",
        schedule={"cron": NEVER, "retry": {"max_attempts": 3, "delay_seconds": 0}},
        parameters=[{"name": "limit", "type": "integer", "default": 5}],
    )
    for conf, message in (
        ({"limits": 1}, "Unknown parameter 'limits'. Allowed: limit"),
        ({"limit": "many"}, "Invalid value for parameter 'limit': expected a whole number, got 'many'."),
    ):
        run_id = airflow.trigger(name, conf)
        instance = airflow.finished(name, run_id)
        assert (instance["state"], instance["try_number"]) == ("failed", 1)
        assert message in airflow.log(name, run_id)
        shown = stack.status(unquote(run_id))
        assert (shown["dataset_name"], shown["run_type"], shown["status"]) == (name, "adhoc", "FAILED")
        assert (shown["source_type"], shown["parameters"], shown["attempts"]) == ("manual", conf, 1)
        assert message in shown["error"]
        assert shown["url"].startswith(stack.airflow_url)


@on_airflow_3
@pytest.mark.rule("12.16")
def test_two_datasets_on_one_duckdb_file_take_turns(stack: Stack) -> None:
    airflow = Airflow(stack)

    def says(name: str, run_id: str, text: str) -> bool:
        return airflow.attempt(name, run_id)["state"] == "running" and text in airflow.log(name, run_id)

    never = {"cron": NEVER, "retry": {"max_attempts": 0}}
    first, second = stack.register(ENDLESS, schedule=never), stack.register("select 1", schedule=never)
    holding = airflow.trigger(first, {})
    until(lambda: says(first, holding, "statement 'query'"))
    waiting = airflow.trigger(second, {})
    until(lambda: says(second, waiting, f"held by the run {unquote(holding)}"))
    airflow.ask(f"/dags/{first}/dagRuns/{holding}", "PATCH", {"state": "failed"})
    assert airflow.finished(second, waiting)["state"] == "success"


@on_airflow_3
@pytest.mark.rule("12.10")
def test_an_expired_timeout_cancels_the_query(stack: Stack) -> None:
    airflow = Airflow(stack)
    name = stack.register(
        ENDLESS,
        execution={"timeout_seconds": 20},
        schedule={"cron": NEVER, "retry": {"max_attempts": 0}},
    )
    run_id = airflow.trigger(name, {})
    assert airflow.finished(name, run_id)["state"] == "failed"
    log = airflow.log(name, run_id)
    assert "took longer than execution.timeout_seconds, 20 s: statement 'query' was cancelled" in log
    assert "Cancelling the query on the engine: cursor.interrupt()" in log


@pytest.mark.rule("15.11")
def test_a_spec_broken_in_the_store_is_an_import_error_and_its_last_good_version_runs(stack: Stack) -> None:
    airflow = Airflow(stack)
    name = stack.register("select 1", schedule={"cron": NEVER})
    before = airflow.version_of(name)
    file = store_of(stack) / "manual" / f"{name}.yaml"
    good = file.read_text()

    file.write_text(good.replace("owner:", "ownr:"))
    [error] = until(lambda: airflow.import_errors(name))
    assert f"manual/{name}.yaml:3:1: unknown key 'ownr'. Did you mean 'owner'?" in error
    assert airflow.version_of(name) == before
    assert airflow.finished(name, airflow.trigger(name, {}))["state"] == "success"
    file.write_text(good)
    until(lambda: not airflow.import_errors(name))
