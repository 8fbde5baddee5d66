"""Find text around a value that changes how an engine reads it (specification 9.7).

sqlglot's tokenizer tells where a value stands. Engines differ from it, and from each other: a string that
continues another one follows that string's rules, a prefix changes the rules, and one engine's comment is
another's SQL. Such places follow the strictest rules, or are refused.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING

from sqlglot.tokens import Token as FoundToken
from sqlglot.tokens import TokenType

from dataspec.sql.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

TEXTS = frozenset(kind for kind in TokenType if kind.name.endswith("STRING"))
"""Every kind of string: plain, national, raw, of bytes, …"""

_QUOTED = TEXTS | {TokenType.IDENTIFIER}

_PREFIXES = frozenset({TokenType.VAR, TokenType.AMP})
"""Prefixes that change the rules of a string, such as ``E'…'`` or ``U&'…'``."""

_MARKS = ("'", '"', "`")
_ESCAPED_MARK = re.compile(r"\\['\"`]")
_DOLLARS = re.compile(r"\$\w*\$")
_COMMENT = re.compile(r"--|#|//|/\*|\{#")
_DOUBTFUL = re.compile(r"--\S|#|//|\{#|/\*M?!|\\\n")
_EXECUTED = re.compile(r"/\*M?!")
"""The start of a comment that MySQL or MariaDB executes."""
_COMMENTED_BY = {"#": frozenset({"mysql", "bigquery"}), "//": frozenset({"snowflake"})}
"""The dialects in which a mark begins a comment, whatever follows it."""
_BLANK_AFTER = frozenset({None, "mysql", "doris", "starrocks"})
"""Dialects in which ``--`` starts a comment only before a blank."""


class Reading(Enum):
    """The rules by which an engine may read a value."""

    PLAIN = auto()
    CONTINUED = auto()
    """As a continuation of the string before it."""
    PREFIXED = auto()
    """By the rules of the prefix before it."""
    ESCAPED = auto()
    """With the escape character of UESCAPE."""
    GLUED = auto()
    """As part of the number before it."""


def reading_of(text: str, tokens: Sequence[FoundToken], index: int, introducers: Collection[str]) -> Reading:
    """Return how an engine may read a token, given the token before it.

    Args:
        text: The SQL.
        tokens: Its tokens.
        index: The token's index.
        introducers: Words that MySQL may read as the character set of a string after them.
    """
    token = tokens[index]
    before = tokens[index - 1] if index else None
    if before is None:
        return Reading.PLAIN
    near = before.end + 1 == token.start
    if near and before.token_type is TokenType.NUMBER:
        return Reading.GLUED
    introduced = (
        before.token_type is TokenType.INTRODUCER or text[before.start : before.end + 1] in introducers
    )
    if introduced or (near and before.token_type in _PREFIXES):
        return Reading.PREFIXED
    joined = before.token_type in TEXTS and token.token_type is not TokenType.IDENTIFIER
    return Reading.CONTINUED if joined else Reading.PLAIN


def with_own_escape(text: str, tokens: Sequence[FoundToken]) -> set[int]:
    """Return the indexes of strings before and after UESCAPE, as in ``U&'…' UESCAPE '!'``."""
    found: set[int] = set()
    if "UESCAPE" not in text.upper():
        return found
    for index, token in enumerate(tokens):
        if token.token_type is TokenType.VAR and token.text.upper() == "UESCAPE":
            found.add(index + 1)
            first = index
            while first and tokens[first - 1].token_type in _QUOTED:
                first -= 1
            found.update(range(first, index))
    return found


def is_executed(gap: str) -> bool:
    """Return whether a comment in the text is executed by MySQL or MariaDB."""
    return _EXECUTED.search(gap) is not None


def why_unclear(
    text: str, tokens: Sequence[FoundToken], dialect: str | None, *, unsettled: bool, word: str
) -> str | None:
    """Return why engines may differ in where a template's quotes and comments start and end.

    Args:
        text: The SQL, with a placeholder for each value.
        tokens: The text's tokens.
        dialect: The SQL dialect, by sqlglot's name; None where it is unknown.
        unsettled: Whether a session setting may change how the engine reads strings.
        word: The nonce that is in each placeholder.
    """
    if (dialect is None or unsettled) and _ESCAPED_MARK.search(text):
        return "a backslash is before a quote, which ends a string on some engines only."
    for comment in _comments(text, tokens):
        if reason := _why_unclear_comment(comment, dialect, word):
            return reason
    return _why_unclear_mark(text, tokens, word) if dialect is None else None


def _comments(text: str, tokens: Sequence[FoundToken]) -> Iterator[str]:
    """Yield each comment, including its mark."""
    closed = all("*/" in part for part in text.split("/*")[1:-1])
    if closed and not _DOUBTFUL.search(text):
        return  # only comments that every engine reads alike
    end = 0
    for token in (Token.of(found, text) for found in tokens):
        yield from _comments_in(text[end : token.start])
        end = token.end
    yield from _comments_in(text[end:])


def _comments_in(gap: str) -> Iterator[str]:
    at = 0
    while found := _COMMENT.search(gap, at):
        closing = {"/*": "*/", "{#": "#}"}.get(found[0], "\n")
        end = gap.find(closing, found.end())
        at = len(gap) if end < 0 else end + len(closing)
        yield gap[found.start() : at]


def _why_unclear_comment(comment: str, dialect: str | None, word: str) -> str | None:
    if comment.startswith("{#"):
        return "'{#' begins no comment on the engine."
    if comment.startswith("/*"):
        if "/*" in comment[2:]:
            return "a comment begins within a comment, and engines differ in where that ends."
        return _UNBALANCED if is_executed(comment) and _is_odd(comment) else None
    if comment.rstrip("\n").endswith("\\"):
        return "a backslash at the end of a line goes on with a comment on some engines."
    mark = comment[: 1 if comment.startswith("#") else 2]
    known = dialect in _COMMENTED_BY.get(mark, ())
    if mark == "--":
        known = dialect not in _BLANK_AFTER or comment[2:3].isspace() or comment == "--"
    if known or not (word in comment or _is_odd(comment)):
        return None
    return f"'{mark}' begins a comment on some engines only; write '-- ' instead."


_UNBALANCED = "a quote in it ends on some engines in another place than on others."


def _why_unclear_mark(text: str, tokens: Sequence[FoundToken], word: str) -> str | None:
    """Return the first part of the text that engines read differently, for an unknown engine."""
    if any(set(_MARKS[:2]) & set(part) for part in text.split("`")[1::2]):
        return "a quote is between backticks."
    if _DOLLARS.search(text):
        return "dollars quote a string on some engines only."
    if any(
        token.text.lower() in {"q", "nq"} and text.startswith("'", token.end + 1)
        for token in tokens
        if token.token_type is TokenType.VAR
    ):
        return "q'…' is a string with marks of its own on some engines only."
    if any(word in line or _is_odd(line) for line in _stretches(text, tokens, ("#", "//"), "\n")):
        return "'#' and '//' begin a comment on some engines only."
    if any(map(_is_odd, _stretches(text, tokens, ("[",), "]"))):
        return "a quote is between brackets."
    return None


def _stretches(text: str, tokens: Sequence[FoundToken], marks: tuple[str, ...], end: str) -> Iterator[str]:
    """Yield the text from each token that is one of the marks to its end, without overlaps."""
    done = 0
    for token in tokens:
        if token.start >= done and text.startswith(marks, token.start):
            done = text.find(end, token.start) % (len(text) + 1)
            yield text[token.start : done]


def _is_odd(text: str) -> bool:
    return any(text.count(mark) % 2 for mark in _MARKS)
