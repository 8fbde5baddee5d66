"""Tokenize SQL as its dialect does, and split it into statements.

SQL is never written anew from a syntax tree: the engine gets the user's own text.
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from typing import NamedTuple

from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token as FoundToken
from sqlglot.tokens import TokenType

from dataspec.spec.sql_texts import MAX_SQL

# Looked up once: an attribute of the enumeration costs more than the rest of the work per token.
_SEMICOLON, _STRING = TokenType.SEMICOLON, TokenType.STRING

_WORDS = re.compile(r"\w+")
_TRANSACTION = frozenset({"begin", "commit", "end", "rollback", "abort", "savepoint", "release"})

MAX_TOKENS_RENDERED = 400_000
"""Maximum number of tokens of a SQL text that is rendered or split; the parser takes fewer."""


class Token(NamedTuple):
    """One token of a SQL text: its kind, its value, its source text and where that starts and ends."""

    kind: TokenType
    text: str
    source: str
    start: int
    end: int

    @classmethod
    def of(cls, found: FoundToken, sql: str) -> Token:
        """Return sqlglot's token of a SQL text with its source text."""
        start, end = found.start, found.end + 1
        if found.token_type is _STRING and sql[end - len(found.text) : end] == found.text:
            start = end - len(found.text)  # the rest of a command, which the dialect does not tokenize
        return cls(found.token_type, found.text, sql[start:end], start, end)


_loading = threading.Lock()


@lru_cache(maxsize=64)
def sqlglot_dialect(name: str | None) -> Dialect:
    """Return sqlglot's dialect of a name; generic SQL for None."""
    with (
        _loading
    ):  # sqlglot registers a dialect before its rules are complete: another thread would get generic ones
        return Dialect.get_or_raise(name)


def tokenize(sql: str, dialect: str | None) -> list[Token]:
    """Return the tokens of a SQL text with their source; comments are left out.

    Raises:
        ValueError: As :func:`find_tokens`.
    """
    return [Token.of(found, sql) for found in find_tokens(sql, dialect)]


def find_tokens(sql: str, dialect: str | None) -> list[FoundToken]:
    """Return sqlglot's tokens of a SQL text, in a third of the time of :func:`tokenize`.

    Raises:
        ValueError: When a quote or a comment is not closed, or the SQL is too long.
    """
    if len(sql) > MAX_SQL:
        raise ValueError(f"the SQL has {len(sql):,} characters; {MAX_SQL:,} are allowed")
    try:
        tokens = list(sqlglot_dialect(dialect).tokenize(sql))
    except SqlglotError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(f"the SQL can't be read: {reason}. Is a quote or a comment left open?") from None
    if len(tokens) > MAX_TOKENS_RENDERED:
        raise ValueError(f"the SQL has {len(tokens):,} words and signs; {MAX_TOKENS_RENDERED:,} are allowed")
    return tokens


def split_statements(sql: str, dialect: str | None) -> list[str]:
    """Return the statements of a SQL text as written, each with the comments before it."""
    statements, start, seen = [], 0, False
    for token in tokenize(sql, dialect):
        if token.kind is _SEMICOLON:
            if seen:
                statements.append(sql[start : token.start].strip())
            start, seen = token.end, False
        else:
            seen = True
    return [*statements, sql[start:].strip()] if seen else statements


def controls_transaction(sql: str, dialect: str | None) -> str | None:
    """Return the words of a statement that begins or ends a transaction, such as ``start transaction``; else None.

    Raises:
        ValueError: As :func:`find_tokens`.
    """
    words: list[str] = _WORDS.findall(" ".join(token.source for token in tokenize(sql, dialect)[:2]).lower())
    if words[:1] and words[0] in _TRANSACTION:
        return words[0]
    return " ".join(words[:2]) if words[1:2] == ["transaction"] and words[0] in {"start", "prepare"} else None
