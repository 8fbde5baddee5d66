from __future__ import annotations

import sqlite3
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from dataspec.engines.cancellation import cancellation_of


class Driver:
    """A driver of an engine that can't run here: keeps what it is told."""

    def __init__(self, conn_type: str, session_id: int = 0) -> None:
        self.conn_type = conn_type
        self.session_id = session_id
        self.executed: list[tuple[int, str]] = []
        self.connections = 0

    def get_conn(self) -> Any:
        self.connections += 1
        number = self.connections
        cursor = SimpleNamespace(
            execute=lambda sql: self.executed.append((number, sql)),
            fetchone=lambda: (self.session_id,),
            close=lambda: None,
        )
        return SimpleNamespace(cursor=lambda: cursor, close=lambda: None)


def test_duckdb_is_interrupted_on_the_cursor_which_is_a_session_of_its_own() -> None:
    hook = SimpleNamespace(conn_type="duckdb")
    with duckdb.connect() as connection, connection.cursor() as cursor:
        assert cancellation_of(hook, connection, cursor).how == "cursor.interrupt()"


def test_sqlite_is_interrupted_on_the_connection() -> None:
    hook = SimpleNamespace(conn_type="sqlite")
    with closing(sqlite3.connect(":memory:")) as connection:
        assert cancellation_of(hook, connection, connection.cursor()).how == "connection.interrupt()"


@pytest.mark.rule("12.14")
def test_a_drivers_own_cancel_comes_before_anything_else() -> None:
    calls: list[str] = []
    cursor = SimpleNamespace(cancel=lambda: calls.append("cursor"))
    connection = SimpleNamespace(
        cancel=lambda: calls.append("connection"), interrupt=lambda: calls.append("i")
    )
    cancellation_of(SimpleNamespace(conn_type="trino"), connection, cursor).cancel()
    cancellation_of(SimpleNamespace(conn_type="postgres"), connection, SimpleNamespace()).cancel()
    assert calls == ["cursor", "connection"]


def test_a_driver_that_offers_nothing_has_its_connection_closed() -> None:
    closed: list[bool] = []
    connection = SimpleNamespace(close=lambda: closed.append(True))
    cancellation_of(SimpleNamespace(conn_type="other"), connection, SimpleNamespace()).cancel()
    assert closed == [True]


@pytest.mark.rule("12.14")
def test_mysql_and_snowflake_are_asked_over_a_second_connection() -> None:
    for kind, ask, order in (
        ("mysql", "SELECT CONNECTION_ID()", "KILL QUERY 42"),
        ("snowflake", "SELECT CURRENT_SESSION()", "SELECT SYSTEM$CANCEL_ALL_QUERIES(42)"),
    ):
        driver = Driver(kind, 42)
        connection = driver.get_conn()
        cancellation = cancellation_of(driver, connection, connection.cursor())
        assert driver.executed == [(1, ask)]
        cancellation.cancel()
        assert driver.executed == [(1, ask), (2, order)]


@pytest.mark.rule("12.14")
def test_bigquery_jobs_are_found_by_the_label_of_the_attempt() -> None:
    cancelled: list[str] = []

    def job(name: str, labels: dict[str, str] | None) -> Any:
        return SimpleNamespace(labels=labels, cancel=lambda: cancelled.append(name))

    jobs: list[Any] = [job("another", {"dli_attempt": "0000"}), job("unlabelled", None)]
    client = SimpleNamespace(list_jobs=lambda state_filter: jobs if state_filter == "running" else [])
    hook = SimpleNamespace(
        conn_type="gcpbigquery",
        labels={"team": "data"},
        project_id="p",
        location="EU",
        get_client=lambda project_id, location: client,
    )
    cancellation = cancellation_of(hook, None, None)
    jobs.append(job("ours", dict(hook.labels)))
    assert hook.labels["team"] == "data"
    cancellation.cancel()
    assert cancelled == ["ours"]
