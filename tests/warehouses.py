"""Real warehouses for tests of materializations, behind one interface.

A DuckDB file, a PostgreSQL database, ClickHouse's engine in this process, and what Redshift is sent on PostgreSQL.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from chdb import dbapi as chdb

from dataspec.engines.check_runner import CheckRunner
from dataspec.engines.materializer import Materializer
from dataspec.engines.results import Result
from dataspec.engines.session import SqlSession, StatementFailed, Statements
from dataspec.spec.full_refresh import FullRefresh
from dataspec.spec.parse import parse_spec
from dataspec.spec.run_values import resolve_run
from dataspec.sql.materialization.failure import MaterializationFailed
from dataspec.sql.rendering import RenderedStatement, render_statements

_TABLES = "select table_name from information_schema.tables"

log = logging.getLogger(__name__)


class Listener:
    """Keeps what was sent; an action may come before a statement."""

    def __init__(self, before: Callable[[int, RenderedStatement], None] = lambda *_: None) -> None:
        self.sent: list[RenderedStatement] = []
        self.written: int | None = None
        self.results: dict[str, Result] = {}
        """The last result of each statement, by its name."""
        self.checks: CheckRunner | None = None
        self.before = before

    def started(self, statement: RenderedStatement) -> None:
        self.before(len(self.sent), statement)
        self.sent.append(statement)

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:
        self.results[statement.name] = result
        if statement.kind == "query" and result.affected is not None:
            self.written = result.affected

    def failed(self, failed: StatementFailed) -> None:
        log.info("%s", failed)

    def passed_over(self, failed: StatementFailed) -> None:
        log.info("%s", failed)

    def cancelling(self, how: str) -> None:
        log.info("%s", how)

    def not_cancelled(self, error: Exception) -> None:
        log.info("%s", error)


@dataclass
class Warehouse:
    """One database: how a session of the product connects, and how a test looks."""

    conn_type: str
    """Airflow's connection type, here also the dialect: ``duckdb``, ``postgres``, ``redshift`` or ``clickhouse``."""
    address: str
    supports_autocommit: bool = True

    @property
    def kind(self) -> str:
        return self.conn_type

    def get_conn(self) -> Any:
        """Connect, as an Airflow hook does."""
        connect = {"duckdb": duckdb.connect, "clickhouse": chdb.connect}.get(self.kind, psycopg.connect)
        return connect(self.address)

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        if self.kind in {"postgres", "redshift"}:
            conn.autocommit = autocommit

    def get_autocommit(self, conn: Any) -> bool:
        return True

    def ask(self, *queries: str) -> list[Any]:
        """Run statements in a connection of their own; return the rows of the last one."""
        with closing(self.get_conn()) as connection:
            self.set_autocommit(connection, autocommit=True)
            cursor = connection.cursor()
            for query in queries:
                cursor.execute(query)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def orders(self) -> list[Any]:
        """Return the rows of shop.orders, in order."""
        return sorted(self.ask("select * from shop.orders"), key=repr)

    def is_there(self) -> bool:
        """Return whether there is a table or view shop.orders."""
        return bool(self.ask(f"{_TABLES} where table_schema = 'shop' and table_name = 'orders'"))

    def break_off(self) -> None:
        """Let a run's statement fail: the server ends its session; DuckDB, which has no server, fails by itself."""
        if self.kind == "duckdb":
            raise duckdb.FatalException("broken off")
        others = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        self.ask(f"select pg_terminate_backend(pid, 60000) {others}")

    def staged(self) -> list[Any]:
        """Return the staging tables that are there."""
        return self.ask(f"{_TABLES} where substr(table_name, 1, 6) = '__dli_'")

    def refused(
        self, yaml: str, *, adopt: bool = False, refresh: FullRefresh | None = None, **given: Any
    ) -> str:
        """Return why a run is refused; check that it changes nothing."""
        before = self.orders() if self.is_there() else None
        with pytest.raises(MaterializationFailed) as failure:
            self.run(yaml, adopt=adopt, refresh=refresh, **given)
        assert before is None or self.orders() == before
        return str(failure.value)

    def run(
        self,
        yaml: str,
        *,
        listener: Listener | None = None,
        adopt: bool = False,
        refresh: FullRefresh | None = None,
        **given: Any,
    ) -> Listener:
        """Run a dataset once, as Airflow's operator and ``dli dataset run`` do."""
        session, statements, listener = self.session(
            yaml, listener=listener, adopt=adopt, refresh=refresh, **given
        )
        session.run(statements)
        return listener

    def check(self, yaml: str, **given: Any) -> None:
        """Run the checks of a dataset alone, as ``dli dataset check`` does."""
        spec = parse_spec(yaml.encode(), file="dataset.yaml")
        values = resolve_run(spec, given)
        checks = CheckRunner.of(
            spec, {}, values.template, dialect=self.kind, file="dataset.yaml", yaml=yaml.encode()
        )
        runner = Materializer.of(spec, values, self.kind, checks=checks)
        assert runner is not None
        SqlSession(self, Listener(), first_rows=10, finish=runner.check_built).run([])

    def session(
        self,
        yaml: str,
        *,
        listener: Listener | None = None,
        adopt: bool = False,
        refresh: FullRefresh | None = None,
        **given: Any,
    ) -> tuple[SqlSession, Statements, Listener]:
        """Return the session of a run before it starts, with its statements."""
        spec = parse_spec(yaml.encode(), file="dataset.yaml")
        values = resolve_run(spec, given)
        listener = listener or Listener()
        checks = CheckRunner.of(
            spec, {}, values.template, dialect=self.kind, file="dataset.yaml", yaml=yaml.encode()
        )
        runner = Materializer.of(spec, values, self.kind, adopt=adopt, refresh=refresh, checks=checks)
        render = partial(render_statements, spec, {}, values.template, dialect=self.kind, file="dataset.yaml")
        statements = runner.statements(render, {}) if runner else render()
        finish = checks.finish if checks else lambda _: None
        listener.checks = checks
        return (
            SqlSession(self, listener, first_rows=10, query_runner=runner, finish=finish),
            statements,
            listener,
        )


def duckdb_warehouse(folder: Path) -> Warehouse:
    """Return a new DuckDB file."""
    return Warehouse("duckdb", str(folder / "warehouse.duckdb"))


def orders(query: str, materialization: str = "table", more: str = "") -> str:
    """Return the YAML of the dataset shop.orders."""
    lines = "\n".join(f"  {line}" for line in query.splitlines())
    head = "name: shop.orders\ntype: Dataset\nowner: e@example.com\n"
    return f"{head}query_statement: |\n{lines}\nmaterialization: {materialization}\n{more}"


def run_and_die(warehouse: Warehouse, yaml: str, number: int, given: dict[str, Any]) -> None:
    """Run a dataset and get SIGKILL before a statement; for a process of its own."""

    def die(index: int, _: RenderedStatement) -> None:
        if index == number:
            os.kill(os.getpid(), signal.SIGKILL)

    warehouse.run(yaml, listener=Listener(die), **given)


def fork_on_request(requests: Connection) -> None:
    """Fork a process for each request, which runs a dataset and dies; answer with the signal that ended it.

    A process that has loaded everything and opened nothing: a fork of it starts in milliseconds.
    """
    while (request := requests.recv()) is not None:
        if (process := os.fork()) == 0:
            run_and_die(*request)
            os._exit(0)
        requests.send(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
