"""SQL as the parser of its own engine reads it, where that is at hand.

sqlglot reads the SQL of every dialect, and lets pass what an engine refuses: two commas in a
row, a word that it takes for a command. DuckDB's parser comes with DuckDB and needs no database.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from dataspec.engines.error_places import place_in
from dataspec.problems import Problem
from dataspec.sql.places import in_template

if TYPE_CHECKING:
    import duckdb


def engine_problem(template: str, sql: str, dialect: str | None) -> Problem | None:
    """Return what the engine of a dialect does not read in SQL that was rendered from a template.

    Args:
        template: The template.
        sql: The SQL.
        dialect: Its dialect, by sqlglot's name.

    Returns:
        The first mistake, at its place in the template; None if there is none, or no such parser here.
    """
    if dialect != "duckdb" or (connection := _duckdb()) is None:
        return None
    import duckdb

    try:
        with connection.cursor() as cursor:  # each thread its own
            cursor.extract_statements(sql)
    except duckdb.ParserException as error:
        return _placed(template, sql, error)
    return None


@cache
def _duckdb() -> duckdb.DuckDBPyConnection | None:
    try:
        import duckdb
    except ImportError:
        return None
    return duckdb.connect(config={"threads": 1})


def _placed(template: str, sql: str, error: Exception) -> Problem:
    reason = str(error).splitlines()[0].removeprefix("Parser Error: ").rstrip(".")
    found = place_in(sql, error)
    if found is None:
        return Problem(f"{reason}.", "")
    end = found.column - 1 + len(found.word) if found.column else 0
    return Problem(f"{reason}.", "", *in_template(template, sql, found.line, end, found.word))
