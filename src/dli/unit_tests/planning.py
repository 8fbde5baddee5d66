"""Plan unit tests: find their mistakes, and the SQL that DuckDB runs for each, in a child process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dataspec.errors import InvalidParameters, InvalidSpec, InvalidTemplate
from dataspec.isolation import restart_clock
from dataspec.parameters import EXECUTION_DATE, ParameterValueError
from dataspec.problems import Problem, nearest
from dataspec.spec.model import RUN_TIMES
from dataspec.spec.run_values import resolve_run
from dataspec.spec.sql_texts import SqlPlaces, sql_texts
from dataspec.spec.unit_tests import OWN_TABLE
from dataspec.sql.lineage.column_uses import column_uses
from dataspec.sql.lineage.dataset_lineage import ends_alike
from dataspec.sql.lineage.query_columns import query_columns
from dataspec.sql.lineage.statement_tables import command_of
from dataspec.sql.parser import parse
from dataspec.sql.rendering import RunTable, render_statements, target_values
from dataspec.sql.samples import rendered_texts
from dataspec.sql.transpile import transpile
from dli.unit_tests.fixtures import rows_or_problems
from dli.unit_tests.given import GivenTables, UsedTables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataspec.isolation import LimitExceeded
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.run_values import RunValues
    from dataspec.spec.unit_tests import UnitTest
    from dataspec.spec.yaml_reader import Path
    from dataspec.sql.rendering import RenderedStatement
    from dataspec.sql.samples import SampledText
    from dli.project.project import LocalDataset
    from dli.unit_tests.fixtures import Rows
    from dli.unit_tests.given import GivenTable, Types
    from dli.unit_tests.sources import UnitTestSource

_SETTINGS = (exp.Analyze, exp.Grant, exp.Set, exp.Use)
"""Statements of other engines that a test leaves out, as they yield and change no rows."""
_SETTING_COMMANDS = frozenset({"ANALYZE", "REFRESH", "RESET", "SET", "VACUUM"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """A dataset with its unit tests, before they are planned."""

    dataset: LocalDataset
    sources: tuple[UnitTestSource, ...]
    dialect: str | None
    """The dialect of its SQL."""
    declared: Mapping[str, Types] = field(default_factory=dict)
    """The types of columns that specs declare, by the name of the dataset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTestPlan:
    """A unit test that can be run."""

    dataset: LocalDataset = field(repr=False)
    name: str
    place: Problem
    """A problem without a message at the test's place."""
    statements: tuple[RenderedStatement, ...]
    """The statements in DuckDB's SQL."""
    is_translated: bool
    """Whether the dataset's SQL is of another dialect."""
    tables: tuple[GivenTable, ...]
    schemas: tuple[str, ...]
    """The schemas that have to exist, some below a catalog."""
    result: str | None
    """The table that has the rows afterwards; None where the query itself yields them."""
    expect: Rows
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """The unit tests of one dataset: plans, and problems."""

    plans: tuple[UnitTestPlan, ...] = ()
    problems: tuple[Problem, ...] = ()


def plan_batch(requests: Sequence[PlanRequest]) -> list[Planned]:
    """Plan the unit tests of several datasets, in a child process."""
    found = []
    for request in requests:
        restart_clock()
        found.append(plan(request))
    return found


def not_planned(request: PlanRequest, exceeded: LimitExceeded) -> Planned:
    """Return what is said of a dataset whose SQL exceeded the limits of the child process."""
    return Planned(problems=(exceeded.problem(request.dataset.file),))


def plan(request: PlanRequest) -> Planned:
    """Plan the unit tests of a dataset."""
    plans: list[UnitTestPlan] = []
    problems: list[Problem] = []
    for source in request.sources:
        problems += source.problems
        for index in range(len(source.tests)):
            try:
                plans.append(_Planner(request, source, index).plan())
            except InvalidSpec as error:
                problems += error.problems
    return Planned(tuple(plans), tuple(dict.fromkeys(problems)))


class _Planner:
    """Plans one test."""

    def __init__(self, request: PlanRequest, source: UnitTestSource, index: int) -> None:
        self._request = request
        self._dataset = request.dataset
        self._spec: DatasetSpec = request.dataset.checked()
        self._test: UnitTest = source.tests[index]
        self._source = source
        self._at: Path = ("tests", index)
        self._places = SqlPlaces(source.document)
        self._dataset_places = SqlPlaces.of(self._dataset.yaml, self._dataset.file)
        own = {OWN_TABLE, (self._spec.target or self._spec.name).lower()}
        self._is_own_given = any(key.lower() in own for key in self._test.given)

    def plan(self) -> UnitTestPlan:
        """Return the plan.

        Raises:
            InvalidSpec: With the problems of the test.
        """
        values = self._values()
        texts = self._texts(values)
        used = UsedTables.of(texts)
        statements, warnings = self._statements(values)
        at = (*self._at, "expect")
        expect, unread = rows_or_problems(self._test.expect, at, self._places, self._source.files)
        tables, problems = self._given(expect).read(used, column_uses(texts, self._dataset_places))
        problems += unread
        problems += self._unknown_expected(texts, tables, expect)
        if problems:
            raise InvalidSpec(problems)
        line, column = self._places.document.position(self._at)
        return UnitTestPlan(
            dataset=self._dataset,
            name=self._test.name,
            place=Problem("", self._places.document.file, line, column),
            statements=tuple(statements),
            is_translated=self._is_translated,
            tables=tuple(tables),
            schemas=used.schemas(table.name for table in tables),
            result=self._result(used.writes),
            expect=expect,
            warnings=tuple(warnings),
        )

    @property
    def _is_translated(self) -> bool:
        return self._request.dialect != "duckdb"

    def _given(self, expect: Rows) -> GivenTables:
        return GivenTables(
            spec=self._spec,
            test=self._test,
            at=self._at,
            places=self._places,
            files=self._source.files,
            dialect=self._request.dialect,
            declared=self._request.declared,
            expect=expect,
        )

    def _problem(self, path: Path, message: str, hint: str | None = None, *, at_key: bool = False) -> Problem:
        return self._places.document.problem((*self._at, *path), message, hint=hint, at_key=at_key)

    def _values(self) -> RunValues:
        """Return the values of the run; ``execution_date`` names the partition also if it is no parameter."""
        spec, given = self._spec, dict(self._test.parameters)
        is_partition = spec.schedule is not None and not spec.takes_execution_date
        named = given.pop(EXECUTION_DATE, None) if is_partition else None
        try:
            values = resolve_run(spec, given)
            return values if named is None else replace(values, partition=values.grid.named(named))
        except ParameterValueError as error:
            path: Path = ("parameters", EXECUTION_DATE)
            raise InvalidSpec([self._problem(path, str(error), error.hint)]) from None
        except InvalidParameters as error:
            name = next((name for name in given if f"'{name}'" in error.title), None)
            path = ("parameters", name) if name else ("parameters",)
            message = f"{error.title[0].lower()}{error.title[1:]}".rstrip(".") + "."
            hint = error.detail if name else "Give it under 'parameters'."
            raise InvalidSpec([self._problem(path, message, hint, at_key=True)]) from None

    def _texts(self, values: RunValues) -> list[SampledText]:
        """Return the SQL that the test runs, rendered and parsed."""
        known = {**target_values(self._spec, RunTable(self._is_own_given)), **values.template}
        wanted = (text for text in sql_texts(self._spec, self._dataset.sql) if self._is_run(text.kind))
        texts = rendered_texts(wanted, known, self._request.dialect)
        for text in texts:
            if problem := text.unrendered or text.parsed.problem:
                placed = self._dataset_places.placed(problem, text.text)
                message = f"in the test '{self._test.name}': {placed.message}"
                lacks_partition = values.partition is None and any(
                    name in problem.message for name in RUN_TIMES
                )
                hint = "Give the test an 'execution_date'." if lacks_partition else placed.hint
                raise InvalidSpec([replace(placed, message=message, hint=hint)])
        return texts

    def _is_run(self, kind: str) -> bool:
        """Return whether the test runs SQL of a kind: nothing after a query whose rows it compares."""
        return self._spec.target is None or kind in {"seed", "pre", "query"}

    def _statements(self, values: RunValues) -> tuple[list[RenderedStatement], list[str]]:
        """Return the statements in DuckDB's SQL, and what could not be translated."""
        request, dataset = self._request, self._dataset
        try:
            statements = [
                statement
                for statement in render_statements(
                    self._spec,
                    dataset.sql,
                    values.template,
                    dialect=request.dialect,
                    file=dataset.file,
                    yaml=dataset.yaml,
                    table=RunTable(self._is_own_given),
                )
                if self._is_run(statement.kind)
            ]
            if not self._is_translated:
                return statements, []
            kept = [statement for statement in statements if not self._is_setting(statement)]
            texts, losses = transpile(
                kept, read=request.dialect, write="duckdb", yaml=dataset.yaml, file=dataset.file
            )
        except InvalidTemplate as error:
            raise InvalidSpec([error.problem]) from None
        translated = [replace(one, sql=sql) for one, sql in zip(kept, texts, strict=True)]
        return translated, [f"The translation to DuckDB is incomplete: {loss}" for loss in losses]

    def _is_setting(self, statement: RenderedStatement) -> bool:
        trees = parse(statement.sql, self._request.dialect)
        return all(isinstance(tree, _SETTINGS) or command_of(tree) in _SETTING_COMMANDS for tree in trees)

    def _unknown_expected(
        self, texts: Sequence[SampledText], tables: Sequence[GivenTable], expect: Rows
    ) -> list[Problem]:
        """Return the problems of expected columns that the query surely does not yield."""
        query = next((text for text in texts if text.text.kind == "query"), None)
        if query is None or self._spec.target is None or len(query.parsed.trees) != 1:
            return []
        (tree,) = query.parsed.trees
        if not isinstance(tree, exp.Query):
            return []
        known = {table.name.lower(): table.rows.columns for table in tables}
        found = query_columns(tree, known, self._request.dialect)
        if found.unknown or not all(column.named for column in found.columns):
            return []
        names = [column.name for column in found.columns]
        lowered = {name.lower() for name in names}
        return [
            self._problem(
                self._place_of(column),
                f"the query has no column '{column}'.",
                nearest(column, names) or f"It has: {', '.join(names)}.",
                at_key=True,
            )
            for column in expect.columns
            if column.lower() not in lowered
        ]

    def _place_of(self, column: str) -> Path:
        """Return the path of the first expected row that names a column."""
        expect = self._test.expect
        rows = expect if isinstance(expect, list) else []
        return next(
            (("expect", index, column) for index, row in enumerate(rows) if column in row), ("expect",)
        )

    def _result(self, writes: Mapping[str, str]) -> str | None:
        """Return the table whose rows are compared; None for those of the query."""
        if self._spec.target is not None or not writes:
            return None
        own = [name for name in writes.values() if ends_alike(name, self._spec.name)]
        if own or len(writes) == 1:
            return own[0] if own else next(iter(writes.values()))
        tables = ", ".join(writes.values())
        message = f"the SQL writes several tables, {tables}, and none is called {self._spec.name}."
        raise InvalidSpec([self._problem((), message, "Only the rows of one table can be compared.")])
