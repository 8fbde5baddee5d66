"""Read the result of a statement: its rows, or the number of rows that it changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_BATCH = 10_000
_COUNTS = frozenset({"Count", "rows"})
"""The name of the only column with which DuckDB and Trino report changed rows."""
_NO_RESULT = frozenset({"Count", "Success"})
"""The name of the only column of a DuckDB result without rows."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a statement."""

    columns: tuple[str, ...] = ()
    """The names of the columns; empty for a statement without a result set."""
    first_rows: tuple[tuple[Any, ...], ...] = ()
    total: int = 0
    """The number of rows in the result set."""
    affected: int | None = None
    """The number of changed rows, if the engine reports it."""


def read_result(cursor: Any, first_rows: int) -> Result:
    """Read a result set to its end and keep its first rows.

    DuckDB, Trino and others compute a query while its rows are read: an error in the last row must fail the
    statement, even if no row is needed.
    """
    if not cursor.description:
        count = getattr(cursor, "rowcount", -1)
        return Result(affected=count if isinstance(count, int) and count >= 0 else None)
    columns = tuple(str(column[0]) for column in cursor.description)
    first, total = _read(cursor, first_rows)
    if _is_count(columns, first):
        return Result(affected=first[0][0])
    if not total and len(columns) == 1 and columns[0] in _NO_RESULT:
        return Result()
    return Result(columns, tuple(map(tuple, first[:first_rows])), total)


def _read(cursor: Any, first_rows: int) -> tuple[list[Any], int]:
    first = list(cursor.fetchmany(max(first_rows, 1)))
    total = len(first)
    while batch := cursor.fetchmany(_BATCH) if total else None:
        total += len(batch)
    return first, total


def _is_count(columns: tuple[str, ...], rows: list[Any]) -> bool:
    # Snowflake has "number of rows inserted" and the like.
    named = columns[0] in _COUNTS or columns[0].startswith("number of rows")
    return len(columns) == 1 and named and len(rows) == 1 and isinstance(rows[0][0], int)
