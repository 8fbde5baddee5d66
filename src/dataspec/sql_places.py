"""From a place in rendered SQL to the place in the user's file."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataspec.yaml_document import Document, Path

_BLOCK = re.compile(r"\|[0-9+-]*\s*(#.*)?$")
"""How a YAML value begins whose lines stand below it as they are."""


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
    before = template.splitlines()
    number = line
    if template.count("\n") != rendered.count("\n"):
        number = _line_before(before, rendered.splitlines(), line)
    text = before[number - 1] if number <= len(before) else ""
    begin = max(column - len(word), 0)
    at = _nearest(word, text, begin)
    return number, None if at is None else at + 1


def _nearest(word: str, text: str, begin: int) -> int | None:
    """Return where a word stands in a text, as near to a place as there is one."""
    before, behind = text.rfind(word, 0, begin + len(word)), text.find(word, begin)
    found = [at for at in (before, behind) if at >= 0] if word else []
    return min(found, key=lambda at: abs(at - begin), default=None)


def _line_before(before: list[str], after: list[str], line: int) -> int:
    for kind, start, end, first, last in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if first <= line - 1 < last:
            return min(start + line - 1 - first, end - 1 if kind != "insert" else start) + 1
    return len(before)


def in_yaml(document: Document, path: Path, line: int | None, column: int | None) -> tuple[int, int | None]:
    """Return where in a YAML a place of the SQL is that it holds; where the SQL begins, if that is all one can say."""
    begin, at = document.position(path)
    lines = document.text.splitlines()
    if line is None or not _BLOCK.match(lines[begin - 1][at - 1 :]):
        return begin, at
    below = next((text for text in lines[begin:] if text.strip()), "")
    indent = len(below) - len(below.lstrip(" "))
    return begin + line, column + indent if column else None
