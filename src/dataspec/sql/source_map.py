"""From a place in rendered SQL to the place in the user's file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING

from dataspec.spec.yaml_reader import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dataspec.problems import Problem
    from dataspec.spec.yaml_reader import Document, Path
    from dataspec.sql.sql_sources import SqlText

_BLOCK = re.compile(r"\|[0-9+-]*\s*(#.*)?$")
"""How a YAML value begins whose lines stand below it as they are."""

NEAR = 2_000
"""How far from its place in the rendered line a word is looked for in the template's, in letters."""
MAX_COMPARED = 40_000
"""How many pairs of lines are compared to find the one that a rendered line comes from."""
MAX_LINE, FEW_LINES = 200, 20
"""How much of a line is compared with others, and with how many of them letter by letter."""


def in_template(template: str, rendered: str, line: int, column: int, word: str) -> tuple[int, int | None]:
    """Return where in a template a word of the rendered SQL comes from.

    Args:
        template: The SQL before it was rendered.
        rendered: The SQL after.
        line: The word's line in the rendered SQL, from 1 on.
        column: The column of its last letter, from 1 on, as sqlglot counts.
        word: The word.

    Returns:
        Its line, and its column unless the word came out of an expression.
    """
    before = _lines(template)
    number = line
    if _newlines(template) != _newlines(rendered):
        number = _line_before(template, rendered, line)
    text = before[number - 1] if number <= len(before) else ""
    begin = max(column - len(word), 0)
    first = max(begin - NEAR, 0)
    near = text[first : begin + NEAR]
    at = min(_whole(word, near), key=lambda found: abs(first + found - begin), default=None)
    return number, None if at is None else first + at + 1


@lru_cache(maxsize=8)
def _newlines(text: str) -> int:
    return text.count("\n")


@lru_cache(maxsize=8)
def _lines(text: str) -> list[str]:
    return text.splitlines()


def _whole(word: str, text: str) -> Iterator[int]:
    """Yield where a word stands in a text, and not within another."""
    at = text.find(word) if word else -1
    while at >= 0:
        around = text[at - 1 : at] + text[at + len(word) : at + len(word) + 1]
        if not (word.isidentifier() and any(letter.isalnum() or letter == "_" for letter in around)):
            yield at
        at = text.find(word, at + 1)


@lru_cache(maxsize=4096)
def _line_before(template: str, rendered: str, line: int) -> int:
    """Return which line of a template a rendered line comes from; both are compared where they differ alone."""
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
    """Return the lines in which two texts differ, and how many stand alike above them."""
    before, after = _lines(template), _lines(rendered)
    alike = _alike(before, after)
    before, after = before[alike:], after[alike:]
    below = _alike(before[::-1], after[::-1])
    return before[: len(before) - below], after[: len(after) - below], alike


def _alike(some: list[str], others: list[str]) -> int:
    """Return how many lines two texts begin with alike."""
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
    """Return which of some lines of a template a rendered line was made of."""
    matcher = SequenceMatcher(None, "", line[:MAX_LINE], autojunk=False)

    def likeness(at: int) -> float:
        matcher.set_seq1(lines[at][:MAX_LINE])
        return matcher.ratio() if len(lines) <= FEW_LINES else matcher.quick_ratio()

    return max(range(len(lines)), key=likeness)


def in_yaml(document: Document, path: Path, line: int | None, column: int | None) -> tuple[int, int | None]:
    """Return where in a YAML a place of the SQL is that it holds; where the SQL begins, if that is all one can say."""
    begin, at = document.position(path)
    lines = _lines(document.text)
    if line is None or not _BLOCK.match(lines[begin - 1][at - 1 :]):
        return begin, at
    below = next((text for text in lines[begin:] if text.strip()), "")
    indent = len(below) - len(below.lstrip(" "))
    return begin + line, column + indent if column else None


@dataclass(frozen=True, slots=True)
class SqlPlaces:
    """Where the SQL of a spec stands: in files beside its YAML, and in the YAML itself."""

    document: Document

    @classmethod
    def of(cls, yaml: bytes, file: str) -> SqlPlaces:
        """Return those of a spec by its YAML's bytes and name."""
        return cls(read_document(yaml, file))

    def file_of(self, text: SqlText) -> str:
        """Return the file that holds a text, as the reader would write it."""
        if text.file is None:
            return self.document.file
        folder = self.document.file.rpartition("/")[0]
        return f"{folder}/{text.file}" if folder else text.file

    def placed(self, problem: Problem, text: SqlText) -> Problem:
        """Return a problem of a text with its place in the user's file."""
        line, column = problem.line, problem.column
        if text.file is None:
            line, column = in_yaml(self.document, text.path, line, column)
        return problem.at(self.file_of(text), line, column)
