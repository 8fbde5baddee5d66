"""A spec's SQL as its dialect parses it, with the place in the user's file of whatever is wrong."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataspec.problems import Problem
from dataspec.sql.source_map import in_template
from dataspec.sql.tokens import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot import exp
    from sqlglot.tokenizer_core import Token as FoundToken


# What sqlglot passes on unread is told by those who ask; its own word would go to the terminal.
logging.getLogger("sqlglot").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class ParsedSql:
    """One SQL text as it was rendered and parsed."""

    sql: str
    trees: Sequence[exp.Expr] = ()
    """A syntax tree for each statement; none if it does not parse."""
    problem: Problem | None = None
    """What the dialect does not know in it, at its place in the template."""


def parse_sql(
    template: str, sql: str, dialect: str | None, tokens: Sequence[FoundToken] | None = None
) -> ParsedSql:
    """Parse SQL that was rendered from a template; generic SQL if there is no dialect.

    Args:
        template: The template.
        sql: The SQL.
        dialect: Its dialect.
        tokens: Those of the SQL, where they are known.
    """
    from sqlglot.errors import ParseError, SqlglotError

    try:
        return ParsedSql(sql, parse(sql, dialect, tokens))
    except ParseError as error:
        wrong = error.errors[0]
        line, column = in_template(template, sql, wrong["line"], wrong["col"], wrong["highlight"])
        return ParsedSql(sql, problem=Problem(_reason(wrong), "", line, column))
    except SqlglotError as error:
        return ParsedSql(sql, problem=Problem(f"{str(error).splitlines()[0].rstrip('.')}.", ""))


def _reason(found: Mapping[str, Any]) -> str:
    description, word = str(found["description"]).rstrip("."), found["highlight"]
    if description.startswith("Required keyword"):
        return f"Something is missing after '{word}'."
    return f"{description}, at '{word}'."
