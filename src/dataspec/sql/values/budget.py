"""Limit the steps, characters and depth of one rendering of a template (specification 9.12).

The counts don't depend on the machine or the clock: a template always exceeds its budget, or never.
Each operation is counted before it is done.
"""

from __future__ import annotations

from collections.abc import MappingView
from typing import Any

MAX_STEPS = 1_000_000
"""Maximum number of nodes of the template that are evaluated, items of lists included."""
MAX_TEXT = 8 * 1024 * 1024
"""Maximum number of characters that one rendering makes or reads."""
MAX_CALLS = 60
"""Maximum depth of running macros and loops."""
MAX_LEVELS = 20
"""Maximum depth of lists in lists."""
MAX_BITS = 256
"""Maximum size of a whole number, in bits."""


class BudgetError(Exception):
    """A rendering exceeds its budget; the message is a sentence."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class CallDepthError(BudgetError):
    """Macros and loops run in each other too deep."""


class Budget:
    """The remaining steps, characters and calls of one rendering."""

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
        """Count characters before they are made or read.

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
        """Count a value: the items of a list and the characters of a text, recursively.

        Raises:
            BudgetError: When a limit is exceeded, and for a macro, a loop or a namespace, which are no values.
        """
        kind = type(value)
        if kind is int:
            if value.bit_length() > MAX_BITS:
                raise BudgetError(f"a number has more than {MAX_BITS} bits.", "Let the SQL compute it.")
        elif isinstance(value, str):
            if len(value) > 64:  # noqa: PLR2004 - the limit of steps bounds shorter ones
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
        """Count a call that starts; :meth:`leave` ends it."""
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise CallDepthError(
                "a macro calls itself without an end.", f"Calls stand in each other {MAX_CALLS} deep at most."
            )

    def leave(self) -> None:
        """Count a call as ended."""
        self._calls -= 1


def _check_undefined(value: Any) -> None:
    """Refuse what is no value; an undefined name passes, since its use raises an error of its own."""
    from jinja2 import Undefined

    if not isinstance(value, Undefined):
        hint = "Values are texts, numbers, true, false, none and lists."
        raise BudgetError(f"a {type(value).__name__} is no value.", hint)
