"""What one rendering of a template may take: steps, characters, and depth, counted as it goes (decisions 17).

The count is the same on every machine and each time: a template is either within it or never.
Nothing is measured by a clock, and nothing is done before it is known to fit.
"""

from __future__ import annotations

from collections.abc import MappingView
from typing import Any

from jinja2 import TemplateRuntimeError, Undefined

from dataspec.problems import Problem

MAX_STEPS = 1_000_000
"""Parts of the template that are evaluated, items of lists included."""
MAX_TEXT = 8 * 1024 * 1024
"""Characters that all texts of one rendering have together, those that are read again included."""
MAX_CALLS = 60
"""Macros and loops that may stand within each other as they run."""
MAX_LEVELS = 20
"""Lists within lists."""
MAX_BITS = 256
"""Bits of a whole number."""


class PlacedError(TemplateRuntimeError):
    """A template is wrong at a place that is known."""

    def __init__(self, message: str, line: int | None, column: int | None, hint: str | None = None) -> None:
        super().__init__(message)
        self._place = line, column
        self._hint = hint

    def problem(self, file: str, line: int | None = None) -> Problem:
        """Return it as a problem in a file, at a line that is known otherwise if its own is not."""
        own, column = self._place
        return Problem(str(self), file, own or line, column, self._hint)


def refusal(message: str, hint: str | None = None) -> PlacedError:
    """Return an error for what a template does; the place is that of the statement that runs."""
    return PlacedError(message, None, None, hint)


class Budget:
    """What is left of the limits for one rendering."""

    __slots__ = ("_calls", "_steps", "_text")

    def __init__(self) -> None:
        self._steps = MAX_STEPS
        self._text = MAX_TEXT
        self._calls = 0

    def take_steps(self, count: int) -> None:
        """Count steps.

        Raises:
            PlacedError: When there are more than :data:`MAX_STEPS`.
        """
        self._steps -= count
        if self._steps < 0:
            raise refusal(
                f"the template takes more than {MAX_STEPS:,} steps.",
                "Loop over less, or let the SQL do it: generate_series, a join, a window.",
            )

    def take_text(self, count: int) -> None:
        """Count characters that are about to be made or read.

        Raises:
            PlacedError: When there are more than :data:`MAX_TEXT`.
        """
        self._text -= count
        if self._text < 0:
            raise refusal(
                f"the template makes more than {MAX_TEXT:,} characters of text.",
                "Repeat less, or put the data into a table that the SQL reads.",
            )

    def take(self, value: Any, levels: int = MAX_LEVELS) -> None:
        """Count what a value holds: a list's items, a text's characters, and so on within.

        Raises:
            PlacedError: For too much, too deep, and for what is no value: a macro, a loop, a namespace.
        """
        kind = type(value)
        if kind is int:
            if value.bit_length() > MAX_BITS:
                raise refusal(f"a number has more than {MAX_BITS} bits.", "Let the SQL compute it.")
        elif isinstance(value, str):
            if len(value) > 64:  # noqa: PLR2004 - the count of steps bounds shorter ones
                self.take_text(len(value))
        elif isinstance(value, list | tuple | set | frozenset | MappingView | range | dict):
            if levels == 0:
                raise refusal(f"a list holds lists more than {MAX_LEVELS} levels deep.", "Use a flat list.")
            self.take_steps(len(value))
            if kind is not range:
                self._take_items(value, levels - 1)
        elif not (value is None or isinstance(value, int | float | Undefined)):
            raise refusal(
                f"a {kind.__name__} is no value.", "Values are texts, numbers, true, false, none and lists."
            )

    def _take_items(self, value: Any, levels: int) -> None:
        for item in value:
            self.take(item, levels)
        if isinstance(value, dict):
            for item in value.values():
                self.take(item, levels)

    def enter(self) -> None:
        """Count a call that begins; :meth:`leave` ends it."""
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise refusal(
                "a macro calls itself without an end.", f"Calls may be {MAX_CALLS} deep within each other."
            )

    def leave(self) -> None:
        """Count a call as ended."""
        self._calls -= 1
