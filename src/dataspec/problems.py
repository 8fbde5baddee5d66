"""A problem in a user's file: what is wrong, where, and what to write instead."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TOLD = 500
"""Of the message of an unexpected error, so many letters are told."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, at a place in a file; lines and columns count from 1."""

    message: str
    file: str
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    severity: Severity = "error"
    """A warning can be lived with: the spec is valid all the same."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{place}: {self.message}" + (f" {self.hint}" if self.hint else "")

    def at(self, file: str, line: int | None, column: int | None) -> Problem:
        """Return the problem at another place."""
        return replace(self, file=file, line=line, column=column)

    def as_warning(self) -> Problem:
        """Return the problem as one that can be lived with."""
        return replace(self, severity="warning")

    def to_json(self) -> dict[str, Any]:
        """Return the problem as the API shows it."""
        return asdict(self)


def unexpected(error: Exception, file: str) -> Problem:
    """Return what is told of a file that no check foresaw: the mistake is this program's, not the others' to bear."""
    found = " ".join(str(error).split())[:MAX_TOLD]
    message = f"an unexpected error while reading it: {type(error).__name__}: {found}"
    return Problem(message, file, 1, 1, "This is a mistake in dli; please report it.")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return a hint that names the known word nearest to a wrong one, if one is near."""
    known = list(known)
    exact = [candidate for candidate in known if candidate.lower() == word.lower()]
    found = exact or get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean '{found[0]}'?" if found else None


def name_taken(name: str, first: str) -> str:
    """Return what is wrong with a name that the first file has already."""
    return f"the name '{name}' stands in {first} already; a name may stand once."


def in_reading_order(problems: Iterable[Problem], first: str) -> tuple[Problem, ...]:
    """Return problems in the order of their lines, those of one file before those of others."""
    return tuple(sorted(problems, key=lambda it: (it.file != first, it.file, it.line or 0, it.column or 0)))
