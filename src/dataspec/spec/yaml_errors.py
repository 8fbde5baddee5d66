"""Say in plain words what is wrong with a YAML text, at its place, and what to write instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dataspec.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    import yaml

_MAX_QUOTED = 60
"""Maximum length of a value that a hint shows in quotes."""
_KEY = re.compile(r"\s*(?:- +)*[^\s:'\"][^:]*:[ ]+(?P<value>\S.*)")
"""A line with a key and the beginning of its value."""
_COMMENT = re.compile(r"\s+#.*$")


def explain(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """Return the problem of a text that is not YAML.

    Args:
        error: The parser's error.
        text: The whole text.
        file: The file's name.
    """
    mark = error.problem_mark or error.context_mark
    place = (mark.line, mark.column) if mark else (0, 0)
    message = str(error.problem or error.context)
    told = f"{error.context} {message}"
    explanation = next((one for part, one in _EXPLANATIONS if part in told), None)
    found = explanation(_Spot(error, text, *place)) if explanation else None
    what, hint, (line, column) = found or (message, None, place)
    return Problem(f"not valid YAML: {what}.", file, line + 1, column + 1, hint)


def value_at(text: str, line: int, column: int) -> str:
    """Return the value that begins at a place (from 0): to the end of the line, or of the element within brackets."""
    lines = text.splitlines()
    written = lines[line] if line < len(lines) else ""
    value = written[column:]
    is_in_flow = not {"[", "{"}.isdisjoint(written[:column])
    return re.split(r",(?:\s|$)|[\]}]", value, maxsplit=1)[0] if is_in_flow else value


def in_quotes(value: str) -> str:
    """Return the hint to put a value in quotes, which shows a short one as it must be written."""
    bare = _COMMENT.sub("", value).strip()
    if not bare or len(bare) > _MAX_QUOTED or '"' in bare or "\\" in bare:
        return "Put the value in quotes."
    return f'Put it in quotes: "{bare}"'


_Found = tuple[str, str | None, tuple[int, int]]
"""The problem, the hint and the place."""


class _Spot:
    """The place of an error; lines and columns count from 0."""

    def __init__(self, error: yaml.MarkedYAMLError, whole: str, line: int, column: int) -> None:
        self._whole, lines = whole, whole.splitlines()
        self.line, self.column = line, column
        self.text = lines[line] if line < len(lines) else ""
        began = error.context_mark
        self.began = (began.line, began.column) if began else (line, column)
        self.opening = lines[self.began[0]][self.began[1] :][:1] if self.began[0] < len(lines) else ""

    @property
    def rest(self) -> str:
        """The line from the place on."""
        return self.text[self.column :]

    def value(self, begin: int) -> str:
        """Return the value that begins at a column of the line."""
        return value_at(self._whole, self.line, begin)

    @property
    def is_indented_by_tab(self) -> bool:
        """Whether a tab stands before the first word of the line."""
        return "\t" in self.text[: len(self.text) - len(self.text.lstrip())]

    @property
    def here(self) -> tuple[int, int]:
        """The place itself."""
        return self.line, self.column


def _wrong_beginning(spot: _Spot) -> _Found:
    """Explain a value whose first character has a meaning in YAML."""
    if spot.rest.startswith("\t"):
        return _tab(spot)
    if not spot.rest:
        return "the text ends too early", "Close each '[' and '{' that is open.", spot.here
    return f"a value can't begin with '{spot.rest[:1]}'", in_quotes(spot.value(spot.column)), spot.here


def _tab(spot: _Spot) -> _Found:
    return "a tab can't stand here", "Use spaces, not tabs.", spot.here


def _indentation(spot: _Spot, what: str, hint: str) -> _Found:
    """Explain a line that does not fit the lines above, which a tab looks like doing."""
    return _tab(spot) if spot.is_indented_by_tab else (what, hint, spot.here)


def _wrong_name(spot: _Spot) -> _Found:
    """Explain a value that begins like an alias, an anchor or a tag, such as a cron expression with ``*``."""
    line, begin = spot.began
    what = f"a value can't begin with '{spot.opening}'"
    return what, in_quotes(spot.value(begin)), (line, begin)


def _directive(spot: _Spot) -> _Found:
    return "a line can't begin with '%'", "Put the key in quotes.", spot.began


def _second_colon(spot: _Spot) -> _Found:
    found = _KEY.match(spot.text)
    if found and found.start("value") <= spot.column:
        what = "a value with ': ' in it looks like another key"
        return what, in_quotes(found["value"]), spot.here
    hint = (
        "Indent it like the other keys, and end the line above as 'key: value', with a space after the ':'."
    )
    return _indentation(spot, "a key can't stand here", hint)


def _not_closed(spot: _Spot) -> _Found:
    if spot.opening in {"'", '"'}:
        return (
            f"the quote {spot.opening} that opens here is not closed",
            "Close it at the end of the value.",
            spot.began,
        )
    return "the text ends too early", None, spot.here


def _flow_not_closed(spot: _Spot) -> _Found:
    close = {"[": "]", "{": "}"}.get(spot.opening, "]")
    what = f"the '{spot.opening}' that opens here is not closed, or a ',' is missing"
    return (
        what,
        f"Close it with '{close}', or put text that begins with '{spot.opening}' in quotes.",
        spot.began,
    )


def _no_key(spot: _Spot) -> _Found:
    if spot.text[: spot.column].rstrip()[-1:] in {"'", '"'}:
        what = "text follows a closing quote"
        return what, "Put the whole value in quotes; within '…' write a quote twice: ''", spot.here
    found = _KEY.match(spot.text)
    if found and found["value"][0] in "[{" and found.start("value") < spot.column:
        what = f"text follows the '{found['value'][0]}' that begins a value, and its end"
        return what, in_quotes(found["value"]), spot.here
    return _indentation(
        spot, "the indentation does not fit the lines above", "Indent it like the other keys."
    )


def _block(spot: _Spot) -> _Found:
    """Explain text right after ``|`` or ``>``, which begin a text of several lines."""
    found = _KEY.match(spot.text)
    hint = in_quotes(found["value"]) if found else "Put the value in quotes."
    return "the text after '|' or '>' begins in the next line", hint, spot.here


def _no_colon(spot: _Spot) -> _Found:
    return "this line has no ':'", "Write it as 'key: value', with a space after the ':'.", spot.began


def _dash(spot: _Spot) -> _Found:
    what = f"a value can't begin with '{spot.rest[:1]} '"
    return what, "Put it in quotes, or begin a list in a new line.", spot.here


def _escape(spot: _Spot) -> _Found:
    hint = "Write \\\\ for a backslash, or use single quotes."
    return "a backslash in double quotes begins an escape that is unknown", hint, spot.here


_EXPLANATIONS: tuple[tuple[str, Callable[[_Spot], _Found]], ...] = (
    ("tab character", _tab),
    ("cannot start any token", _wrong_beginning),
    ("expected node content", _wrong_beginning),
    ("alphabetic or numeric character", _wrong_name),
    ("ing a tag", _wrong_name),
    ("undefined tag handle", _wrong_name),
    ("scanning a directive", _directive),
    ("mapping values are not allowed", _second_colon),
    ("end of stream", _not_closed),
    ("expected ',' or", _flow_not_closed),
    ("expected key", _no_key),
    ("expected '-' indicator", _no_key),
    ("expected <document start>", _no_key),
    ("expected ':'", _no_colon),
    ("entries are not allowed", _dash),
    ("mapping keys are not allowed", _dash),
    ("unknown escape", _escape),
    ("comment or line break", _block),
    ("chomping or indentation", _block),
)
"""The explanation by a part of the message of PyYAML's parsers, the one in C and the one in Python."""
