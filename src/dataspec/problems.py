"""Describe a problem in a user's file: the message, the place, and a hint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Severity = Literal["error", "warning"]

MAX_PROBLEMS = 100
"""Maximum number of reported problems of one spec."""
MAX_MESSAGE = 1_000
"""Maximum number of characters of a message, which may quote the user's text."""
MAX_WORD, MAX_KNOWN = 100, 1_000
"""Maximum length of a word, and number of words, compared to find the nearest one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, at a place in a file; lines and columns count from 1."""

    message: str
    file: str
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    severity: Severity = "error"
    """A spec with warnings alone is valid."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", shortened(self.message))

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{place}: {self.message}" + (f" {self.hint}" if self.hint else "")

    def at(self, file: str, line: int | None, column: int | None) -> Problem:
        """Return the problem at another place."""
        return replace(self, file=file, line=line, column=column)

    def as_warning(self) -> Problem:
        """Return the problem as a warning."""
        return replace(self, severity="warning")

    def to_json(self) -> dict[str, Any]:
        """Return the problem as the API shows it."""
        return asdict(self)


def unexpected(error: Exception, file: str) -> Problem:
    """Return the problem for an unexpected exception while reading a file."""
    found = shortened(" ".join(str(error).split()))
    message = f"an unexpected error while reading it: {type(error).__name__}: {found}"
    return Problem(message, file, 1, 1, "This is a bug in dli; please report it.")


def shortened(text: str, most: int = MAX_MESSAGE) -> str:
    """Return a text, without its middle if it has more than so many characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[: half - 1]}…{text[-half:]}"


def first_of(problems: Iterable[Problem]) -> list[Problem]:
    """Return at most :data:`MAX_PROBLEMS` problems and, if there are more, one that says so."""
    found = list(islice(problems, MAX_PROBLEMS + 1))
    if len(found) <= MAX_PROBLEMS:
        return found
    *told, last = found
    message = f"there are more than {MAX_PROBLEMS} problems; the others are not shown."
    return [*told, Problem(message, last.file, last.line, last.column, severity=last.severity)]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return a hint with the known word nearest to an unknown one, if one is near."""
    if len(word) > MAX_WORD:
        return None
    known = list(known)
    exact = [candidate for candidate in known if candidate.lower() == word.lower()]
    close = [candidate for candidate in known[:MAX_KNOWN] if len(candidate) <= MAX_WORD]
    found = exact or get_close_matches(word, close, n=1, cutoff=0.6)
    return f"Did you mean '{found[0]}'?" if found else None


def name_taken(name: str, first: str) -> str:
    """Return the message for a dataset name that another file already defines."""
    return f"duplicate dataset name '{name}': already defined in {first}."


def in_reading_order(problems: Iterable[Problem], first: str) -> tuple[Problem, ...]:
    """Return problems sorted by file, line and column, with one file first."""
    return tuple(sorted(problems, key=lambda it: (it.file != first, it.file, it.line or 0, it.column or 0)))
