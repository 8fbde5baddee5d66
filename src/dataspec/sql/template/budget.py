"""What one rendering of a template may take: steps, characters, and depth, counted as it goes (specification 9.12).

The count is the same on every machine and each time: a template is either within it or never.
Nothing is measured by a clock, and nothing is done before it is known to fit.
"""

from __future__ import annotations

from collections.abc import MappingView
from typing import Any

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


class BudgetError(Exception):
    """A rendering takes more than it may; the message is a sentence."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


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
            BudgetError: When there are more than :data:`MAX_STEPS`.
        """
        self._steps -= count
        if self._steps < 0:
            raise BudgetError(
                f"the template takes more than {MAX_STEPS:,} steps.",
                "Loop over less, or let the SQL do it: generate_series, a join, a window.",
            )

    def take_text(self, count: int) -> None:
        """Count characters that are about to be made or read.

        Raises:
            BudgetError: When there are more than :data:`MAX_TEXT`.
        """
        self._text -= count
        if self._text < 0:
            raise BudgetError(
                f"the template makes more than {MAX_TEXT:,} characters of text.",
                "Repeat less, or put the data into a table that the SQL reads.",
            )

    def take(self, value: Any, levels: int = MAX_LEVELS) -> None:
        """Count what a value holds: a list's items, a text's characters, and so on within.

        Raises:
            BudgetError: For too much, too deep, and for what is no value: a macro, a loop, a namespace.
        """
        kind = type(value)
        if kind is int:
            if value.bit_length() > MAX_BITS:
                raise BudgetError(f"a number has more than {MAX_BITS} bits.", "Let the SQL compute it.")
        elif isinstance(value, str):
            if len(value) > 64:  # noqa: PLR2004 - the count of steps bounds shorter ones
                self.take_text(len(value))
        elif isinstance(value, list | tuple | set | frozenset | MappingView | range | dict):
            if levels == 0:
                raise BudgetError(
                    f"a list holds lists more than {MAX_LEVELS} levels deep.", "Use a flat list."
                )
            self.take_steps(len(value))
            if kind is not range:
                self._take_items(value, levels - 1)
        elif value is not None and not isinstance(value, int | float):
            _check_undefined(value)

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
            raise BudgetError(
                "a macro calls itself without an end.", f"Calls stand in each other {MAX_CALLS} deep at most."
            )

    def leave(self) -> None:
        """Count a call as ended."""
        self._calls -= 1


def _check_undefined(value: Any) -> None:
    """Let pass what stands for a value that is not defined: whoever reads it is told so."""
    from jinja2 import Undefined

    if not isinstance(value, Undefined):
        hint = "Values are texts, numbers, true, false, none and lists."
        raise BudgetError(f"a {type(value).__name__} is no value.", hint)
