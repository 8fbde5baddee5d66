"""Read the progress of a running query, if its engine reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_DUCKDB = ("set enable_progress_bar = true", "set enable_progress_bar_print = false")
"""Make DuckDB measure the progress without printing it."""


def progress_of(conn_type: str, cursor: Any) -> Callable[[], float | None]:
    """Return a function for the progress of a cursor's query, from 0 to 1, callable from any thread.

    Call this before the first statement: it makes DuckDB measure.
    """
    if conn_type == "duckdb":
        for statement in _DUCKDB:
            cursor.execute(statement)
        return lambda: _share(cursor.query_progress())
    if conn_type == "trino":
        return lambda: _share((cursor.stats or {}).get("progressPercentage"))
    return lambda: None


def _share(percent: float | None) -> float | None:
    return None if percent is None or percent < 0 else min(percent / 100, 1.0)
