"""How each dialect writes strings, quoted names and literals."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlglot.tokens import TokenType

from dataspec.sql.tokens import Token, sqlglot_dialect

_UNESCAPED = frozenset({("sqlite", "]"), ("bigquery", "`")})
"""Quotes that end a name at the first mark, even if it is doubled."""

_ONE_LINE = frozenset({"bigquery"})
"""Dialects whose strings can't span lines, or change line breaks."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
"""A name that needs no quotes."""

_EXPANDED = re.compile(r"\$\{")

_JOINED = re.compile(r"\\\r?\n")

_READ_IN_STRINGS = {
    **dict.fromkeys((None, "hive", "spark", "databricks"), (_EXPANDED, "'${' begins a variable")),
    "tsql": (_JOINED, "a backslash at the end of a line is left out, with the line break,"),
}
"""Text that an engine interprets even within quotes, where no escape prevents it."""

_UNSETTLED = "a statement of this dataset, or its connection, gives a backslash another meaning."

_UNKNOWN = "what a backslash means depends on the engine; name its SQL under 'execution.dialect'."

_TWO_PARSERS = {"athena": "what a backslash means depends on the statement, which Trino reads or Hive."}


@dataclass(frozen=True, slots=True)
class Quoting:
    """The quotes and escapes of a dialect."""

    dialect: str | None
    strings: tuple[str, ...]
    string_escapes: tuple[str, ...]
    names: tuple[tuple[str, str], ...]
    unsettled: bool
    """Whether a session setting may change how the engine reads strings."""
    caution: str | None
    """Why no value within quotes may contain a backslash; None where it may."""

    @classmethod
    def of(cls, dialect: str | None, *, unsettled: bool = False) -> Quoting:
        """Return the quoting of a dialect, by sqlglot's name; generic SQL for None."""
        return _quoting(dialect, unsettled)

    def reads_as(self, other: Quoting) -> bool:
        """Return whether another dialect reads strings by the same rules."""
        return (self.strings, self.string_escapes) == (other.strings, other.string_escapes)

    def table(self, name: str) -> str:
        """Return the name of a table, with quotes around each part that needs them."""
        begin, end = self.names[0]
        return ".".join(part if _PLAIN.fullmatch(part) else f"{begin}{part}{end}" for part in name.split("."))

    def without_backslash(self, why: str) -> Quoting:
        """Return the quoting for a place where the meaning of a backslash is uncertain."""
        return replace(self, caution=why)

    def quote_of(self, token: Token) -> str | None:
        """Return the closing mark of a quoted token; None for a token without escapes."""
        if len(token.text) == len(token.source):
            return None  # the rest of a command, which may start with a string
        if token.kind is TokenType.STRING:
            return next((q for q in self.strings if token.source.startswith(q)), None)
        if token.kind is TokenType.IDENTIFIER:
            return next((end for start, end in self.names if token.source.startswith(start)), None)
        return None

    def escape(self, value: str, quote: str) -> str:
        """Return a value escaped for its place inside quotes.

        Raises:
            ValueError: When no escape is safe there.
        """
        written = value
        if quote in self.strings and "\\" in self.string_escapes:
            written = written.replace("\\", "\\\\")
        if quote in self.strings and self.dialect in _ONE_LINE:
            written = written.replace("\n", "\\n").replace("\r", "\\r")
        mark = quote[0]
        doubles = mark in self.string_escapes or quote not in self.strings
        written = written.replace(mark, mark * 2 if doubles else f"\\{mark}")
        if reason := self._why_not(value, written, quote):
            raise ValueError(f"{value!r} can't stand here: {reason}")
        return written

    def why_read(self, written: str, text: str, word: str) -> str | None:
        """Return why values would form text that the engine interprets even within quotes; None if they don't.

        Args:
            written: The SQL, with the values.
            text: The SQL, with a placeholder for each value.
            word: The nonce that is in each placeholder.
        """
        pattern, what = _READ_IN_STRINGS.get(self.dialect, (None, ""))
        if pattern is None:
            return None
        parts = pattern.split(text)
        within = pattern is _EXPANDED and any(word in part.partition("}")[0] for part in parts[1:])
        return what if within or len(pattern.findall(written)) != len(parts) - 1 else None

    def _why_not(self, value: str, written: str, quote: str) -> str | None:
        """Return why no escape of a value inside quotes is safe; None where one is."""
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
        """Return a value as a SQL literal; a list as its items, separated by commas.

        Raises:
            ValueError: For an empty list, or a value without a literal.
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


@lru_cache(maxsize=64)
def _quoting(dialect: str | None, unsettled: bool) -> Quoting:
    tokenizer = sqlglot_dialect(dialect).tokenizer_class
    strings = sorted((q if isinstance(q, str) else q[0] for q in tokenizer.QUOTES), key=len, reverse=True)
    names = tuple((q, q) if isinstance(q, str) else (q[0], q[1]) for q in tokenizer.IDENTIFIERS)
    caution = _UNSETTLED if unsettled else _UNKNOWN if dialect is None else _TWO_PARSERS.get(dialect)
    escapes = tuple(tokenizer.STRING_ESCAPES)
    return Quoting(dialect, tuple(strings), escapes, names, unsettled, caution)
