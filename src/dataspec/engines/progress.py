"""How far a running query is, where its engine tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_DUCKDB = ("set enable_progress_bar = true", "set enable_progress_bar_print = false")
"""For DuckDB to know how far a query is, and not to draw it itself."""


def progress_of(conn_type: str, cursor: Any) -> Callable[[], float | None]:
    """Return what tells the share that is done of what a cursor runs, from 0 to 1; it may be called from any thread.

    Call it before the first statement: DuckDB has to be told to measure.
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
