"""Run planned unit tests, each on a DuckDB of its own in memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dataspec.engines.addresses import MEMORY, EngineAddress
from dataspec.engines.session import SqlSession, StatementFailed, one_line, place_of
from dataspec.sql.rendering import RenderedStatement
from dli.local.engines.duckdb import DuckDBEngine
from dli.local.run import error_in_file
from dli.unit_tests.difference import Difference, compare
from dli.unit_tests.fixtures import quoted, quoted_table

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator

    from dataspec.engines.results import Result
    from dli.unit_tests.given import GivenTable
    from dli.unit_tests.planning import UnitTestPlan

Status = Literal["passed", "failed", "error"]
MAX_ROWS = 100_000
"""Maximum number of rows that are compared."""
_CLOSED = "set enable_external_access = false"
"""What makes a test see nothing but its own tables; no statement can undo it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTestResult:
    """The outcome of one unit test."""

    plan: UnitTestPlan
    status: Status
    seconds: float
    message: str | None = None
    """Why the test failed, or why its SQL did."""
    difference: Difference | None = None

    @property
    def label(self) -> str:
        """The dataset and the test."""
        return f"{self.plan.dataset.name}: {self.plan.name}"


def run_test(plan: UnitTestPlan, show: Callable[[str], None] = lambda _: None) -> UnitTestResult:
    """Run a test; Ctrl-C cancels it.

    Args:
        plan: The plan.
        show: Called with each statement before it runs.

    Raises:
        MissingDriver: When DuckDB is not installed.
    """
    began = time.monotonic()
    listener = _Results(show)
    address = EngineAddress(kind="duckdb", database=MEMORY, options={"threads": 1})
    engine = DuckDBEngine("dli dataset test", address, lambda _: None)
    session = SqlSession(engine, listener, first_rows=MAX_ROWS, prepare=_Preparation(plan))
    try:
        session.run([*plan.statements, *_result(plan)])
    except StatementFailed as failed:
        return UnitTestResult(
            plan=plan, status="error", seconds=time.monotonic() - began, message=_reason(plan, failed)
        )
    except _FixtureError as error:
        return UnitTestResult(plan=plan, status="error", seconds=time.monotonic() - began, message=str(error))
    return _compared(plan, listener.rows, time.monotonic() - began)


class _FixtureError(Exception):
    """The tables of a test can't be made."""


class _Preparation:
    """Creates the tables of a test, before its SQL runs."""

    def __init__(self, plan: UnitTestPlan) -> None:
        self._plan = plan

    def __call__(self, _connection: Any, cursor: Any, _stop: threading.Event) -> None:
        cursor.execute("set TimeZone = 'UTC'")
        self._run(cursor, "the schemas can't be created", self._schemas())
        for table in self._plan.tables:
            self._run(cursor, f"the rows of {table.name} can't be read", _creation(table))
        cursor.execute(_CLOSED)

    def _schemas(self) -> Iterator[str]:
        catalogs = {schema.partition(".")[0].lower() for schema in self._plan.schemas if "." in schema}
        for catalog in sorted(catalogs):
            yield f"attach ':memory:' as {quoted(catalog)}"
        for schema in self._plan.schemas:
            yield f"create schema if not exists {quoted_table(schema)}"

    def _run(self, cursor: Any, problem: str, statements: Iterable[str]) -> None:
        import duckdb

        try:
            for statement in statements:
                cursor.execute(statement)
        except duckdb.Error as error:
            place, reason = self._plan.place, one_line(error).partition(" LINE ")[0]
            raise _FixtureError(f"{place.file}:{place.line}:{place.column}: {problem}: {reason}") from None


def _creation(table: GivenTable) -> Iterator[str]:
    """Yield the statements for a table with its rows: a view where nothing writes it, whose nulls fit every use."""
    yield table.rows.select  # shows a value that is not of its type, which a view would show when it is read
    kind = "table" if table.is_own else "view"
    yield f"create {kind} {quoted_table(table.name)} as {table.rows.select}"


class _Results:
    """Keeps the rows of the last query."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.rows: Result | None = None

    def started(self, statement: RenderedStatement) -> None:
        """Show the statement."""
        self._show(f"{place_of(statement)}:\n{statement.shown}")

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:  # noqa: ARG002
        """Keep the rows of the query, or of the statement that reads the table."""
        if statement.kind == "query" and result.columns:
            self.rows = result

    def failed(self, failed: StatementFailed) -> None:
        """Do nothing: the session raises it."""

    def passed_over(self, failed: StatementFailed) -> None:
        """Do nothing: the spec allows it."""

    def cancelling(self, how: str) -> None:
        """Do nothing."""

    def not_cancelled(self, error: Exception) -> None:
        """Do nothing."""


def _result(plan: UnitTestPlan) -> list[RenderedStatement]:
    """Return the statement that reads the table which the SQL has written."""
    if plan.result is None:
        return []
    sql = f"select * from {quoted_table(plan.result)}"  # noqa: S608 - a name in quotes
    return [RenderedStatement("result", sql, "query", continue_on_error=False, file=None)]


def _reason(plan: UnitTestPlan, failed: StatementFailed) -> str:
    """Return why a statement failed, with its place in the user's file."""
    cause = failed.__cause__ or failed
    error = Exception(one_line(cause).partition(" LINE ")[0]) if plan.is_translated else cause
    place = error_in_file(plan.dataset, failed.statement, error)
    reason = one_line(cause).partition(" LINE ")[0]
    if plan.is_translated:
        reason = f"{reason.rstrip('.')}. The SQL was translated to DuckDB's; --verbose shows it."
    return f"{place}: {reason}" if place else f"the {place_of(failed.statement)} failed: {reason}"


def _compared(plan: UnitTestPlan, found: Result | None, seconds: float) -> UnitTestResult:
    status: Status = "error"
    message, difference = None, None
    if found is None:
        message = "the SQL yields no rows to compare."
    elif found.total > MAX_ROWS:
        message = f"the SQL yields {found.total:,} rows; {MAX_ROWS:,} can be compared."
    elif missing := [
        name for name in plan.expect.columns if name.lower() not in map(str.lower, found.columns)
    ]:
        message = f"the result has no column '{missing[0]}'; it has: {', '.join(found.columns)}."
    else:
        difference = compare(plan.expect, found)
        status = "failed" if difference else "passed"
        message = difference.summary if difference else None
    return UnitTestResult(plan=plan, status=status, seconds=seconds, message=message, difference=difference)
