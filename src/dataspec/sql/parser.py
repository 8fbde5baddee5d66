"""Parse SQL, within the limits of :mod:`dataspec.sql.nesting`, and place what is wrong in the user's template.

sqlglot reads the SQL of every dialect, and accepts some SQL that an engine rejects: two commas in a
row, an unknown statement, which it takes for a command. DuckDB's own parser needs no database, but half a
millisecond for a text, so it reads only SQL that sqlglot may have accepted wrongly.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from dataspec.problems import Problem
from dataspec.spec.sql_texts import MAX_SQL
from dataspec.sql.nesting import why_too_deep
from dataspec.sql.source_map import in_macros, in_template, place_in
from dataspec.sql.tokens import sqlglot_dialect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb
    from sqlglot.tokens import Token as FoundToken

# sqlglot warns of commands that it does not parse; callers report these themselves.
logging.getLogger("sqlglot").addHandler(logging.NullHandler())

_WRONG_WORD = re.compile(r"""\b(?:at|after|near) ['"](\w+)['"]""")
"""The word in a message of sqlglot or DuckDB that is wrong."""
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
"""SQL, in lower case, that sqlglot may have accepted wrongly; valid SQL that matches is only parsed twice."""
_TRANSACTION = {"begin", "commit", "rollback"}
_NO_CONDITION = ("cross", "natural", "positional")
"""Joins that take neither ``on`` nor ``using``."""


class UnparsableError(SqlglotError):
    """SQL that is not parsed: it is too long, or nested too deep."""


def parse(sql: str, dialect: str | None, tokens: Sequence[FoundToken] | None = None) -> list[exp.Expr]:
    """Return a syntax tree for each statement of a SQL text; nothing else calls sqlglot's parser.

    Args:
        sql: The SQL.
        dialect: Its dialect, by sqlglot's name; None for generic SQL.
        tokens: The SQL's tokens, where the caller has them.

    Raises:
        SqlglotError: For a syntax error; :class:`UnparsableError` for SQL beyond the limits.
    """
    if len(sql) > MAX_SQL:
        raise UnparsableError(f"The SQL has {len(sql):,} characters; {MAX_SQL:,} can be checked.")
    read = sqlglot_dialect(dialect)
    found = list(tokens) if tokens is not None else read.tokenize(sql)
    if (reason := why_too_deep(found)) is not None:
        raise UnparsableError(reason)
    try:
        # A comment after the last semicolon is a tree of its own, and no statement.
        return [
            tree for tree in read.parser().parse(found, sql) if tree and not isinstance(tree, exp.Semicolon)
        ]
    except SqlglotError:
        raise
    except RecursionError:
        raise UnparsableError("It is nested too deep.") from None
    except Exception as error:  # noqa: BLE001 - the parser's own mistakes, such as a TypeError for `->->`
        raise UnparsableError(f"The parser fails on it ({type(error).__name__}).") from None


def is_name(text: str, dialect: str | None) -> bool:
    """Return whether text that looks like a name is one: ``true`` and ``current_user`` are values."""
    if "." in text:
        return True
    try:
        trees = parse(f"select {text}, 1", dialect)
    except SqlglotError:
        return False
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 2:  # noqa: PLR2004 - the two above
        return False
    first = tree.expressions[0]
    return isinstance(first, exp.Column) and first.name.lower() == text.lower()


@dataclass(frozen=True, slots=True)
class ParsedSql:
    """One rendered SQL text with its syntax trees."""

    sql: str
    trees: Sequence[exp.Expr] = ()
    """A syntax tree for each statement; none after a syntax error."""
    problem: Problem | None = None
    """The syntax error, at its place in the template."""


def parse_sql(
    template: str, sql: str, dialect: str | None, tokens: Sequence[FoundToken] | None = None
) -> ParsedSql:
    """Parse SQL that was rendered from a template; a syntax error is returned, not raised.

    Args:
        template: The template.
        sql: The SQL.
        dialect: Its dialect, by sqlglot's name; None for generic SQL.
        tokens: The SQL's tokens, where the caller has them.
    """
    try:
        return ParsedSql(sql, parse(sql, dialect, tokens))
    except ParseError as error:
        wrong = error.errors[0]
        line, column = in_template(template, sql, wrong["line"], wrong["col"], wrong["highlight"])
        return ParsedSql(sql, problem=Problem(_reason(wrong), "", line, column))
    except SqlglotError as error:
        return ParsedSql(sql, problem=Problem(f"{str(error).splitlines()[0].rstrip('.')}.", ""))


def told_in_macro(problem: Problem, shared: Mapping[str, str]) -> Problem:
    """Return a problem of rendered SQL with the place in the macro file that wrote the wrong word, if one did.

    Args:
        problem: The problem, whose column is None for a word that the template does not hold.
        shared: The files of the project that the template uses, by path.
    """
    word = _WRONG_WORD.search(problem.message) if problem.column is None else None
    place = in_macros(shared, word[1]) if word else None
    return replace(problem, message=f"{place}: {problem.message}") if place else problem


def _reason(found: Mapping[str, Any]) -> str:
    description, word = str(found["description"]).rstrip("."), found["highlight"]
    if description.startswith("Required keyword"):
        return f"Something is missing after '{word}'."
    return f"{description}, at '{word}'."


def engine_problem(template: str, sql: str, trees: Sequence[exp.Expr], dialect: str | None) -> Problem | None:
    """Return the first syntax error that the engine's own parser finds in SQL that sqlglot accepts.

    Args:
        template: The template of the SQL.
        sql: The SQL.
        trees: sqlglot's syntax trees of it.
        dialect: Its dialect, by sqlglot's name.

    Returns:
        The error, at its place in the template; None where there is none, or the parser is not installed.
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
