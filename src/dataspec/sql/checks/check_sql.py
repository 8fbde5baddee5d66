"""Write the SQL of a dataset's checks: one statement that counts the rows that fail each of them.

Conditions of single rows are counted in one scan of the table; ``unique``, ``relationships`` and ``sql`` are
subqueries of the same statement. Values are bound and names quoted as in templates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataspec.problems import nearest
from dataspec.sql.rendering import CHECKED_ROWS
from dataspec.sql.template.render import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataspec.spec.checks import Check
    from dataspec.spec.yaml_reader import Path

SAMPLE_ROWS = 5
"""Maximum number of rows that are shown of those that fail a check."""


@dataclass(frozen=True, slots=True)
class CheckedTable:
    """The table whose rows checks look at."""

    name: str
    """Its name as SQL, which ``{{ this }}`` means."""
    columns: Sequence[str]


class CheckWriter:
    """Writes the SQL of checks for one engine.

    Args:
        texts: The rendered SQL of the checks, by its YAML path.
        dialect: The dialect of the SQL, by sqlglot's name; None for generic SQL.
        unsettled: Whether a session setting may change how the engine reads strings.
    """

    def __init__(self, texts: Mapping[Path, str], dialect: str | None, *, unsettled: bool) -> None:
        self._texts = texts
        self._dialect = dialect
        self._unsettled = unsettled
        # Imported here: Airflow parses DAGs with checks, and a SQL parser takes 0.3 s to load.
        from dataspec.sql.values.quoting import Quoting

        self._quoting = Quoting.of(dialect, unsettled=unsettled)

    def table(self, name: str) -> str:
        """Return the name of a table as SQL."""
        return self._quoting.table(name)

    def counts(
        self, checks: Mapping[int, Check], checked: CheckedTable, others: Mapping[int, CheckedTable]
    ) -> str:
        """Return a query for one row: how many rows there are, and for each check how many fail.

        For ``row_count`` that is how many rows there are.

        Args:
            checks: The checks, by their index in the spec.
            checked: The rows.
            others: The tables of ``relationships``, by the index of the check.
        """
        counts = [
            f"{self._count(index, check, checked, others.get(index))} as check_{index}"
            for index, check in checks.items()
        ]
        listed = ",\n  ".join(["count(*) as all_rows", *counts])
        return f"select {listed}\nfrom {checked.name} checked"

    def count(self, index: int, check: Check, checked: CheckedTable, other: CheckedTable | None) -> str:
        """Return a query for one value: how many rows fail a check; for ``row_count`` how many there are.

        Args:
            index: The check's index in the spec.
            check: The check.
            checked: The rows.
            other: The table of ``relationships``.
        """
        counted = self._count(index, check, checked, other)
        if check.sql or check.unique or check.relationships:  # a subquery of its own
            return f"select {counted}"
        return f"select {counted}\nfrom {checked.name} checked"

    def sample(
        self,
        index: int,
        check: Check,
        checked: CheckedTable,
        other: CheckedTable | None,
        hidden: frozenset[str],
    ) -> str | None:
        """Return a query for some of the rows that fail a check; None where none can be shown.

        Args:
            index: The check's index in the spec.
            check: The check.
            checked: The rows.
            other: The table of ``relationships``.
            hidden: The columns that are left out, in lower case.
        """
        if check.row_count:
            return None
        if check.sql:  # its columns may have been renamed
            return None if hidden else f"select * from {self._failing(index, checked)} limit {SAMPLE_ROWS}"
        shown = [name for name in checked.columns if name.lower() not in hidden]
        if not shown:
            return None
        columns = ", ".join(f"checked.{self._quoted(name)}" for name in shown)
        fails = self._fails(index, check, checked, other)
        return f"select {columns}\nfrom {checked.name} checked\nwhere {fails}\nlimit {SAMPLE_ROWS}"

    def _count(self, index: int, check: Check, checked: CheckedTable, other: CheckedTable | None) -> str:
        if check.sql:
            return f"(select count(*) from {self._failing(index, checked)})"
        if check.unique:
            several = f"({self._duplicates(index, check.unique, checked, 'count(*) as several')}) duplicates"
            return f"(select coalesce(sum(several), 0) from {several})"
        if check.row_count:
            where = self._where(index, checked)
            return f"count(case when {where} then 1 end)" if where else "count(*)"
        fails = self._fails(index, check, checked, other)
        if check.relationships:
            return f"(select count(*) from {checked.name} checked where {fails})"
        return f"count(case when {fails} then 1 end)"

    def _fails(self, index: int, check: Check, checked: CheckedTable, other: CheckedTable | None) -> str:
        """Return the condition for the rows that fail a check of single rows, or of rows beside others."""
        fails = self._condition(index, check, checked, other)
        where = self._where(index, checked)
        return f"{where} and ({fails})" if where else fails

    def _condition(self, index: int, check: Check, checked: CheckedTable, other: CheckedTable | None) -> str:
        if check.not_null:
            return " or ".join(f"{self._column(name, checked)} is null" for name in check.not_null)
        if check.accepted_values:
            column = self._column(check.accepted_values.column, checked)
            return f"{column} not in ({self._literals(check.accepted_values.values)})"
        if check.relationships and other:
            column = f"checked.{self._column(check.relationships.column, checked)}"
            field = f"others.{self._column(check.relationships.field, other)}"
            found = f"select 1 from {other.name} others where {field} = {column}"
            return f"{column} is not null and not exists ({found})"
        if check.unique:
            names = [self._column(name, checked) for name in check.unique]
            same = " and ".join(f"duplicates.{name} = checked.{name}" for name in names)
            several = self._duplicates(index, check.unique, checked, ", ".join(names))
            return f"exists (select 1 from ({several}) duplicates where {same})"
        return f"case when {self._text(index, 'expression', checked)} then 0 else 1 end = 1"

    def _duplicates(self, index: int, unique: Sequence[str], checked: CheckedTable, what: str) -> str:
        names = [self._column(name, checked) for name in unique]
        conditions = [f"{name} is not null" for name in names]
        if where := self._where(index, checked):
            conditions.append(where)
        return (
            f"select {what} from {checked.name} checked where {' and '.join(conditions)} "
            f"group by {', '.join(names)} having count(*) > 1"
        )

    def _failing(self, index: int, checked: CheckedTable) -> str:
        """Return what FROM has for the rows that a check's own query returns."""
        where = self._where(index, checked)
        return f"{self._text(index, 'sql', checked)} failing" + (f" where {where}" if where else "")

    def _where(self, index: int, checked: CheckedTable) -> str:
        return self._text(index, "where", checked) if ("checks", index, "where") in self._texts else ""

    def _text(self, index: int, key: str, checked: CheckedTable) -> str:
        sql = self._texts["checks", index, key].replace(CHECKED_ROWS, checked.name)
        return f"(\n{sql}\n)"  # a comment may end it

    def _column(self, name: str, checked: CheckedTable) -> str:
        return self._quoted(column_named(name, checked.columns))

    def _quoted(self, name: str) -> str:
        begin, end = self._quoting.names[0]
        return f"{begin}{self._quoting.escape(name, end)}{end}"

    def _literals(self, values: Sequence[Any]) -> str:
        bound = {"values": [*values]}
        return render("{{ values }}", bound, dialect=self._dialect, file="", unsettled=self._unsettled).sql


class NoColumnError(ValueError):
    """A table lacks a column that a check names."""


def column_named(name: str, columns: Sequence[str]) -> str:
    """Return a table's column of a name, in any case of letters; the name itself where the engine tells no columns.

    Raises:
        NoColumnError: When there is none.
    """
    known = {column.lower(): column for column in columns}
    if name in columns or not columns:
        return name
    if name.lower() not in known:
        hint = nearest(name, columns) or f"There are: {', '.join(columns)}."
        raise NoColumnError(f"there is no column '{name}'. {hint}")
    return known[name.lower()]
