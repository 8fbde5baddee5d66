"""SQL as the parser of its own engine reads it, where that is at hand and in doubt.

sqlglot reads the SQL of every dialect, and lets pass what an engine refuses: two commas in a
row, a word that it takes for a command. DuckDB's parser comes with DuckDB and needs no database;
but it takes half a millisecond for a text, so it is asked only where sqlglot is known to be lax.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from dataspec.problems import Problem
from dataspec.sql.error_places import place_in
from dataspec.sql.source_map import in_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from sqlglot import exp

_LAX = re.compile(
    r"""
    ,\s*,                       # an item of a list that is not there
    |\b(?:
        select\s+from\b
        |delete\s+(?!from\b)
        |values\s+[^\s(]
        |(?:date|time|timestamp)\s+\d  # a literal without quotes
        |distinct\s+on\s+[^\s(]
        |is\s+(?:not\s+)?(?!(?:not|null|true|false|distinct|unknown)\b)\w
        |as\s*(?:;|$)
    )""",
    re.VERBOSE,
)
"""Where sqlglot may have let something pass, in lower case; sound SQL may look so as well, and is read once more then."""
_TRANSACTION = {"begin", "commit", "rollback"}
_NO_CONDITION = ("cross", "natural", "positional")
"""Kinds of a join without ``on`` and ``using``."""


def engine_problem(template: str, sql: str, trees: Sequence[exp.Expr], dialect: str | None) -> Problem | None:
    """Return what the engine of a dialect does not read in SQL that sqlglot has read.

    Args:
        template: The template that it was rendered from.
        sql: The SQL.
        trees: What sqlglot made of it.
        dialect: Its dialect, by sqlglot's name.

    Returns:
        The first mistake, at its place in the template; None if there is none, or no such parser here.
    """
    if dialect != "duckdb" or not _is_doubtful(sql, trees) or (connection := _duckdb()) is None:
        return None
    import duckdb

    try:
        with connection.cursor() as cursor:  # each thread its own
            cursor.extract_statements(sql)
    except duckdb.ParserException as error:
        return _placed(template, sql, error)
    return None


def _is_doubtful(sql: str, trees: Sequence[exp.Expr]) -> bool:
    text = sql.lower()
    if any(tree.key == "command" for tree in trees) or _LAX.search(text):
        return True
    words = text.split()
    joins = words.count("join") - sum(text.count(f"{kind} join") for kind in _NO_CONDITION)
    conditions = words.count("on") + words.count("using") + text.count("on(") + text.count("using(")
    first, second = [*words, "", ""][:2]
    return joins > conditions or (
        first in _TRANSACTION and second.strip(";") not in {"", "transaction", "work"}
    )


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
