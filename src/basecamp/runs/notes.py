"""The notes of runs in Airflow, which say who started, stopped or retried them (specification 26.78)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from basecamp.airflow.models import STARTED_BY

MAX_NOTE_LENGTH = 1000
"""Airflow's own limit."""
STOPPED_BY = "Stopped by"
"""The beginning of a stopped run's note; Airflow itself only knows ``failed``."""
RETRIED_BY = "Retried by"
"""The beginning of a retried run's note; it replaces the mark of a stop."""
STILL_THERE = "The process of the attempt was not seen to end; its query may still run."

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d:\d\d"
_LIKE_A_TIME = re.compile(r" at (?=\d{4}-)")
_NOTE = re.compile(
    rf"(?P<mark>{STOPPED_BY}|{RETRIED_BY}) (?P<by>.+?) at (?P<at>{_TIME})"
    r"(?: in attempt \d+| before its first attempt| after attempt \d+)?(?:: (?P<reason>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class NotedAct:
    """What a note says: who did it, when and why."""

    mark: str
    """:data:`STOPPED_BY` or :data:`RETRIED_BY`."""
    by: str
    at: datetime
    reason: str | None = None


def note_of_stop(by: str, at: datetime, attempt: int, reason: str | None) -> str:
    """Return the note of a stopped run; attempt 0 for one that had not begun."""
    return _note(
        STOPPED_BY, by, at, f" in attempt {attempt}" if attempt else " before its first attempt", reason
    )


def note_of_retry(by: str, at: datetime, attempt: int, before: str | None) -> str:
    """Return the note of a retried run, with its note before; that of its start says nothing new."""
    note = _note(RETRIED_BY, by, at, f" after attempt {attempt}" if attempt else "", None)
    told = before if before and not before.startswith(STARTED_BY) else None
    return (f"{note}. Before: {told}" if told else note)[:MAX_NOTE_LENGTH]


def _note(mark: str, by: str, at: datetime, during: str, reason: str | None) -> str:
    name = _LIKE_A_TIME.sub(" @ ", by)  # else a name could end with another one's act
    note = f"{mark} {name} at {at.isoformat(timespec='seconds')}{during}"
    return (f"{note}: {reason}" if reason else note)[:MAX_NOTE_LENGTH]


def read_note(note: str | None) -> NotedAct | None:
    """Return who stopped or retried a run last, by its note; None for any other note."""
    found = _NOTE.match(note or "")
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(found["at"])
    except ValueError:
        return None
    reason = (found["reason"] or "").removesuffix(STILL_THERE).strip() or None
    return NotedAct(found["mark"], found["by"], at, reason if found["mark"] == STOPPED_BY else None)
