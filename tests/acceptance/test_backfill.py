"""Backfills on a real Airflow, with a second server that takes over when one is killed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from integration.basecamp.test_serve import Serve
from stacks import Stack

DATE = [{"name": "execution_date", "type": "date"}]
NO_RETRY = {"schedule": {"cron": "0 9 1 1 *", "retry": {"max_attempts": 0}}}


@pytest.fixture(scope="module")
def flights(stack: Stack) -> Stack:
    """The stack with flights.daily registered."""
    done = stack.cli("dataset", "register", "flights.daily")
    assert done.returncode == 0, done.stderr
    return stack


def started(stack: Stack, name: str, start: str, end: str, *more: str) -> str:
    backfill: dict[str, Any] = stack.ask("workflow", "backfill", name, "-s", start, "-e", end, *more)
    return str(backfill["backfill_id"])


def until(stack: Stack, backfill_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until a backfill is so; return it."""
    deadline = time.monotonic() + 120
    while True:
        shown: dict[str, Any] = stack.ask("workflow", "status", backfill_id)
        if condition(shown):
            return shown
        assert not has_ended(shown), shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)


def has_ended(backfill: dict[str, Any]) -> bool:
    return backfill["finished_at"] is not None


def runs_of(stack: Stack, name: str) -> list[dict[str, Any]]:
    """Return a dataset's runs, the first one first."""
    rows: list[dict[str, Any]] = stack.ask("workflow", "history", "-d", name, "--run-type", "backfill")
    return rows[::-1]


def check_one_after_the_other(runs: list[dict[str, Any]]) -> None:
    for earlier, later in pairwise(runs):
        assert earlier["finished_at"] <= later["created_at"], (earlier, later)


def test_flights_are_built_date_by_date(flights: Stack) -> None:
    done = flights.cli(
        "workflow", "backfill", "flights.daily", "-s", "2013-01-01", "-e", "2013-01-05", "--wait"
    )
    assert done.returncode == 0, done.stderr
    backfill_id = done.stdout.removeprefix("Backfill started: ").strip()
    runs = [run for run in runs_of(flights, "flights.daily") if run["run_id"].startswith(backfill_id)]
    assert [run["parameters"]["execution_date"] for run in runs] == [f"2013-01-0{day}" for day in range(1, 6)]
    assert {(run["status"], run["attempts"]) for run in runs} == {("COMPLETED", 1)}
    check_one_after_the_other(runs)
    built = flights.rows(
        "select flight_date::text, count(*) from flights.daily "
        "where flight_date between '2013-01-01' and '2013-01-05' group by all order by all"
    )
    assert [count for _, count in built] == [842, 943, 914, 915, 720]


def test_the_first_failure_ends_it(stack: Stack) -> None:
    query = "select error('no data') where '{{ execution_date }}' = '2013-01-02'"
    name = stack.register(query, parameters=DATE, **NO_RETRY)
    done = stack.cli("workflow", "backfill", name, "-s", "2013-01-01", "-e", "2013-01-04", "--wait")
    assert done.returncode == 1
    assert "2013-01-02 failed: " in done.stderr
    assert "no data" in done.stderr
    assert [run["status"] for run in runs_of(stack, name)] == ["COMPLETED", "FAILED"]


def test_a_stop_by_its_id_ends_the_run_and_no_other_starts(stack: Stack) -> None:
    slow = "select count(*) from range(10_000_000_000) a where '{{ execution_date }}' <> a.range::text"
    name = stack.register(slow, parameters=DATE, **NO_RETRY)
    backfill_id = started(stack, name, "2013-01-01", "2013-01-03")
    until(stack, backfill_id, lambda shown: shown["status"] == "RUNNING")
    before = time.monotonic()
    done = stack.cli("workflow", "stop", backfill_id, "--reason", "wrong range")
    assert (done.returncode, done.stdout) == (0, f"Stopped: {backfill_id}\n")
    assert time.monotonic() - before < 20
    shown = stack.ask("workflow", "status", backfill_id)
    assert (shown["status"], shown["dates_done"]) == ("KILLED", 0)
    [run] = runs_of(stack, name)
    assert run["status"] == "KILLED"


@pytest.fixture
def replicas(stack: Stack, tmp_path: Path) -> Iterator[list[tuple[Serve, Stack]]]:
    """Two servers beside the stack's own, which the test may kill."""
    settings = {
        "BASECAMP_STORE_URL": stack.store_url,
        "BASECAMP_AIRFLOW_URL": stack.airflow_url,
        "BASECAMP_AIRFLOW_AUTH": "none",
    }
    servers = [Serve(settings, tmp_path / f"replica-{number}") for number in (1, 2)]
    yield [(server, replace(stack, server_url=server.url())) for server in servers]
    for server in servers:
        server.process.kill()
        server.process.wait()


def test_a_server_that_is_killed_in_the_middle_leaves_no_date_out_and_builds_none_twice(
    stack: Stack, replicas: list[tuple[Serve, Stack]]
) -> None:
    insert = "insert into built values ('{{ execution_date }}', now())"
    table = {"name": "table", "sql": "create table if not exists built (day text, built_at timestamptz)"}
    name = stack.register(insert, parameters=DATE, pre_statements=[table], **NO_RETRY)
    (first, asked), _ = replicas
    backfill_id = started(asked, name, "2013-01-01", "2013-01-06")
    until(asked, backfill_id, lambda shown: shown["dates_done"] >= 1)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    done = until(stack, backfill_id, has_ended)
    assert (done["status"], done["dates_done"]) == ("COMPLETED", 6), json.dumps(done)
    days = [f"2013-01-0{day}" for day in range(1, 7)]
    assert [day for (day,) in stack.rows("select day from built order by built_at")] == days
    runs = runs_of(stack, name)
    assert [run["parameters"]["execution_date"] for run in runs] == days
    check_one_after_the_other(runs)
