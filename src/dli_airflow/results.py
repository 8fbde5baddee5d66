"""What a statement did, in a few lines for the log."""

from __future__ import annotations

from typing import Any

FIRST_ROWS = 10
_BATCH = 10_000
_CELL = 60
_COUNTS = frozenset({"Count", "rows"})
"""What DuckDB and Trino call the one column of their answer to a change."""
_NO_RESULT = frozenset({"Count", "Success"})
"""What DuckDB calls the one column of an answer without rows."""


def read_result(cursor: Any) -> str:
    """Read what a statement answers, to its end, and say what it did.

    Some engines work a query off only as its rows are read, DuckDB and Trino among them: an
    error in the last row is an error of the statement, also where nobody wants the rows.
    """
    if not cursor.description:
        count = getattr(cursor, "rowcount", -1)
        return _affected(count) if isinstance(count, int) and count >= 0 else "done."
    columns = [str(column[0]) for column in cursor.description]
    first, total = _read(cursor)
    if _is_count(columns, first):
        return _affected(first[0][0])
    if not total:
        return "done." if len(columns) == 1 and columns[0] in _NO_RESULT else "no rows."
    more = f"{total:,} rows, of which the first:" if total > FIRST_ROWS else f"{_rows(total)}:"
    return f"{more}\n{_table(columns, first[:FIRST_ROWS])}"


def _read(cursor: Any) -> tuple[list[Any], int]:
    first = list(cursor.fetchmany(FIRST_ROWS))
    total = len(first)
    while batch := cursor.fetchmany(_BATCH) if total else None:
        total += len(batch)
    return first, total


def _is_count(columns: list[str], rows: list[Any]) -> bool:
    # Snowflake has "number of rows inserted" and the like.
    named = columns[0] in _COUNTS or columns[0].startswith("number of rows")
    return len(columns) == 1 and named and len(rows) == 1 and isinstance(rows[0][0], int)


def _affected(count: int) -> str:
    return f"{_rows(count)} affected."


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _table(columns: list[str], rows: list[Any]) -> str:
    lines = [columns, *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(value: Any) -> str:
    text = "NULL" if value is None else str(value).replace("\n", " ")
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"
