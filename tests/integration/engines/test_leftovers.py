"""What a killed worker left on a real engine is ended before the next attempt's first statement."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from dataspec.engines.leftovers import AttemptMark
from integration.engines.attempt import attempt
from mariadb import MariaDB
from postgres import Postgres

pytestmark = pytest.mark.xdist_group("engines")

SECONDS = 180


@pytest.fixture
def database(postgres: Postgres) -> Postgres:
    fresh = postgres.fresh()
    fresh.ask("create table sales (who text)")
    return fresh


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def worker(conn_type: str, place: str, statements: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run an attempt in a process of its own, which is killed at the end."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("attempt.py")),
        conn_type,
        place,
        "run-1",
        *statements,
    ]
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


def sleeping(database: Postgres) -> list[list[str]]:
    return database.ask(
        "select pid, application_name from pg_stat_activity "
        "where datname = current_database() and state = 'active' and query like '%pg_sleep(300)%' "
        "and pid <> pg_backend_pid()"
    )


def half_done(who: str) -> list[str]:
    return ["begin", f"insert into sales values ('{who}')", "select pg_sleep(300)", "commit"]


@pytest.mark.rule("12.26")
def test_the_query_of_a_killed_worker_is_gone_before_the_next_attempts_first_statement(
    database: Postgres,
) -> None:
    """The killed attempt's transaction is rolled back; the next attempt, of another run, succeeds alone."""
    with worker("postgres", database.url, half_done("old")) as old:
        until(lambda: bool(sleeping(database)))
        ((pid, name),) = sleeping(database)
        assert name == str(AttemptMark("store", "shop.sales", "run-1"))
        old.send_signal(signal.SIGKILL)
        old.wait()
        first = f"insert into sales select 'beside' from pg_stat_activity where pid = {pid}"
        attempt("postgres", database.url, "run-2", [first, "insert into sales values ('new')"])
    assert database.ask("select who from sales") == [["new"]]


@pytest.mark.rule("12.26")
def test_an_attempt_on_another_machine_that_airflow_gave_up_is_ended(
    database: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    """Its process lives: only the lock, not the check of the connection, can tell the next attempt."""
    with worker("postgres", database.url, half_done("old")) as old, caplog.at_level(logging.WARNING):
        until(lambda: bool(sleeping(database)))
        ((pid, _),) = sleeping(database)
        attempt("postgres", database.url, "run-1", ["insert into sales values ('new')"])
        assert old.wait(SECONDS) != 0
    assert f"An earlier attempt still runs on the engine: ending session {pid}." in caplog.text
    assert database.ask("select who from sales") == [["new"]]


@pytest.mark.rule("12.26")
def test_a_killed_workers_query_ends_by_itself_within_seconds(database: Postgres) -> None:
    with worker("postgres", database.url, half_done("old")) as old:
        until(lambda: bool(sleeping(database)))
        old.send_signal(signal.SIGKILL)
        old.wait()
        until(lambda: not sleeping(database))
    assert database.ask("select who from sales") == []


@pytest.mark.rule("12.26")
def test_another_dataset_store_or_database_and_a_program_with_the_same_lock_are_left_alone(
    postgres: Postgres, database: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    marks = [AttemptMark("store", "shop.other", "run-1"), AttemptMark("staging", "shop.sales", "run-1")]
    mine = AttemptMark("store", "shop.sales", "run-1").digest
    assert mine not in {mark.digest for mark in marks}
    key = int.from_bytes(bytes.fromhex(mine), signed=True)
    with (
        closing(psycopg.connect(database.url, application_name="backup")) as other,
        closing(psycopg.connect(postgres.fresh().url, application_name=f"dli {mine} there")) as elsewhere,
    ):
        for holder in (other, elsewhere):
            holder.execute(f"select pg_advisory_lock({key})")
        with caplog.at_level(logging.WARNING):
            attempt("postgres", database.url, "run-1", ["insert into sales values ('new')"])
        for holder in (other, elsewhere):
            assert holder.execute("select 1").fetchone() == (1,)
    assert "Another program holds the lock of this dataset" in caplog.text
    assert database.ask("select who from sales") == [["new"]]


@pytest.mark.rule("12.26")
@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "given up by Airflow"])
def test_the_query_of_an_earlier_attempt_on_mysql_is_killed_by_the_next_one(
    mariadb: MariaDB, *, is_killed: bool
) -> None:
    with closing(mariadb.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("create or replace table sales (who varchar(9)) engine=innodb")

        def ask(query: str) -> tuple[tuple[object, ...], ...]:
            cursor.execute(query)
            return tuple(cursor.fetchall())

        sleeps = "select id from information_schema.processlist where info = 'select sleep(300)'"
        statements = ["begin", "insert into sales values ('old')", "select sleep(300)", "commit"]
        with worker("mysql", str(mariadb.port), statements) as old:
            until(lambda: bool(ask(sleeps)))
            if is_killed:
                old.send_signal(signal.SIGKILL)
                old.wait()
                assert ask(sleeps)
            attempt("mysql", str(mariadb.port), "run-1", ["insert into sales values ('new')"])
        assert ask(sleeps) == ()
        assert ask("select who from sales") == (("new",),)
