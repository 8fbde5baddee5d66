"""Read the rows of a unit test from YAML or CSV, and write them as a table of DuckDB."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from dataspec.problems import nearest
from dataspec.spec.sql_texts import SqlText
from dataspec.sql.values.seeds import read_seed, type_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataspec.problems import Problem
    from dataspec.spec.sql_texts import SqlPlaces
    from dataspec.spec.unit_tests import Fixture
    from dataspec.spec.yaml_reader import Path

_INT64 = range(-(2**63), 2**63)
_TIMES = frozenset({"date", "timestamp"})
"""The types of text that YAML writes without a type of its own."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a table in a unit test."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...] = ()
    types: tuple[str | None, ...] = ()
    """The type of each column in DuckDB's SQL; None for one that the values don't show."""

    def lacks(self, column: str) -> bool:
        """Return whether no column has a name, in any case of letters."""
        return column.lower() not in map(str.lower, self.columns)

    def with_columns(self, names: Sequence[str]) -> Rows:
        """Return a table without rows that has these columns as well."""
        new = tuple(name for name in dict.fromkeys(names) if self.lacks(name))
        return Rows((*self.columns, *new), self.rows, (*self.types, *(None for _ in new)))

    def typed(self, declared: Mapping[str, str | None]) -> Rows:
        """Return the rows with the declared types of columns, by names in lower case, where they are known."""
        types = (
            declared.get(name.lower()) or found for name, found in zip(self.columns, self.types, strict=True)
        )
        return Rows(self.columns, self.rows, tuple(types))

    def settled(self, like: Rows) -> Rows:
        """Return the rows with a type for each column, as a table has: that of other rows, or else text."""
        others = {name.lower(): kind for name, kind in zip(like.columns, like.types, strict=True)}
        is_nested = [
            any(isinstance(row[index], list | dict) for row in self.rows)
            for index in range(len(self.columns))
        ]
        types = (
            kind if kind or nested else others.get(name.lower()) or "text"
            for name, kind, nested in zip(self.columns, self.types, is_nested, strict=True)
        )
        return Rows(self.columns, self.rows, tuple(types))

    @property
    def select(self) -> str:
        """A query that returns the rows."""
        if not self.rows:
            columns = ", ".join(map(self._column, range(len(self.columns))))
            return f"select {columns or 'null as no_column'} where false"
        columns = ", ".join(map(self._column, range(len(self.columns))))
        rows = ",\n".join(f"({', '.join(map(literal, row))})" for row in self.rows)
        names = ", ".join(f"c{index}" for index in range(len(self.columns)))
        return f"select {columns} from (values {rows}) given ({names})"  # noqa: S608 - literals and quoted names

    def _column(self, index: int) -> str:
        """Return a column of the query; a null without a type where no row has a value, which fits every use."""
        name, kind = quoted(self.columns[index]), self.types[index]
        has_values = any(row[index] is not None for row in self.rows)
        value = f"c{index}" if has_values else "null"
        return f"cast({value} as {kind}) as {name}" if kind else f"{value} as {name}"


def rows_or_problems(
    fixture: Fixture, at: Path, places: SqlPlaces, files: Mapping[str, str]
) -> tuple[Rows, list[Problem]]:
    """Return the rows of a fixture, or none and the problems of its CSV, each at its line.

    Args:
        fixture: The fixture.
        at: Its path in the YAML.
        places: The places of the YAML.
        files: The text of each CSV file, by its path in the YAML.
    """
    if isinstance(fixture, list):
        return _yaml_rows(fixture), []
    if isinstance(fixture, str):
        return _csv_rows(fixture, at, places, None)
    if fixture.file in files:
        return _csv_rows(files[fixture.file], at, places, fixture.file)
    message = f"the CSV file '{fixture.file}' does not exist beside the YAML."
    hint = nearest(fixture.file, files)
    return Rows(()), [places.document.problem((*at, "file"), message, hint=hint)]


def _csv_rows(text: str, at: Path, places: SqlPlaces, file: str | None) -> tuple[Rows, list[Problem]]:
    found, problems = read_seed(text, "fixture")
    if found is None:
        source = SqlText("", text, "query", continue_on_error=False, file=file, path=at)
        return Rows(()), [places.placed(problem, source) for problem in problems]
    columns = tuple(column.name for column in found.columns)
    rows = tuple(row for _, row in found.rows)
    is_empty = [all(row[index] is None for row in rows) for index in range(len(columns))]
    types = (None if empty else column.type for column, empty in zip(found.columns, is_empty, strict=True))
    return Rows(columns, rows, tuple(types)), []


def _yaml_rows(rows: Sequence[Mapping[str, Any]]) -> Rows:
    names: dict[str, str] = {}
    for row in rows:
        for name in row:
            names.setdefault(name.lower(), name)
    lowered = [{name.lower(): value for name, value in row.items()} for row in rows]
    found = tuple(tuple(row.get(name) for name in names) for row in lowered)
    types = tuple(_type([row[index] for row in found]) for index in range(len(names)))
    return Rows(tuple(names.values()), found, types)


def _type(values: Sequence[Any]) -> str | None:
    """Return the type that the values of a column show; None if they show none, and for nested values."""
    given = [value for value in values if value is not None]
    if not given or any(isinstance(value, list | dict) for value in given):
        return None
    if all(isinstance(value, bool) for value in given):
        return "boolean"
    if all(isinstance(value, str) for value in given):
        found = type_of(given)
        return found if found in _TIMES else "timestamptz" if all(map(_has_offset, given)) else "text"
    if any(isinstance(value, bool | str) for value in given):
        return "text"
    if all(isinstance(value, int) for value in given):
        return "bigint" if all(value in _INT64 for value in given) else "hugeint"
    found = type_of([str(value) for value in given])
    return found if found.startswith("decimal") else "double"


def _has_offset(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def duckdb_type(declared: str, dialect: str | None) -> str | None:
    """Return a type of another dialect in DuckDB's SQL; None for one that is not known."""
    try:
        return exp.DataType.build(declared, dialect=dialect).sql("duckdb")
    except (SqlglotError, ValueError):
        return None


def quoted(name: str) -> str:
    """Return a name in DuckDB's quotes."""
    return '"' + name.replace('"', '""') + '"'


def quoted_table(name: str) -> str:
    """Return a table's name with each part in DuckDB's quotes."""
    return ".".join(map(quoted, name.split(".")))


def literal(value: Any) -> str:
    """Return a value as a literal of DuckDB; a plain one as text, which the column's type reads."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(map(_item, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_item(item)}" for key, item in value.items()) + "}"
    return _text(_written(value))


def _item(value: Any) -> str:
    """Return a value within a list or a mapping, which nothing else gives a type."""
    is_plain = isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
    return _written(value) if is_plain else literal(value)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
