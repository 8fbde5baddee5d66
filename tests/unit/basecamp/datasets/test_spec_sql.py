"""Specs' SQL in child processes: hostile SQL costs other specs nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import pytest

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.datasets.connection_dialects import ConnectionDialects
from basecamp.datasets.spec_sql import MAX_CALLS, SpecSql, WorkerPool
from basecamp.outages.request_budget import request_budget
from basecamp.shared.clock import SystemClock
from dataspec.catalog.effective import SpecFile
from dataspec.errors import InvalidTemplate, ServerBusy
from dataspec.isolation import LimitExceeded, Limits
from dataspec.models import SourceType
from dataspec.sql.validation import check_spec
from unit.dataspec import isolated_calls

HEAVY = "select " + ", ".join(f"a.c{number} + 1 as c{number}" for number in range(20_000)) + " from a"
"""Sound SQL that no parser reads in a few hundredths of a second."""
SHORT = Limits(cpu_seconds=0.05)


def spec_file(sql: str) -> SpecFile:
    yaml = b"name: a.b\ntype: Dataset\nowner: dana@example.com\nquery_file: q.sql\n"
    files = {"q.sql": sql}
    return SpecFile(
        source=SourceType.CODE,
        key="code/a.yaml",
        etag="1",
        last_modified=datetime(2024, 1, 15, tzinfo=UTC),
        name="a.b",
        yaml=yaml,
        spec=check_spec(yaml, files, file="code/a.yaml"),
        files=files,
        spec_hash=f"{hash(sql):x}",
    )


def spec_sql(limits: Limits) -> SpecSql:
    return SpecSql(ConnectionDialects(MemoryAirflow(), SystemClock()), limits)


@pytest.mark.rule("10.12")
def test_sql_that_takes_too_long_is_an_error_of_its_spec_and_the_next_is_read() -> None:
    sql, heavy, light = spec_sql(SHORT), spec_file(HEAVY), spec_file("select * from raw.clicks")
    assert heavy.spec
    assert light.spec
    with pytest.raises(InvalidTemplate) as caught:
        sql.preview(heavy.spec, heavy, {})
    assert caught.value.title == "The SQL can't be checked."
    assert caught.value.problem.file == "code/a.yaml"
    assert caught.value.problem.message == "the SQL can't be checked: it took more than 0.05 s."
    assert sql.preview(light.spec, light, {}).reads == ["raw.clicks"]


@pytest.mark.rule("18.16")
def test_a_request_waits_for_sql_no_longer_than_its_budget() -> None:
    sql, heavy = spec_sql(Limits(cpu_seconds=30)), spec_file(HEAVY)
    assert heavy.spec
    with request_budget(0.05):
        unknown = sql.lineage(heavy.spec, heavy).unknown
        with pytest.raises(ServerBusy):
            sql.preview(heavy.spec, heavy, {})
    assert [problem.message for problem in unknown] == ["reading it takes longer than a request may wait."]
    kept = sql.lineage(heavy.spec, heavy)  # what was begun is brought to its end
    assert "160,002 words" in kept.unknown[0].message
    with request_budget(0.05):
        assert sql.lineage(heavy.spec, heavy) is kept


@pytest.mark.rule("18.14")
def test_a_lineage_that_takes_too_long_is_unknown_and_not_tried_again_at_once() -> None:
    sql, heavy = spec_sql(SHORT), spec_file(HEAVY)
    assert heavy.spec
    found = sql.lineage(heavy.spec, heavy)
    assert [problem.message for problem in found.unknown] == [
        "the SQL can't be checked: it took more than 0.05 s."
    ]
    assert sql.lineage(heavy.spec, heavy) is found


@pytest.mark.rule("18.14")
def test_a_lineage_is_read_once_for_simultaneous_requests() -> None:
    sql, file = spec_sql(Limits()), spec_file("select * from raw.clicks")
    assert file.spec
    found = sql.lineage(file.spec, file)
    assert [use.name for use in found.reads] == ["raw.clicks"]
    assert sql.lineage(file.spec, file) is found


@pytest.mark.rule("10.19")
def test_columns_that_take_too_long_are_not_known_and_not_read_again() -> None:
    sql, heavy = spec_sql(SHORT), spec_file(HEAVY)
    assert heavy.spec
    found = sql.columns(heavy.spec, heavy, {})
    assert (found.columns, found.unknown) == ((), "Not known: it took too long.")
    assert sql.columns(heavy.spec, heavy, {}) is found
    with request_budget(0.05):
        later = spec_sql(Limits(cpu_seconds=30)).columns(heavy.spec, heavy, {})
    assert later.unknown == "Not known: it took too long."


@pytest.mark.rule("18.14")
def test_columns_are_read_once_for_the_same_upstream_columns() -> None:
    sql, file = spec_sql(Limits()), spec_file("select * from raw.clicks")
    assert file.spec
    found = sql.columns(file.spec, file, {"raw.clicks": ("a",)})
    assert found.names == ("a",)
    assert sql.columns(file.spec, file, {"raw.clicks": ("a",)}) is found
    assert sql.columns(file.spec, file, {"raw.clicks": ("b",)}).names == ("b",)


@pytest.fixture
def pool() -> WorkerPool:
    """One worker, and one place to wait for it."""
    return WorkerPool(Limits(cpu_seconds=60, wall_seconds=60), size=1, waiting=1)


@pytest.mark.rule("18.14")
def test_more_calls_than_may_wait_are_refused_at_once(pool: WorkerPool) -> None:
    with ThreadPoolExecutor(2) as callers:
        calls = [callers.submit(pool.call, partial(isolated_calls.spin, 1.0)) for _ in range(2)]
        until = threading.Event()
        while pool._admitted._value > 0:
            until.wait(0.01)
        with pytest.raises(ServerBusy):
            pool.call(isolated_calls.own_pid)
        for call in calls:
            call.result()
    assert pool.call(partial(isolated_calls.double, 4)) == 8


def test_a_worker_is_replaced_before_its_caches_use_up_its_memory(pool: WorkerPool) -> None:
    pids = [pool.call(isolated_calls.own_pid) for _ in range(MAX_CALLS + 1)]
    assert len(set(pids)) == 2
    assert pids[-1] != pids[-2]


def test_a_worker_that_died_is_replaced(pool: WorkerPool) -> None:
    for _ in range(3):
        with pytest.raises(LimitExceeded):
            pool.call(isolated_calls.crash)
    assert pool.call(partial(isolated_calls.double, 4)) == 8
