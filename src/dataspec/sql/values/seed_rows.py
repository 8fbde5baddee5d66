"""Write a seed into the SQL: its fields are values, bound as data; its columns have the types that were inferred.

A large seed is a table of the session instead, which :mod:`dataspec.sql.values.seed_loading` fills.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlglot import exp

from dataspec.sql.values.marked_text import TemplateText
from dataspec.sql.values.seeds import MAX_INLINE_BYTES, is_large, problems_in_seed, read_seed, seed_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dataspec.sql.values.binding import Slots
    from dataspec.sql.values.seeds import SeedColumn

_ROWS_IN_FROM = frozenset(
    {
        *("athena", "databricks", "duckdb", "fabric", "materialize", "postgres", "presto", "risingwave"),
        *("snowflake", "spark", "spark2", "trino", "tsql"),
    }
)
"""Dialects that read ``(values (…), (…)) as name (columns)``."""
_CASES: dict[str, Callable[[str], str]] = {
    "materialize": str.lower,
    "postgres": str.lower,
    "risingwave": str.lower,
    "snowflake": str.upper,
}
"""How an engine that knows the case of names in quotes changes a name without them."""
_TYPES: dict[str, dict[str, str]] = {
    "athena": {"timestamp": "TIMESTAMP(6)"},
    "clickhouse": {"bigint": "Int64", "date": "Date32", "timestamp": "DateTime64(6)"},
    "mysql": {"bigint": "SIGNED", "timestamp": "DATETIME(6)"},
    "trino": {"timestamp": "TIMESTAMP(6)"},
}
"""The types that a dialect writes in another way than sqlglot does, or that would lose digits."""
SEED_TABLE = "dli_seed_"
"""Begins the name of each table that holds a large seed."""
TEMPORARY: dict[str, dict[str, str]] = {
    "duckdb": {},
    "mysql": {"timestamp": "datetime(6)"},
    "postgres": {},
    "redshift": {"text": "varchar(65535)"},
    "snowflake": {"timestamp": "timestamp_ntz"},
    "sqlite": {},
}
"""Dialects with ``create temporary table``, each with the types that it writes in another way."""


def seed_sql(
    name: str, files: Mapping[str, str], slots: Slots, dialect: str | None, *, needs_alias: bool
) -> TemplateText:
    """Return a seed as a table in FROM: its rows, or for a large one the table of the session that holds them.

    Args:
        name: The seed's name.
        files: The files of the project, by path.
        slots: The slots of the rendering, which take each field.
        dialect: The SQL dialect, by sqlglot's name; None where it is unknown.
        needs_alias: Whether the SQL around it gives it no alias.

    Raises:
        LookupError: When there is no such seed, it is invalid, or the dialect has no rows in FROM.
    """
    path = seed_path(name)
    alias = quoted(name, dialect)
    named = f" as {alias}" if needs_alias else ""
    problems = problems_in_seed(files[path]) if path in files else ()
    if path in files and not problems and is_large(files[path]):
        return TemplateText(f"{seed_table(path, files[path], dialect)}{named}")
    seed = read_seed(files[path])[0] if path in files else None
    if seed is None:
        raise LookupError(f"the seed '{name}' can't be used{f': {problems[0]}' if problems else ''}")
    rows = [
        ", ".join(
            _cell(value, column, slots, f"{path}:{line}")
            for value, column in zip(row, seed.columns, strict=True)
        )
        for line, row in seed.rows
    ]
    names = [quoted(column.name, dialect) for column in seed.columns]
    source, columns = _rows(rows, names, alias, dialect)
    selected = ", ".join(
        f"{_typed(column, source_name, dialect)} as {written}"
        for column, source_name, written in zip(seed.columns, columns, names, strict=True)
    )
    return TemplateText(f"(select {selected} from {source}){named}")  # noqa: S608 - fields are slots


def seed_table(path: str, text: str, dialect: str | None) -> str:
    """Return the name of the table that holds a large seed, which needs no quotes.

    Args:
        path: The path of the seed's file.
        text: The seed.
        dialect: The SQL dialect, by sqlglot's name; None where it is unknown.

    Raises:
        LookupError: When the dialect has no temporary tables.
    """
    if dialect not in TEMPORARY:
        why = (
            f"{dialect} has no temporary tables"
            if dialect
            else "'execution.dialect' does not name the engine"
        )
        limit = f"{MAX_INLINE_BYTES // 1024} KiB"
        raise LookupError(f"{path} has more than {limit} and can't be loaded: {why}")
    digest = hashlib.sha256(f"{path}\n{text}".encode()).hexdigest()
    return f"{SEED_TABLE}{digest[:16]}"


def _cell(value: str | None, column: SeedColumn, slots: Slots, place: str) -> str:
    if value is None:
        return "null"
    value = value.lower() if column.type == "boolean" else value
    return f"'{slots.take(value, *slots.use, column.name, place)}'"


def _rows(rows: list[str], names: list[str], alias: str, dialect: str | None) -> tuple[str, list[str]]:
    """Return rows of text as a table of a dialect, and the names of its columns.

    Raises:
        LookupError: When the dialect has no way to write them.
    """
    if dialect == "bigquery":
        types = ", ".join(f"{name} string" for name in names)
        return f"unnest(array<struct<{types}>>[{_joined(rows, 'struct')}])", names
    if dialect == "clickhouse":
        types = ", ".join(f"{name} Nullable(String)" for name in names)
        return f"values('{types}', {_joined(rows)})", names
    if dialect == "sqlite":
        return f"(values {_joined(rows)})", [f"column{number}" for number in range(1, len(names) + 1)]
    if dialect == "mysql" or dialect in _ROWS_IN_FROM or dialect is None:
        joined = _joined(rows, "row" if dialect == "mysql" else "")
        return f"(values {joined}) as {alias} ({', '.join(names)})", names
    raise LookupError(f"a seed can't be written into the SQL of {dialect}, which has no rows in FROM")


def _joined(rows: list[str], before: str = "") -> str:
    return ", ".join(f"{before}({row})" for row in rows)


def _typed(column: SeedColumn, name: str, dialect: str | None) -> str:
    """Return a column of text as a column of its type."""
    if column.type == "text" or (dialect == "sqlite" and column.type in {"date", "timestamp"}):
        return name
    if column.type == "boolean" and dialect not in {"tsql", "fabric"}:
        return f"({name} = 'true')"
    kind = _TYPES.get(dialect or "", {}).get(column.type)
    if dialect == "clickhouse":
        return f"cast({name} as Nullable({kind or column.type.title()}))"
    return f"cast({name} as {kind or exp.DataType.build(column.type).sql(dialect)})"


def quoted(name: str, dialect: str | None) -> str:
    """Return a name in quotes, in the case in which the engine reads it without them."""
    if dialect is None:
        return name
    return exp.to_identifier(_CASES.get(dialect, str)(name), quoted=True).sql(dialect)
