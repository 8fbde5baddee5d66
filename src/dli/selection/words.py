"""Read one word of ``--select`` or ``--exclude``, such as ``2+tag:hourly+``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from dataspec.errors import InvalidUsage
from dataspec.problems import nearest

Method = Literal["name", "tag", "path"]

METHODS = ("tag", "path")
"""What a word may be about, besides names."""

_WORD = re.compile(r"(?:(?P<up>\d{0,4})\+)?(?P<value>.*?)(?:\+(?P<down>\d{0,4}))?", re.DOTALL)
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One part of a selection."""

    text: str
    """The word as the user wrote it."""
    method: Method
    value: str
    """A name, a tag or a path; a pattern if it has ``*``, ``?`` or ``[``."""
    upstream: int | None = 0
    """How many steps upstream are selected as well; None for all."""
    downstream: int | None = 0

    @property
    def is_pattern(self) -> bool:
        """Whether the value is a pattern."""
        return _PATTERN.search(self.value) is not None

    def matches(self, text: str) -> bool:
        """Return whether the value is this text, or a pattern that matches it."""
        return fnmatchcase(text, self.value) if self.is_pattern else text == self.value


def parse_word(text: str) -> Word:
    """Return a word of a selection.

    Raises:
        InvalidUsage: When it is empty, or its method is unknown.
    """
    found = _WORD.fullmatch(text.strip())
    value = found["value"] if found else ""
    method, colon, rest = value.partition(":")
    if colon and method not in METHODS:
        hint = nearest(method, METHODS)
        raise InvalidUsage(
            f"Unknown method '{method}:' in the selection '{text}'.",
            detail="\n".join(filter(None, (hint, "Known are a name, tag:TAG and path:PATH."))),
        )
    value = rest if colon else value
    if found is None or not value:
        raise InvalidUsage(
            f"The selection '{text}' names no dataset.",
            detail="Write a name, a pattern such as 'sales.*', tag:TAG or path:PATH.",
        )
    return Word(
        text=text,
        method=_method(method if colon else "", value),
        value=value,
        upstream=_steps(found["up"]),
        downstream=_steps(found["down"]),
    )


def _method(named: str, value: str) -> Method:
    if named == "tag":
        return "tag"
    is_path = "/" in value or os.sep in value or value.endswith((".yaml", ".yml"))
    return "path" if named == "path" or is_path else "name"


def _steps(digits: str | None) -> int | None:
    """Return the steps beside a ``+``: none without a ``+``, all without a number."""
    if digits is None:
        return 0
    return int(digits) if digits else None
