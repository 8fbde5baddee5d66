"""Where in a statement an engine found the mistake: each says it in its own way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_DUCKDB = re.compile(r"^LINE (\d+): (.*)\n(\s*)\^", re.MULTILINE)
_CUT = "..."
"""How DuckDB begins a line of which it left out the beginning."""
_IN_WORDS = (
    re.compile(r"\bline (\d+):(\d+)"),  # Trino
    re.compile(r"\bline (\d+) at position (\d+)"),  # Snowflake
    re.compile(r"\bline (\d+), pos (\d+)"),  # Spark, Databricks
    re.compile(r"\bat \[(\d+):(\d+)\]"),  # BigQuery
)
_FROM_ZERO = (1, 2)
"""Those of the above that count columns from 0 on."""
_WORD = re.compile(r"\w+|\S")


@dataclass(frozen=True, slots=True)
class PlaceInStatement:
    """A word of a statement; line and column from 1 on."""

    line: int
    column: int | None
    word: str


def place_in(sql: str, error: BaseException) -> PlaceInStatement | None:
    """Return where in a statement the mistake is, if the driver's error says."""
    return _by_offset(sql, error) or _of_duckdb(sql, str(error)) or _in_words(sql, str(error))


def _by_offset(sql: str, error: BaseException) -> PlaceInStatement | None:
    """PostgreSQL counts letters from the beginning of the statement."""
    diagnosis: Any = getattr(error, "diag", None)
    position = getattr(diagnosis, "statement_position", None)
    if not position:
        return None
    before = sql[: int(position) - 1]
    return _at(sql, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _of_duckdb(sql: str, message: str) -> PlaceInStatement | None:
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


def _in_words(sql: str, message: str) -> PlaceInStatement | None:
    for number, pattern in enumerate(_IN_WORDS):
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
