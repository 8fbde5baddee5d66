"""What a statement did: the rows that it changed, or those that it answered with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_BATCH = 10_000
_COUNTS = frozenset({"Count", "rows"})
"""What DuckDB and Trino call the one column of their answer to a change."""
_NO_RESULT = frozenset({"Count", "Success"})
"""What DuckDB calls the one column of an answer without rows."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement did."""

    columns: tuple[str, ...] = ()
    """The names of the answer's columns; none of a statement that answers with no rows."""
    first_rows: tuple[tuple[Any, ...], ...] = ()
    total: int = 0
    """How many rows it answered with in all."""
    affected: int | None = None
    """How many rows it changed, where the engine tells."""


def read_result(cursor: Any, first_rows: int) -> Result:
    """Read what a statement answers, to its end, and keep as many of its first rows.

    Some engines work a query off only as its rows are read, DuckDB and Trino among them: an
    error in the last row is an error of the statement, also where nobody wants the rows.
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
