"""Encode the date that a scheduled run builds in the start of its data interval, as Airflow stores it.

Ticks are on whole minutes, so the microseconds of a start are free: their last digit is the number of days from the
start's UTC date to the date (9 means one day before), and the tens count the runs that had to share one start.
Airflow 2.11 and 3 keep the start of scheduled runs and of their own backfills.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_DAY = timedelta(days=1)
_TURN = 10
"""Microseconds between runs that share one start."""


def encoded(start: datetime, date: str, *, turn: int = 0) -> datetime:
    """Return a start that encodes a date, and how many runs had the same start before."""
    days = datetime.fromisoformat(date).date() - start.astimezone(UTC).date()
    return start.replace(microsecond=turn * _TURN + days.days % _TURN)


def date_of(start: datetime) -> str:
    """Return the local date that a scheduled run builds, or in which it starts, by its stored start."""
    days = start.microsecond % _TURN
    days -= _TURN if days > _TURN // 2 else 0
    return (start.astimezone(UTC).date() + days * _DAY).isoformat()


def turn_of(start: datetime) -> int:
    """Return how many runs had the same start before; above 0 the stored interval is not the real one."""
    return start.microsecond // _TURN
