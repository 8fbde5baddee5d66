"""Find an engine's SQL for materializations by its dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.sql.materialization.duckdb import DuckDBSql
from dataspec.sql.materialization.postgres import PostgresSql
from dataspec.sql.template.render import render

if TYPE_CHECKING:
    from dataspec.sql.materialization.engine_sql import EngineSql

ENGINES: dict[str, type[EngineSql]] = {"duckdb": DuckDBSql, "postgres": PostgresSql}
"""The engines with an atomic act, by sqlglot's name of their dialect."""


def engine_sql(dialect: str | None, *, unsettled: bool = False) -> EngineSql | None:
    """Return the SQL of a dialect's engine; None for an engine that has no atomic act, or is not known.

    Args:
        dialect: The dialect of the connection, by sqlglot's name.
        unsettled: Whether a session setting may change how the engine reads strings.
    """
    found = ENGINES.get(dialect or "")

    def literal(text: str) -> str:
        return render("'{{ text }}'", {"text": text}, dialect=dialect, file="", unsettled=unsettled).sql

    return found(literal) if found else None


def why_unsupported(dialect: str) -> str:
    """Return why a materialization is refused on an engine."""
    known = ", ".join(engine.title for engine in ENGINES.values())
    return (
        f"no materialization on {dialect}: it is not known how to publish rows there in one atomic act. "
        f"It works on: {known}."
    )
