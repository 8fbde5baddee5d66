"""A dataset's SQL run on this machine, by the code that renders and runs it in Airflow (specification 23.1)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataspec.engines.session import SqlSession, StatementFailed, one_line, place_of
from dataspec.errors import RunFailed
from dataspec.parameters.resolve import resolve_parameters
from dataspec.sql.dialects import dialect_of
from dataspec.sql.rendering import RenderedStatement, render_statements
from dataspec.sql.template.run_values import run_values
from dli.local.engines.opening import open_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dataspec.engines.results import Result
    from dataspec.engines.session import StatementListener
    from dataspec.spec.model import DatasetSpec
    from dli.config.settings import Settings
    from dli.local.engines.driver import DriverEngine
    from dli.project.project import LocalDataset

_POINTER = re.compile(r" LINE \d+: .*$")
"""How DuckDB shows the line, which the place says better."""

_WRITTEN = re.compile(
    r"""(?:\s|--[^\n]*\n|/\*.*?\*/)*
    (?:insert\s+(?:or\s+\w+\s+)?into|insert\s+overwrite(?:\s+table)?|merge\s+into
      |create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+)?table(?:\s+if\s+not\s+exists)?)\s+
    (?P<table>(?:"[^"]+"|`[^`]+`|[^\s"`(.;]+)(?:\.(?:"[^"]+"|`[^`]+`|[^\s"`(.;]+))*)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""How a statement begins that writes a table; a SQL parser would take longer to load than most runs take."""

SAMPLE = "first rows"
"""The name of the statement that reads what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run on this machine would do."""

    dataset: LocalDataset
    spec: DatasetSpec
    parameters: Mapping[str, Any]
    values: Mapping[str, Any]
    """What the SQL sees."""
    engine: DriverEngine
    dialect: str | None

    @classmethod
    def of(
        cls,
        dataset: LocalDataset,
        given: Mapping[str, Any],
        settings: Settings,
        waiting: Callable[[str], None],
        engine: DriverEngine | None = None,
    ) -> Plan:
        """Return the plan of a run.

        Args:
            dataset: The dataset.
            given: The parameters as they were given.
            settings: They say what the connection is here.
            waiting: Told of whom a DuckDB file has to be waited for.
            engine: That of the connection, if it was opened early.

        Raises:
            InvalidSpec: When the spec can't be used.
            InvalidParameters: When the parameters don't fit it.
            InvalidSettings: When its connection is not defined here.
        """
        spec = dataset.checked()
        parameters = resolve_parameters(spec.parameters, given)
        if engine is None or engine.name != spec.execution.connection:
            engine = open_engine(spec.execution.connection, settings, waiting)
        return cls(
            dataset=dataset,
            spec=spec,
            parameters=parameters,
            values=run_values(spec, parameters),
            engine=engine,
            dialect=spec.execution.dialect or dialect_of(engine.conn_type),
        )

    def statements(self) -> list[RenderedStatement]:
        """Return the SQL as it goes to the engine.

        Raises:
            InvalidTemplate: With the place in the user's file.
        """
        return render_statements(
            self.spec,
            self.dataset.sql,
            self.values,
            dialect=self.dialect,
            file=self.dataset.file,
            yaml=self.dataset.yaml,
            connected=dialect_of(self.engine.conn_type),
        )


@dataclass(slots=True, kw_only=True)
class LocalRun:
    """A run on this machine, and what came of it."""

    plan: Plan
    seconds: float = 0.0
    results: list[tuple[RenderedStatement, float, Result]] = field(default_factory=list)

    @property
    def rows_written(self) -> int | None:
        """How many rows the query wrote, where the engine tells."""
        counts = [
            result.affected
            for statement, _, result in self.results
            if statement.kind == "query" and result.affected is not None
        ]
        return sum(counts) if counts else None

    @property
    def answer(self) -> Result | None:
        """The rows to show: those that the query answered with, else the first of the table that it wrote."""
        answers = [
            result
            for statement, _, result in self.results
            if result.columns and (statement.kind == "query" or statement.name == SAMPLE)
        ]
        return answers[-1] if answers else None


class Runner:
    """Runs a plan once.

    Args:
        plan: What to run.
        listener: Is told of the statements.
        limit: How many rows are kept of an answer.
        measure: Whether somebody asks for the progress of a statement.
    """

    def __init__(self, plan: Plan, listener: StatementListener, *, limit: int, measure: bool) -> None:
        self._limit = limit
        self.result = LocalRun(plan=plan)
        recorder = _Recorder(self.result, listener)
        self.session = SqlSession(plan.engine, recorder, first_rows=limit, measure=measure)

    def run(self) -> LocalRun:
        """Run the statements; Ctrl-C cancels the running one on the engine.

        Raises:
            InvalidTemplate: When the SQL can't be rendered.
            MissingDriver: When the engine's driver is not installed.
            EngineUnreachable: When there is no connection to it.
            RunFailed: When a statement failed, with its place in the user's file.
        """
        plan = self.result.plan
        statements = plan.statements()
        if self._limit:
            statements += _samples(statements, self._limit)
        began = time.monotonic()
        try:
            self.session.run(statements)
        except StatementFailed as failed:
            raise _failure(plan, failed) from failed
        finally:
            self.result.seconds = time.monotonic() - began
        return self.result


class _Recorder:
    """Keeps the results, and hands everything on."""

    def __init__(self, run: LocalRun, listener: StatementListener) -> None:
        self._run = run
        self._listener = listener
        self.failed = listener.failed
        self.cancelling = listener.cancelling
        self.not_cancelled = listener.not_cancelled

    def started(self, statement: RenderedStatement) -> None:
        if statement.name != SAMPLE:
            self._listener.started(statement)

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:
        self._run.results.append((statement, seconds, result))
        if statement.name != SAMPLE:
            self._listener.ended(statement, seconds, result)

    def passed_over(self, failed: StatementFailed) -> None:
        if failed.statement.name != SAMPLE:
            self._listener.passed_over(failed)


def _samples(statements: list[RenderedStatement], limit: int) -> list[RenderedStatement]:
    """Return the statement that reads the first rows of what the query writes; none for one that answers itself."""
    last = next((s for s in reversed(statements) if s.kind == "query"), None)
    written = _WRITTEN.match(last.sql) if last else None
    if written is None:
        return []
    return [RenderedStatement(SAMPLE, f"select * from {written['table']} limit {limit}", "post", True, None)]  # noqa: S608 - the user's own name, in the user's own session


def _failure(plan: Plan, failed: StatementFailed) -> RunFailed:
    cause = failed.__cause__ or failed
    place = _place(plan, failed.statement, cause)
    reason = one_line(cause)
    if place is not None:
        reason = f"{place}: {_POINTER.sub('', reason)}"
    return RunFailed(f"The {place_of(failed.statement)} failed.", detail=reason)


def _place(plan: Plan, statement: RenderedStatement, error: BaseException) -> str | None:
    """Return where in the user's file the engine found the mistake; where the statement begins, if it does not say."""
    from dataspec.problems import Problem
    from dataspec.sql.error_places import place_in
    from dataspec.sql.source_map import SqlPlaces, in_template

    origin = statement.origin
    if origin is None:
        return None
    found = place_in(statement.sql, error)
    line = origin.line - 1 + (found.line if found else 1)
    column, word = (found.column, found.word) if found else (None, "")
    begin = column - 1 + len(word) if column else 0
    line, at = in_template(origin.text.sql, origin.rendered, line, begin, word)
    places = SqlPlaces.of(plan.dataset.yaml, plan.dataset.file)
    problem = places.placed(Problem("", "", line, at), origin.text)
    return ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part is not None)
