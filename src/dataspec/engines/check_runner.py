"""Run the checks of a dataset on the rows of one run (docs/checks.md)."""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dataspec.engines.session import StatementFailed, one_line
from dataspec.spec.checks import check_names
from dataspec.spec.sql_texts import SqlPlaces, SqlText
from dataspec.sql.checks.check_sql import SAMPLE_ROWS, CheckedTable, CheckWriter, NoColumnError
from dataspec.sql.checks.findings import SAMPLE_PREFIX, ChecksFailed, finding, not_passed
from dataspec.sql.rendering import Origin, RenderedStatement, render_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dataspec.engines.results import Result
    from dataspec.models import CheckResult
    from dataspec.spec.checks import Check
    from dataspec.spec.model import DatasetSpec


_SOME_ROWS = "dli_some_rows"
"""The name of the rows that are checked, if these are not all of the table."""


class CheckRunner:
    """Runs the checks of one attempt.

    Args:
        spec: A spec whose runs check rows.
        writer: Writes their SQL.
        built: The table that the run fills, as SQL; None with a materialization, which calls :meth:`run`.
        places: Where each check is written, by its index.
        schema_place: Where ``schema`` is written.
        connected: The dialect of the connection.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        writer: CheckWriter,
        built: str | None,
        places: Sequence[str],
        *,
        schema_place: str,
        connected: str | None,
    ) -> None:
        self._schema_place = schema_place
        self._connected = connected
        self._spec = spec
        self._writer = writer
        self._built = built
        self._places = places
        self._names = check_names(spec.checks)
        self.results: tuple[CheckResult, ...] = ()
        """What the checks found, in the order of the spec; none before they ran."""

    @classmethod
    def of(
        cls,
        spec: DatasetSpec,
        files: Mapping[str, str],
        values: Mapping[str, Any],
        *,
        dialect: str | None,
        file: str,
        yaml: bytes | None = None,
        connected: str | None = None,
    ) -> CheckRunner | None:
        """Return what runs the checks of a run; None for a spec that has none.

        The arguments are those of :func:`dataspec.sql.rendering.render_statements`.

        Raises:
            InvalidTemplate: With the place in the user's file.
        """
        if not spec.checks_rows:
            return None
        texts, unsettled = render_checks(
            spec, files, values, dialect=dialect, file=file, yaml=yaml, connected=connected
        )
        writer = CheckWriter(texts, dialect, unsettled=unsettled)
        built = None if spec.materialization else writer.table(_table_of(spec, files, dialect))
        places, schema_place = [f"checks[{index}] of {file}" for index in range(len(spec.checks))], file
        if yaml is not None:
            document = SqlPlaces.of(yaml, file).document
            at = (document.position(("checks", index)) for index in range(len(spec.checks)))
            places = [f"{file}:{line}:{column}" for line, column in at]
            schema_place = "{}:{}:{}".format(file, *document.key_position(("schema",)))
        return cls(spec, writer, built, places, schema_place=schema_place, connected=connected or dialect)

    def finish(self, execute: Callable[..., Result]) -> None:
        """Check the table that a run without a materialization has filled; the rows can't be held back.

        Raises:
            ChecksFailed: When rows fail.
        """
        if self._built is not None:
            self.run(self._built, execute, published=True)

    def run(
        self,
        table: str,
        execute: Callable[..., Result],
        *,
        columns: Mapping[str, str] = MappingProxyType({}),
        condition: str = "",
        published: bool = False,
    ) -> None:
        """Check rows, and keep the results.

        Args:
            table: The table of the rows, as SQL.
            execute: Runs a statement.
            columns: The type of each column, by its name, where they are known.
            condition: A condition for the rows of the table that are checked; all if it is empty.
            published: Whether the rows are in the dataset's table already.

        Raises:
            ChecksFailed: When rows fail a check of the severity ``error``.
            StatementFailed: When the engine refused the SQL of a check of the severity ``error``.
        """
        found = self._schema_results(columns)
        if self._spec.checks:
            one_pass = _Pass(self._spec, self._names, self._places, self._writer, execute)
            found = (*found, *one_pass.results(table, condition))
        self.results = found
        failed = [result for result in self.results if result.status == "failed"]
        if failed:
            raise ChecksFailed(failed, published=published)

    def _schema_results(self, columns: Mapping[str, str]) -> tuple[CheckResult, ...]:
        """Return the result of comparing ``schema`` with columns; none where one of the two is not known."""
        declared = self._spec.columns
        if not declared or not columns:
            return ()
        # Imported here: Airflow parses DAGs with checks, and a SQL parser takes 0.3 s to load.
        from dataspec.sql.checks.schema_check import compare_columns

        found = compare_columns(declared, columns, dialect=self._connected, place=self._schema_place)
        return (found,) if found else ()


class _Pass:
    """One pass of the checks over rows."""

    def __init__(
        self,
        spec: DatasetSpec,
        names: Sequence[str],
        places: Sequence[str],
        writer: CheckWriter,
        execute: Callable[..., Result],
    ) -> None:
        self._checks = dict(enumerate(spec.checks))
        self._own = (spec.target or spec.name).lower()
        self._hidden = spec.personal_columns
        self._names = names
        self._places = places
        self._writer = writer
        self._execute = execute
        self._before = ""
        """What precedes each statement: the rows of the table that are checked, if these are not all."""
        self._others: dict[int, CheckedTable] = {}
        """The tables of ``relationships``, by the index of the check."""

    def results(self, table: str, condition: str) -> tuple[CheckResult, ...]:
        if condition:
            self._before = f"with {_SOME_ROWS} as (select * from {table} where {condition})\n"  # noqa: S608 - bound
            table = _SOME_ROWS
        checked = CheckedTable(table, self._columns(table))
        try:
            found = self._found(self._checks, checked)
        except (StatementFailed, NoColumnError):  # one after the other, to tell whose mistake it is
            found = {}
            for index in self._checks:
                found |= self._found_alone(index, checked)
        for index, result in found.items():
            if result.status != "passed" and result.rows is not None:
                self._show(index, checked)
        return tuple(found.values())

    def _found(self, checks: Mapping[int, Check], checked: CheckedTable) -> dict[int, CheckResult]:
        """Return the results of checks, counted by one statement."""
        for index, check in checks.items():
            if check.relationships and check.relationships.to.lower() == self._own:
                self._others[index] = checked
            elif check.relationships and index not in self._others:
                table = self._writer.table(check.relationships.to)
                self._others[index] = CheckedTable(table, self._columns(table, index))
        sql = self._writer.counts(checks, checked, self._others)
        statement = self._statement(sql, next(iter(checks)) if len(checks) == 1 else None)
        total, *counts = map(int, self._execute(statement, keep=1).first_rows[0])
        return {
            index: finding(check, self._names[index], self._places[index], rows, total)
            for (index, check), rows in zip(checks.items(), counts, strict=True)
        }

    def _found_alone(self, index: int, checked: CheckedTable) -> dict[int, CheckResult]:
        check, name, place = self._checks[index], self._names[index], self._places[index]
        try:
            return self._found({index: check}, checked)
        except NoColumnError as error:
            return {index: not_passed(check, name, None, place, str(error))}
        except StatementFailed as failed:
            if check.severity == "error":
                raise
            reason = one_line(failed.__cause__ or failed)
            return {index: not_passed(check, name, None, place, f"it can't be checked: {reason}")}

    def _show(self, index: int, checked: CheckedTable) -> None:
        """Read some rows that fail, which the session's listener shows; it is no error if that fails."""
        check, other = self._checks[index], self._others.get(index)
        if sql := self._writer.sample(index, check, checked, other, self._hidden):
            name = f"{SAMPLE_PREFIX}{self._names[index]}"
            sql = self._before + sql
            statement = RenderedStatement(name, sql, "check", continue_on_error=True, file=None)
            self._execute(statement, keep=SAMPLE_ROWS)

    def _columns(self, table: str, index: int | None = None) -> tuple[str, ...]:
        sql = f"select * from {table} checked where 1 = 0"  # noqa: S608 - a name in quotes
        return self._execute(self._statement(sql, index), keep=1).columns

    def _statement(self, sql: str, index: int | None) -> RenderedStatement:
        """Return a statement; the place of a mistake in it is the check, if it is of one alone."""
        sql = self._before + sql
        if index is None:
            return RenderedStatement("all", sql, "check", continue_on_error=False, file=None)
        name = self._names[index]
        text = SqlText(name, "", "check", continue_on_error=False, file=None, path=("checks", index))
        origin = Origin(text, "", line=1, before=sys.maxsize)
        return RenderedStatement(name, sql, "check", continue_on_error=False, file=None, origin=origin)


def _table_of(spec: DatasetSpec, files: Mapping[str, str], dialect: str | None) -> str:
    """Return the table that a spec without a materialization fills: of its name, else the only one that it writes."""
    from dataspec.sql.lineage.dataset_lineage import ends_alike, lineage_of

    built = lineage_of(spec, files, dialect=dialect).builds(spec.name)
    own = (table for table in built if ends_alike(table, spec.name))
    return next(own, built[0] if len(built) == 1 else spec.name)
