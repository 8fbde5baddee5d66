"""Limit the depth and length of SQL before it is parsed (specification 10.13).

sqlglot's compiled, recursive parser crashes the process on SQL that is nested too deep, parses ambiguous tokens
several times, and keeps some hundred bytes for each. So the tokens are scanned once, from left to right,
before the parser sees them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot.parser import Parser
from sqlglot.tokens import TokenType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.tokens import Token

MAX_TOKENS = 100_000
"""Maximum number of tokens of a SQL text."""
MAX_DEPTH = 200
"""Maximum depth of brackets, ``case`` and types."""
MAX_QUERIES = 30
"""Maximum number of ``select`` and ``from`` without brackets, as in ``select * from select * from t``."""
MAX_JOINS = 8
"""Maximum number of joins before the first ``on`` or ``using``; the parser tries each in two ways."""
MAX_SIGNS = 50
"""Maximum number of successive signs and ``not``."""
MAX_WORK = 1_000_000
"""Maximum number of tokens that are parsed again: in brackets after a type, in joins, and before an index."""


def _known(*names: str) -> frozenset[TokenType]:
    """Return the named token types that the installed sqlglot has: 26 lacks some."""
    return frozenset(TokenType[name] for name in names if name in TokenType.__members__)


_CASE, _END, _ROUND, _SQUARE = TokenType.CASE, TokenType.END, TokenType.L_PAREN, TokenType.L_BRACKET
_LESS, _MORE, _SEMICOLON, _FROM = TokenType.LT, TokenType.GT, TokenType.SEMICOLON, TokenType.FROM
_JOIN, _CROSS, _DISTINCT = TokenType.JOIN, TokenType.CROSS, TokenType.DISTINCT
_OPENING = frozenset({_ROUND, _SQUARE, TokenType.L_BRACE})
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE})
_JOINED = frozenset({TokenType.ON, TokenType.USING})
_BINDING = frozenset({TokenType.DOT, TokenType.DCOLON, TokenType.COLON, TokenType.ARROW})
"""Tokens that continue the value before them."""
_NEXT = frozenset({TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT}) | _known("PIPE_GT")
_SIGNS = frozenset(Parser.UNARY_PARSERS) | _known("EXCLAMATION") | {
    TokenType.ALL, TokenType.ANY, TokenType.COLON, TokenType.DESCRIBE, TokenType.DOLLAR, TokenType.EXISTS,
    TokenType.HASH, TokenType.INTERVAL, TokenType.PARAMETER, TokenType.SESSION_PARAMETER,
}  # fmt: skip
_TYPES = frozenset(Parser.TYPE_TOKENS)
_WITH_TYPES = frozenset({*Parser.NESTED_TYPE_TOKENS, *Parser.STRUCT_TYPE_TOKENS})
_NOTED = frozenset(
    {_CASE, _END, _LESS, _MORE, _SEMICOLON, _FROM, TokenType.SELECT, _JOIN, *_OPENING, *_CLOSING, *_JOINED}
    | _BINDING
    | _NEXT
    | _SIGNS
)


@dataclass(slots=True)
class _Level:
    """Counters of one open pair of brackets."""

    kind: TokenType | None
    start: int = 0
    """Index of the first token of an indexed value; else of the bracket."""
    types: int = 0
    """Number of enclosing brackets of types."""
    queries: int = 0
    joins: int = 0


def why_too_deep(tokens: Sequence[Token]) -> str | None:
    """Return why SQL of these tokens must not be parsed, as a sentence; None if it may."""
    if len(tokens) > MAX_TOKENS:
        return f"It has {len(tokens):,} words and signs; {MAX_TOKENS:,} can be checked."
    scan = _Scan()
    before: TokenType | None = None
    for index, token in enumerate(tokens):
        kind = token.token_type
        if kind in _NOTED and (reason := scan.note(kind, before, index)) is not None:
            return reason
        before = kind
    return None


class _Scan:
    """The open brackets at a token, and the counters up to it."""

    def __init__(self) -> None:
        self._levels = [_Level(None)]
        self._work = 0
        self._closed = self._closed_from = -2
        """Index of the last token of a value that an index may follow, and of its first one."""
        self._sign = self._signs = -1

    def note(self, kind: TokenType, before: TokenType | None, index: int) -> str | None:
        """Count one token; return the limit that it exceeds."""
        if kind in _SIGNS:
            self._signs = self._signs + 1 if self._sign == index - 1 else 1
            self._sign = index
        if kind in _OPENING or kind is _CASE or (kind is _LESS and before in _WITH_TYPES):
            self._open(kind, before, index)
        elif kind in _CLOSING:
            self._close(index)
        elif (kind is _END and self._levels[-1].kind is _CASE) or (
            kind is _MORE and self._levels[-1].kind is _LESS
        ):
            self._leave(index)
        elif kind in _BINDING:
            if self._closed == index - 1:
                self._closed = index + 1
        else:
            self._count(kind, before)
        return self._too_much()

    def _open(self, kind: TokenType, before: TokenType | None, index: int) -> None:
        around = self._levels[-1]
        start = self._closed_from if self._closed == index - 1 else index - 1
        typed = kind is _LESS or (kind is _ROUND and before in _TYPES)
        self._levels.append(_Level(kind, start, around.types + typed))

    def _close(self, index: int) -> None:
        while self._levels[-1].kind in {_CASE, _LESS}:
            self._levels.pop()
        self._leave(index)

    def _leave(self, index: int) -> None:
        if self._levels[-1].kind is None:
            return
        level = self._levels.pop()
        self._closed, self._closed_from = index, level.start
        if level.kind is _SQUARE:
            self._work += index - level.start
        if level.types:
            self._work += (index - level.start) << min(level.types, MAX_DEPTH)

    def _count(self, kind: TokenType, before: TokenType | None) -> None:
        level = self._levels[-1]
        if kind is _SEMICOLON:
            self._levels[1:] = []
        if kind in _NEXT or kind is _SEMICOLON:
            self._levels[-1].queries = self._levels[-1].joins = 0
        elif kind in _JOINED:
            level.joins = max(level.joins - 1, 0)
        elif kind is _JOIN:
            level.joins += before is not _CROSS
            self._work += (1 << level.joins) - 1
        elif kind is TokenType.SELECT or (kind is _FROM and before is not _DISTINCT):
            level.queries += 1

    def _too_much(self) -> str | None:
        level = self._levels[-1]
        if len(self._levels) > MAX_DEPTH:
            return f"It is nested deeper than {MAX_DEPTH} levels."
        if level.queries > MAX_QUERIES:
            return "It has queries in each other's FROM without brackets."
        if level.joins > MAX_JOINS:
            return f"It has more than {MAX_JOINS} joins in a row without ON or USING."
        if self._signs > MAX_SIGNS:
            return f"It has more than {MAX_SIGNS} signs or NOT in a row."
        if self._work > MAX_WORK or level.types > MAX_DEPTH:
            return "It is nested too deep: brackets behind types, joins or indexes within each other."
        return None
