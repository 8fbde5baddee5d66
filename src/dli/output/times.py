"""Format times: runs in the user's time zone, the next run in its schedule's."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any

from dataspec.errors import InvalidUsage
from dataspec.schedule.relative_dates import DAYS_AGO, days_ago

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.models import RunPartition

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}$", re.ASCII)
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}


def in_zone(moment: datetime, zone: str | None) -> str:
    """Return ``YYYY-MM-DD HH:MM`` in a schedule's time zone (specification 20.11).

    The server sends the next run with the schedule's offset; only a time in UTC may need the
    zone to be loaded.
    """
    if not moment.utcoffset():
        moment = moment.astimezone(_zone(zone) or moment.tzinfo)
    return moment.strftime("%Y-%m-%d %H:%M")


def local(moment: datetime | None) -> str:
    """Return ``YYYY-MM-DD HH:MM:SS`` in the user's time zone; ``-`` for None."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "-"


def relative_date(parameters: Mapping[str, Any], partition: RunPartition | None) -> str | None:
    """Return what a relative ``execution_date`` means, and by which clock; None if it is not relative."""
    from dataspec.parameters import EXECUTION_DATE

    given = parameters.get(EXECUTION_DATE)
    if partition is None or days_ago(given) is None:
        return None
    clock = f"the clock of the schedule's time zone (UTC{partition.start:%z})"
    return f"{EXECUTION_DATE}={given}: {partition.name}, by {clock}."


def spanned(partition: RunPartition | None, label: str | None = None) -> str | None:
    """Return a partition's label, or its name, with what it covers in the schedule's time zone; None without one."""
    if partition is None:
        return None
    start, end = (moment.isoformat(timespec="minutes") for moment in (partition.start, partition.end))
    return f"{label or partition.name} ({start} to {end})"


def built(partition: RunPartition | None, label: str | None) -> str | None:
    """Return a message of what a run builds; None for a single date, which its ``execution_date`` says already."""
    if partition is None:
        return None
    start, end = partition.start.date(), partition.end.date()
    one_date = partition.name == start.isoformat() and (end - start).days == 1
    return None if one_date else f"Partition: {spanned(partition, label)}"


def duration(span: timedelta) -> str:
    """Return a duration in its two largest units, such as ``1h 02m`` or ``4s``."""
    seconds = max(0, round(span.total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {seconds:02}s" if minutes else f"{seconds}s"


def between(start: datetime | None, end: datetime | None) -> str | None:
    """Return the duration between two times; None if one is unknown."""
    return duration(end - start) if start and end else None


def parse_moment(text: str, *, end_of_day: bool = False, now: datetime | None = None) -> datetime:
    """Parse a date, a time, or an age such as ``2d``; without an offset it is in the user's time zone.

    Args:
        text: Such as ``2024-01-15``, ``yesterday``, ``2024-01-15T09:00:00+09:00``, or ``2d``: two days ago. The units
            are ``w``, ``d`` (24 hours), ``h`` and ``m`` (minutes).
        end_of_day: Take a date without a time as the end of that day.
        now: The current time; the clock's by default.

    Raises:
        InvalidUsage: For any other text.
    """
    number, unit = text.strip()[:-1], text.strip()[-1:]
    try:
        if (word := text.strip().lower()) in DAYS_AGO:
            today = (now or datetime.now(UTC)).astimezone().date()
            day = (today - timedelta(days=DAYS_AGO[word])).isoformat()
            return parse_moment(day, end_of_day=end_of_day)
        if unit in _UNITS and number.isdecimal():
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[unit]: int(number)})
        moment = datetime.fromisoformat(text.strip())
        if end_of_day and len(text.strip()) <= len("2024-01-15"):
            moment += timedelta(days=1)
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError) as error:
        is_none = isinstance(error, ValueError) and _DATE.match(text.strip())
        reason = ": there is no such date" if is_none else ""
        raise InvalidUsage(
            f"Invalid time '{text}'{reason}.",
            detail="Write it as 2024-01-15, as 2024-01-15T09:00, as yesterday, or as 2d or 12h for that long ago.",
        ) from None


@cache
def _zone(name: str | None) -> tzinfo | None:
    """Return a time zone; None if this machine does not know it, and the server's offset is kept."""
    if name in (None, "UTC"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name or "")
    except (ZoneInfoNotFoundError, ValueError):
        return None
