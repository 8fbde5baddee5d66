"""SQL text as its dialect reads it: tokens, quotes, literals and single statements.

Nothing is written anew from a syntax tree: the engine gets the user's own text.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token as FoundToken
from sqlglot.tokenizer_core import TokenType

from dataspec.sql.nesting import why_too_deep
from dataspec.sql.sql_sources import MAX_SQL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot import exp

# Looked up once: a look into an enumeration for every token costs more than the tokens.
_IDENTIFIER, _SEMICOLON, _STRING = TokenType.IDENTIFIER, TokenType.SEMICOLON, TokenType.STRING

MAX_FOUND = 400_000
"""Words and signs of a SQL text that is taken apart, to write values into it or to run it by statements."""


class Token(NamedTuple):
    """One token of a SQL text: its kind, its value, and the part of the text that it is."""

    kind: TokenType
    text: str
    source: str
    start: int
    end: int

    @classmethod
    def of(cls, found: FoundToken, sql: str) -> Token:
        """Return a token of a SQL text as sqlglot found it, with the part of the text that it is."""
        start, end = found.start, found.end + 1
        if found.token_type is _STRING and sql[end - len(found.text) : end] == found.text:
            start = end - len(found.text)  # the rest of a command that the dialect passes on unread
        return cls(found.token_type, found.text, sql[start:end], start, end)


@lru_cache(maxsize=64)
def dialect_of(name: str | None) -> Dialect:
    """Return a SQL dialect by sqlglot's name; generic SQL for None."""
    return Dialect.get_or_raise(name)


def tokenize(sql: str, dialect: str | None) -> list[Token]:
    """Take a SQL text apart as its dialect does; comments are no tokens.

    Raises:
        ValueError: When a quote or a comment is left open.
    """
    return [Token.of(found, sql) for found in find_tokens(sql, dialect)]


def find_tokens(sql: str, dialect: str | None) -> list[FoundToken]:
    """Return the tokens of a SQL text as sqlglot has them, which takes a third of the time of :func:`tokenize`.

    Raises:
        ValueError: When a quote or a comment is left open, and for SQL that is too long.
    """
    if len(sql) > MAX_SQL:
        raise ValueError(f"the SQL has {len(sql):,} characters; {MAX_SQL:,} are allowed")
    try:
        tokens = list(dialect_of(dialect).tokenize(sql))
    except SqlglotError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(f"the SQL can't be read: {reason}. Is a quote or a comment left open?") from None
    if len(tokens) > MAX_FOUND:
        raise ValueError(f"the SQL has {len(tokens):,} words and signs; {MAX_FOUND:,} are allowed")
    return tokens


class UnparsableError(SqlglotError):
    """SQL is not given to the parser: it is too long, or nested too deep."""


def parse(sql: str, dialect: str | None, tokens: Sequence[FoundToken] | None = None) -> list[exp.Expr]:
    """Return the syntax trees of the statements in a SQL text: the one way to sqlglot's parser.

    Args:
        sql: The SQL.
        dialect: Its dialect, by sqlglot's name; None for generic SQL.
        tokens: Those of the SQL, where they are known.

    Raises:
        SqlglotError: When it can't be read or parsed; :class:`UnparsableError` when it is not tried.
    """
    if len(sql) > MAX_SQL:
        raise UnparsableError(f"The SQL has {len(sql):,} characters; {MAX_SQL:,} can be checked.")
    read = dialect_of(dialect)
    found = list(tokens) if tokens is not None else read.tokenize(sql)
    if (reason := why_too_deep(found)) is not None:
        raise UnparsableError(reason)
    try:
        return [tree for tree in read.parser().parse(found, sql) if tree is not None]
    except SqlglotError:
        raise
    except RecursionError:
        raise UnparsableError("It is nested too deep.") from None
    except Exception as error:  # noqa: BLE001 - the parser's own mistakes, such as a TypeError for `->->`
        raise UnparsableError(f"The parser fails on it ({type(error).__name__}).") from None


def split_statements(sql: str, dialect: str | None) -> list[str]:
    """Return the statements of a SQL text, each as written, comments before it included."""
    statements, start, seen = [], 0, False
    for token in tokenize(sql, dialect):
        if token.kind is _SEMICOLON:
            if seen:
                statements.append(sql[start : token.start].strip())
            start, seen = token.end, False
        else:
            seen = True
    return [*statements, sql[start:].strip()] if seen else statements


def is_name(text: str, dialect: str | None) -> bool:
    """Tell whether text that looks like a name is one: ``true`` and ``current_user`` are values."""
    from sqlglot import exp

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


_UNESCAPED = frozenset({("sqlite", "]"), ("bigquery", "`")})
"""Quotes of names that the engine ends at the first mark, doubled or not."""
_ONE_LINE = frozenset({"bigquery"})
"""Dialects whose strings end with the line, or make another break of each."""
_EXPANDED = re.compile(r"\$\{")
_JOINED = re.compile(r"\\\r?\n")
_READ_IN_STRINGS = {
    **dict.fromkeys((None, "hive", "spark", "databricks"), (_EXPANDED, "'${' begins a variable")),
    "tsql": (_JOINED, "a backslash at the end of a line is left out, with the line break,"),
}
"""What an engine reads in any text, also within quotes: no escape keeps it."""
_UNSETTLED = "a statement of this dataset, or its connection, gives a backslash another meaning."
_UNKNOWN = "what a backslash means depends on the engine; name its SQL under 'execution.dialect'."
_TWO_PARSERS = {"athena": "what a backslash means depends on the statement, which Trino reads or Hive."}


@dataclass(frozen=True, slots=True)
class Quoting:
    """How a dialect writes strings and names in quotes."""

    dialect: str | None
    strings: tuple[str, ...]
    string_escapes: tuple[str, ...]
    names: tuple[tuple[str, str], ...]
    unsettled: bool
    """Whether the session may read strings by other rules than the dialect's."""
    caution: str | None
    """Why nothing that is written within quotes may hold a backslash; None where it may."""

    @classmethod
    def of(cls, dialect: str | None, *, unsettled: bool = False) -> Quoting:
        """Return the quoting of a dialect, by sqlglot's name; None for generic SQL."""
        return _quoting(dialect, unsettled)

    def reads_as(self, other: Quoting) -> bool:
        """Tell whether another dialect reads strings by the same rules."""
        return (self.strings, self.string_escapes) == (other.strings, other.string_escapes)

    def without_backslash(self, why: str) -> Quoting:
        """Return the same quoting for a place where a backslash may have another meaning."""
        return replace(self, caution=why)

    def quote_of(self, token: Token) -> str | None:
        """Return the mark that ends a quoted token, or None for one that takes no escapes."""
        if len(token.text) == len(token.source):
            return None  # the rest of a command, which may begin with a string
        if token.kind is _STRING:
            return next((q for q in self.strings if token.source.startswith(q)), None)
        if token.kind is _IDENTIFIER:
            return next((end for start, end in self.names if token.source.startswith(start)), None)
        return None

    def escape(self, value: str, quote: str) -> str:
        """Return a value as it stands inside quotes.

        Raises:
            ValueError: When it can't stand there.
        """
        written = self._escaped(value, quote)
        if reason := self._why_not(value, written, quote):
            raise ValueError(f"{value!r} can't stand here: {reason}")
        return written

    def why_read(self, written: str, text: str, word: str) -> str | None:
        """Return what an engine reads in any text, where values make some or are a part of it.

        Args:
            written: The SQL, with the values.
            text: The SQL, with a word in the place of each value.
            word: What each of the words holds.
        """
        pattern, what = _READ_IN_STRINGS.get(self.dialect, (None, ""))
        if pattern is None:
            return None
        parts = pattern.split(text)
        within = pattern is _EXPANDED and any(word in part.partition("}")[0] for part in parts[1:])
        return what if within or len(pattern.findall(written)) != len(parts) - 1 else None

    def _escaped(self, value: str, quote: str) -> str:
        if quote in self.strings and "\\" in self.string_escapes:
            value = value.replace("\\", "\\\\")
        if quote in self.strings and self.dialect in _ONE_LINE:
            value = value.replace("\n", "\\n").replace("\r", "\\r")
        mark = quote[0]
        doubles = mark in self.string_escapes or quote not in self.strings
        return value.replace(mark, mark * 2 if doubles else f"\\{mark}")

    def _why_not(self, value: str, written: str, quote: str) -> str | None:
        """Return why a value can't stand inside quotes: engines differ there from what is known of them."""
        if "\\" in written and self.caution:
            return self.caution
        if self.unsettled and quote == "`" and not (value.isascii() and quote not in value):
            return "a statement of this dataset changes which letters a quoted name ends at."
        if quote not in self.strings and "\\" in value and "\\" in self.string_escapes:
            return "a backslash in a quoted name means another thing on some engines."
        if quote in value and (self.dialect, quote) in _UNESCAPED:
            return f"a quoted name can't hold {quote}."
        if quote not in self.strings and self.dialect == "mysql" and max(value, default="") > "\uffff":
            return "a name can't hold letters beyond U+FFFF."
        return None

    def literal(self, value: Any) -> str:
        """Return a value as a literal that stands by itself; lists as their items with commas between.

        Raises:
            ValueError: For an empty list, or a value that SQL has no literal for.
        """
        if value is None:
            return "NULL"
        if isinstance(value, list | tuple):
            if not value:
                raise ValueError("the list is empty, and SQL has no empty list")
            return ", ".join(self.literal(item) for item in value)
        if isinstance(value, str):
            return f"'{self.escape(value, chr(39))}'"
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return repr(value)
        raise ValueError(f"a {type(value).__name__} can't be written in SQL")

    @staticmethod
    def plain(value: Any) -> str:
        """Return a value as text inside quotes, before it is escaped."""
        return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=64)
def _quoting(dialect: str | None, unsettled: bool) -> Quoting:
    tokenizer = dialect_of(dialect).tokenizer_class
    strings = sorted((q if isinstance(q, str) else q[0] for q in tokenizer.QUOTES), key=len, reverse=True)
    names = tuple((q, q) if isinstance(q, str) else (q[0], q[1]) for q in tokenizer.IDENTIFIERS)
    caution = _UNSETTLED if unsettled else _UNKNOWN if dialect is None else _TWO_PARSERS.get(dialect)
    escapes = tuple(tokenizer.STRING_ESCAPES)
    return Quoting(dialect, tuple(strings), escapes, names, unsettled, caution)
