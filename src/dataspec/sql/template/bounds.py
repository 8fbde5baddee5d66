"""Bound the size and depth of a template before Jinja parses it, and find the places of its names and filters."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from jinja2 import TemplateRuntimeError
from jinja2.ext import Extension
from jinja2.lexer import Token

from dataspec.problems import Problem
from dataspec.sql.values.budget import MAX_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import nodes
    from jinja2.lexer import TokenStream

MAX_WORDS = 20_000
"""Maximum number of tokens in the tags of a template."""

MAX_BRACKETS = 25
"""Maximum depth of brackets in an expression."""

MAX_BLOCKS = 80
"""Maximum depth of blocks; Python compiles a hundred."""

MAX_LOOPS = 15
"""Maximum depth of loops; Python compiles twenty."""

MAX_ELIFS = 200
"""Maximum number of branches of one condition."""


_PIPED = re.compile(r"(?:\||^)\s*(\w+)")
_WORD = re.compile(r"\w+")


class PlacedError(TemplateRuntimeError):
    """A mistake in a template, with its place."""

    def __init__(self, message: str, line: int | None, column: int | None, hint: str | None = None) -> None:
        super().__init__(message)
        self._place = line, column
        self._hint = hint

    def problem(self, file: str, line: int | None = None) -> Problem:
        """Return the error as a problem in a file; ``line`` is used where the error has none."""
        own, column = self._place
        return Problem(str(self), file, own or line, column, self._hint)


def too_deep(line: int) -> PlacedError:
    """Return the error for a template that is nested too deep."""
    return PlacedError("the template is nested too deep.", line, None)


class _FilterName(str):
    """The name of a filter, with the number of equal names before it on its line."""

    __slots__ = ("before",)
    before: int


class TokenChecks(Extension):
    """Check the bounds of a template's tokens, and number its filters: Jinja records lines, users need columns."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Yield the tokens, with the names of filters numbered."""
        seen: Counter[tuple[int, str]] = Counter()
        after_pipe = False
        bounds = _Bounds()
        for token in stream:
            bounds.check(token)
            if after_pipe and token.type == "name":
                name = _FilterName(token.value)
                name.before = seen[token.lineno, token.value]
                seen[token.lineno, token.value] += 1
                yield Token(token.lineno, token.type, name)
            else:
                yield token
            after_pipe = token.type == "pipe"


class _Bounds:
    """Counters of brackets and blocks, checked before Jinja's recursive parser descends into them."""

    def __init__(self) -> None:
        self._words = self._brackets = 0
        self._blocks: list[str] = []
        self._elifs = 0
        self._begins = False

    def check(self, token: Token) -> None:
        """Count one token.

        Raises:
            PlacedError: When the template is nested too deep, or too long.
        """
        kind = token.type
        if kind == "data":
            return
        self._words += 1
        if self._words > MAX_WORDS:
            message = f"the template has more than {MAX_WORDS:,} words and signs in its tags."
            raise PlacedError(message, token.lineno, None, "Split it, or loop over a list.")
        if kind in {"lparen", "lbracket", "lbrace"}:
            self._brackets += 1
        elif kind in {"rparen", "rbracket", "rbrace"}:
            self._brackets -= 1
        elif kind in {"variable_begin", "block_begin"}:
            self._brackets = 0
        elif self._begins:
            self._block(token.value)
        elif isinstance(token.value, int) and token.value.bit_length() > MAX_BITS:
            message = f"a number has more than {MAX_BITS} bits."
            raise PlacedError(message, token.lineno, None, "Let the SQL compute it.")
        self._begins = kind == "block_begin"
        loops = len(self._blocks) > MAX_LOOPS and self._blocks.count("for") > MAX_LOOPS
        blocks = loops or len(self._blocks) > MAX_BLOCKS or self._elifs > MAX_ELIFS
        if blocks or self._brackets > MAX_BRACKETS:
            raise too_deep(token.lineno)

    def _block(self, name: str) -> None:
        self._elifs = self._elifs + 1 if name == "elif" else 0
        if name.startswith("end"):
            if self._blocks:
                self._blocks.pop()
        elif name in {"if", "for", "macro", "block", "with", "filter", "call", "autoescape"}:
            self._blocks.append(name)


class TemplatePlaces:
    """The columns of names and filters in a template; each line is searched once."""

    def __init__(self, sql: str) -> None:
        self._lines = sql.splitlines() or [""]
        self._names: dict[int, dict[str, int]] = {}
        self._filters: dict[int, dict[str, list[int]]] = {}

    def of_name(self, name: str, line: int) -> int:
        """Return the column of the first ``{{ … }}`` on a line that holds a name, or any word for an empty name."""
        if line not in self._names:
            self._names[line] = _first_words(self._line(line))
        return self._names[line].get(name, 1)

    def of_filter(self, found: nodes.Filter) -> int | None:
        """Return the column of a filter's name."""
        if not isinstance(found.name, _FilterName):
            return None
        if found.lineno not in self._filters:
            columns = self._filters[found.lineno] = {}
            for match in _PIPED.finditer(self._line(found.lineno)):
                columns.setdefault(match[1], []).append(match.start(1) + 1)
        places = self._filters[found.lineno].get(found.name, [])
        return places[found.name.before] if found.name.before < len(places) else None

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if number <= len(self._lines) else ""


def _first_words(line: str) -> dict[str, int]:
    """Return each word within ``{{ … }}`` on a line, with the column of the first ``{{`` that holds it."""
    words: dict[str, int] = {}
    begin = line.find("{{")
    while begin >= 0:
        end = line.find("}}", begin + 2)
        end = end if end >= 0 else len(line)
        for match in _WORD.finditer(line, begin + 2, end):
            words.setdefault(match[0], begin + 1)
            words.setdefault("", begin + 1)
        begin = line.find("{{", end)
    return words
