"""Map a place in rendered SQL, where sqlglot or an engine found a mistake, to its place in the user's template."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dataspec.keys import MACRO_FOLDER
from dataspec.spec.sql_texts import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


NEAR = 2_000
"""Maximum distance, in characters, between a word's column in the rendered line and in the template's."""
MAX_COMPARED = 40_000
"""Maximum number of pairs of lines that are compared; beyond it the line is estimated."""
MAX_LINE, FEW_LINES = 200, 20
"""Characters of a line that are compared, and the number of lines up to which the exact ratio is computed."""


_DUCKDB = re.compile(r"^LINE (\d+): (.*)\n(\s*)\^", re.MULTILINE)
_CUT = "..."
"""The start of a line that DuckDB shortened."""
_TEXT_PATTERNS = (
    re.compile(r"\bline (\d+):(\d+)"),  # Trino
    re.compile(r"\bline (\d+) at position (\d+)"),  # Snowflake
    re.compile(r"\bline (\d+), pos (\d+)"),  # Spark, Databricks
    re.compile(r"\bat \[(\d+):(\d+)\]"),  # BigQuery
)
_FROM_ZERO = (1, 2)
"""Indexes of the patterns whose engines count columns from 0."""
_WORD = re.compile(r"\w+|\S")


def in_template(template: str, rendered: str, line: int, column: int, word: str) -> tuple[int, int | None]:
    """Return the place in a template of a word of the rendered SQL.

    Args:
        template: The SQL before it was rendered.
        rendered: The SQL after.
        line: The word's line in the rendered SQL, from 1.
        column: The column of its last character, from 1, as sqlglot counts.
        word: The word.

    Returns:
        Its line, and its column; None for a word that an expression yields.
    """
    before = lines_of(template)
    number = line
    if _newlines(template) != _newlines(rendered):
        number = _line_before(template, rendered, line)
    text = before[number - 1] if number <= len(before) else ""
    begin = max(column - len(word), 0)
    first = max(begin - NEAR, 0)
    near = text[first : begin + NEAR]
    at = min(_whole(word, near), key=lambda found: abs(first + found - begin), default=None)
    return number, None if at is None else first + at + 1


def in_macros(shared: Mapping[str, str], word: str) -> str | None:
    """Return the place of a word that a macro wrote: where the macro files hold it exactly once.

    Args:
        shared: The files of the project that the template uses, by path.
        word: The word, which the template itself does not hold.
    """
    found = [
        f"{path}:{number}:{at + 1}"
        for path, text in shared.items()
        if path.startswith(MACRO_FOLDER)
        for number, line in enumerate(lines_of(text), start=1)
        for at in _whole(word, line)
    ]
    return found[0] if len(found) == 1 else None


@lru_cache(maxsize=8)
def _newlines(text: str) -> int:
    return text.count("\n")


def _whole(word: str, text: str) -> Iterator[int]:
    """Yield the offsets of a whole word in a text."""
    at = text.find(word) if word else -1
    while at >= 0:
        around = text[at - 1 : at] + text[at + len(word) : at + len(word) + 1]
        if not (word.isidentifier() and any(letter.isalnum() or letter == "_" for letter in around)):
            yield at
        at = text.find(word, at + 1)


@lru_cache(maxsize=4096)
def _line_before(template: str, rendered: str, line: int) -> int:
    """Return the line of a template that a rendered line comes from; only differing parts are compared."""
    before, after, alike = _compared(template, rendered)
    if line <= alike:
        return line
    if line > alike + len(after):
        return line - len(after) + len(before)
    if len(before) * len(after) > MAX_COMPARED:
        return alike + min(line - alike, max(len(before), 1))
    return alike + _line_among(before, after, line - alike)


@lru_cache(maxsize=8)
def _compared(template: str, rendered: str) -> tuple[list[str], list[str], int]:
    """Return the differing lines of two texts, and the number of equal lines above them."""
    before, after = lines_of(template), lines_of(rendered)
    alike = _alike(before, after)
    before, after = before[alike:], after[alike:]
    below = _alike(before[::-1], after[::-1])
    return before[: len(before) - below], after[: len(after) - below], alike


def _alike(some: list[str], others: list[str]) -> int:
    """Return the number of equal lines at the start of two texts."""
    pairs = enumerate(zip(some, others, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(some), len(others)))


def _line_among(before: list[str], after: list[str], line: int) -> int:
    for kind, start, end, first, last in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if not first <= line - 1 < last:
            continue
        if kind == "replace" and end - start != last - first:
            return start + _most_like(after[line - 1], before[start:end]) + 1
        return min(start + line - 1 - first, end - 1 if kind != "insert" else start) + 1
    return len(before)


def _most_like(line: str, lines: list[str]) -> int:
    """Return the index of the template line that is most like a rendered line."""
    matcher = SequenceMatcher(None, "", line[:MAX_LINE], autojunk=False)

    def likeness(at: int) -> float:
        matcher.set_seq1(lines[at][:MAX_LINE])
        return matcher.ratio() if len(lines) <= FEW_LINES else matcher.quick_ratio()

    return max(range(len(lines)), key=likeness)


@dataclass(frozen=True, slots=True)
class PlaceInStatement:
    """A word of a statement; line and column count from 1."""

    line: int
    column: int | None
    word: str


def place_in(sql: str, error: BaseException) -> PlaceInStatement | None:
    """Return the place of a mistake in a statement, where the driver's error tells it."""
    return _by_offset(sql, error) or _by_duckdb_line(sql, str(error)) or _by_text(sql, str(error))


def _by_offset(sql: str, error: BaseException) -> PlaceInStatement | None:
    """Read PostgreSQL's offset, in characters from the start of the statement."""
    diagnosis: Any = getattr(error, "diag", None)
    position = getattr(diagnosis, "statement_position", None)
    if not position:
        return None
    before = sql[: int(position) - 1]
    return _at(sql, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _by_duckdb_line(sql: str, message: str) -> PlaceInStatement | None:
    found = _DUCKDB.search(message)
    if found is None:
        return None
    line, shown = int(found[1]), found[2]
    at = len(found[3]) - len(f"LINE {line}: ")
    if not shown.startswith(_CUT):
        return _at(sql, line, at + 1)
    text = _line(sql, line)
    begin = text.find(shown.removeprefix(_CUT).removesuffix(_CUT))
    return _at(sql, line, begin + at - len(_CUT) + 1 if begin >= 0 else None)


def _by_text(sql: str, message: str) -> PlaceInStatement | None:
    for number, pattern in enumerate(_TEXT_PATTERNS):
        if found := pattern.search(message):
            column = int(found[2]) + (1 if number in _FROM_ZERO else 0)
            return _at(sql, int(found[1]), column)
    return None


def _at(sql: str, line: int, column: int | None) -> PlaceInStatement | None:
    text = _line(sql, line)
    if column is None or not 0 < column <= len(text):
        return PlaceInStatement(line, None, "")
    word = _WORD.match(text, column - 1)
    return PlaceInStatement(line, column, word[0] if word else "")


def _line(sql: str, line: int) -> str:
    lines = sql.splitlines()
    return lines[line - 1] if line <= len(lines) else ""
