"""Answers that may be old: the last ones of Airflow or the store (specification 18.7)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import FIFOCache

from basecamp.shared.clock import Clock
from dataspec.errors import AirflowUnreachable, StoreUnreachable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MAX_KEPT = 500


@dataclass(frozen=True, slots=True)
class ValueWithWarnings(Generic[T_co]):
    """A value, with a warning for each part that may be old."""

    value: T_co
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage(Generic[T_co]):
    """A page of a list, with the cursor of the next page."""

    items: Sequence[T_co]
    next_cursor: str | None = None
    warnings: tuple[str, ...] = ()


class LastAnswers(Generic[T]):
    """Keeps the last good answer to each question, for when the next one fails."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: FIFOCache[Hashable, tuple[T, float]] = FIFOCache(MAX_KEPT)
        self._lock = threading.Lock()

    def read(self, question: Hashable, ask: Callable[[], ValueWithWarnings[T]]) -> ValueWithWarnings[T]:
        """Ask; if that fails, return the last answer to the same question, with a warning.

        Raises:
            AirflowUnreachable: When there is no answer, and never was.
            StoreUnreachable: As well.
        """
        try:
            known = ask()
        except (AirflowUnreachable, StoreUnreachable) as error:
            with self._lock:
                kept = self._kept.get(question)
            if kept is None:
                raise
            value, at = kept
            return ValueWithWarnings(value, (warning(error.title, self._clock.monotonic() - at),))
        if not known.warnings:
            with self._lock:
                self._kept[question] = known.value, self._clock.monotonic()
        return known


def warning(reason: str, age_seconds: float) -> str:
    """Return a warning: what does not answer, and the age of the value shown instead."""
    return f"{reason} What is shown is {_age(age_seconds)} old."


def _age(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"
