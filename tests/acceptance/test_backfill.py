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

import duckdb
import pytest

from integration.basecamp.test_serve import Serve
from lines_here import on_airflow_3
from stacks import Stack

DAYS = [f"2013-01-0{day}" for day in range(1, 6)]
DATE = [{"name": "execution_date", "type": "date"}]
NO_RETRY = {"schedule": {"cron": "0 9 1 1 *", "retry": {"max_attempts": 0}}}


def started(stack: Stack, name: str, start: str, end: str, *more: str) -> str:
    """Start a backfill of every day: the schedules here fire once a year, so that no run is scheduled meanwhile."""
    days = ("-s", start, "-e", end, "--every", "day")
    backfill: dict[str, Any] = stack.ask("workflow", "backfill", name, *days, *more)
    return str(backfill["backfill_id"])


def until(stack: Stack, backfill_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until a backfill is so; return it."""
    deadline = time.monotonic() + 400
    while True:
        shown: dict[str, Any] = stack.ask("workflow", "status", backfill_id)
        if condition(shown):
            return shown
        assert not has_ended(shown), shown
        assert time.monotonic() < deadline, shown
        time.sleep(1)


def has_ended(backfill: dict[str, Any]) -> bool:
    return backfill["finished_at"] is not None


def runs_of(stack: Stack, name: str) -> list[dict[str, Any]]:
    """Return a dataset's runs, the first one first."""
    rows: list[dict[str, Any]] = stack.ask(
        "workflow", "history", "-d", name, "-n", "100", "--run-type", "backfill"
    )
    return rows[::-1]


def check_one_after_the_other(runs: list[dict[str, Any]]) -> None:
    """By the times of Airflow's machine: a server that has just started knows Airflow's clock to a second only."""
    for earlier, later in pairwise(runs):
        assert earlier["finished_at"] <= later["started_at"], (earlier, later)


@on_airflow_3
@pytest.mark.rule("14.4")
def test_the_first_failure_ends_it(stack: Stack) -> None:
    query = "select error('no data') where '{{ execution_date }}' = '2013-01-02'"
    name = stack.register(query, parameters=DATE, **NO_RETRY)
    done = stack.cli(
        "workflow", "backfill", name, "-s", "2013-01-01", "-e", "2013-01-04", "--every", "day", "--wait"
    )
    assert done.returncode == 1
    assert "2013-01-02 failed: " in done.stderr
    assert "no data" in done.stderr
    assert [run["status"] for run in runs_of(stack, name)] == ["COMPLETED", "FAILED"]


@on_airflow_3
@pytest.mark.rule("30.30")
def test_two_days_of_an_hourly_dataset_are_48_hours_each_built_once_in_order(stack: Stack) -> None:
    """The schedule is off, so that no hour of today comes between."""
    table = {
        "name": "table",
        "sql": "create table if not exists hours_built (began timestamptz, ended timestamptz)",
    }
    name = stack.register(
        "insert into hours_built values ('{{ partition_start }}', '{{ partition_end }}')",
        pre_statements=[table],
        parameters=[{"name": "execution_date", "type": "datetime"}],
        schedule={
            "cron": "0 * * * *",
            "timezone": "Asia/Seoul",
            "enabled": False,
            "retry": {"max_attempts": 0},
        },
    )
    done = stack.cli("workflow", "backfill", name, "-s", "2024-01-15", "-e", "2024-01-16", "--wait")
    assert done.returncode == 0, done.stderr
    runs = runs_of(stack, name)
    hours = [f"2024-01-{day}T{hour:02}:00+09:00" for day in (15, 16) for hour in range(24)]
    assert [run["partition"]["name"] for run in runs] == hours
    assert [run["parameters"]["execution_date"] for run in runs] == hours
    assert runs[0]["run_id"].endswith("_20240114T1500Z")
    check_one_after_the_other(runs)


@on_airflow_3
@pytest.mark.rule("14.9")
def test_a_stop_by_its_id_ends_the_run_and_no_other_starts(stack: Stack) -> None:
    slow = "select count(*) from range(10_000_000_000) a where '{{ execution_date }}' <> a.range::text"
    name = stack.register(slow, parameters=DATE, **NO_RETRY)
    backfill_id = started(stack, name, "2013-01-01", "2013-01-03")
    until(stack, backfill_id, lambda shown: shown["status"] == "RUNNING")
    done = stack.cli("workflow", "stop", backfill_id, "--reason", "wrong range")
    assert (done.returncode, done.stdout) == (0, f"Stopped: {backfill_id}\n")
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


@pytest.mark.rule("14.3")
def test_five_dates_are_built_one_after_the_other_though_a_server_is_killed_in_the_middle(
    stack: Stack, replicas: list[tuple[Serve, Stack]]
) -> None:
    done = stack.cli("dataset", "register", "flights.daily")
    assert done.returncode == 0, done.stderr
    (first, asked), (_, other) = replicas
    backfill_id = started(asked, "flights.daily", DAYS[0], DAYS[-1])
    until(asked, backfill_id, lambda shown: shown["dates_done"] >= 2)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    followed = other.cli("workflow", "status", backfill_id, "--wait")
    assert followed.returncode == 0, followed.stderr
    shown = stack.ask("workflow", "status", backfill_id)
    assert (shown["status"], shown["dates_done"]) == ("COMPLETED", len(DAYS)), json.dumps(shown)

    runs = [run for run in runs_of(stack, "flights.daily") if run["run_id"].startswith(backfill_id)]
    assert [run["run_id"] for run in runs] == [f"{backfill_id}_{day.replace('-', '')}" for day in DAYS]
    assert [run["parameters"]["execution_date"] for run in runs] == DAYS
    assert {(run["status"], run["attempts"], run["source_type"]) for run in runs} == {
        ("COMPLETED", 1, "manual")
    }
    check_one_after_the_other(runs)

    built = stack.rows(
        f"select * from flights.daily where flight_date between '{DAYS[0]}' and '{DAYS[-1]}' order by all"
    )
    assert len(built) == 4_334
    assert built == straight_from_the_data(stack)


def straight_from_the_data(stack: Stack) -> list[tuple[Any, ...]]:
    """Return the rows of these days as one query over the data's own columns makes them."""
    with duckdb.connect() as connection:
        return connection.execute(
            """
            select
                make_date(year, month, day), make_timestamp(year, month, day, hour, minute, 0.0), time_hour,
                carrier, flight::integer, tailnum, origin, dest,
                make_timestamp(year, month, day, hour, minute, 0.0) + dep_delay * interval 1 minute,
                dep_delay::integer, arr_delay::integer, air_time::integer, distance::integer, dep_time is null
            from read_parquet(?) where year = 2013 and month = 1 and day between 1 and 5 order by all
            """,
            [str(stack.project / "data" / "flights.parquet")],
        ).fetchall()


@on_airflow_3
@pytest.mark.rule("34.4")
def test_in_a_chain_a_failure_stops_what_depends_on_it_and_nothing_else(stack: Stack) -> None:
    works = "select 1 where '{{ execution_date }}' = ''"
    fails = "select error('no data') where '{{ execution_date }}' <> ''"
    root = stack.register(works, parameters=DATE, **NO_RETRY)
    middle = stack.register(fails, parameters=DATE, depends_on=[root], **NO_RETRY)
    last = stack.register(works, parameters=DATE, depends_on=[middle], **NO_RETRY)
    sibling = stack.register(works, parameters=DATE, depends_on=[root], **NO_RETRY)
    day = "2013-01-01"
    done = stack.cli("workflow", "backfill", root, "-s", day, "-e", day, "--with-downstream", "--wait")
    assert done.returncode == 1, done.stderr
    assert f"{middle} {day} failed: " in done.stderr
    assert f"Not built: {last} {day}." in done.stderr
    built = {name: [run["status"] for run in runs_of(stack, name)] for name in (root, middle, last, sibling)}
    assert built == {root: ["COMPLETED"], middle: ["FAILED"], last: [], sibling: ["COMPLETED"]}
