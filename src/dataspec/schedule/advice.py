"""Warn of schedules that mean something else, or run less often, than people who come from Airflow expect."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from dataspec.schedule.cron import NoTick, day_fields, follows_the_clock, hours_of, next_tick, skipped_hours

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_GAP = 2
"""Hours that a clock skips at most: Antarctica/Troll."""
_TWO_YEARS = timedelta(days=730)
_SECOND = timedelta(seconds=1)
_EVERY = {0: "0-59", 1: "0-23", 2: "1-31", 4: "0-6"}
"""What a field's ``*`` stands for."""


def schedule_advice(cron: str, zone: str, today: datetime) -> Iterator[tuple[str, str]]:
    """Yield a message and a hint for each surprise of a schedule.

    Args:
        cron: A valid cron expression.
        zone: The IANA time zone of its clock.
        today: The changes of the clock in the two years after this are looked at.
    """
    number = _days_of_both(cron)
    if number is not None:
        star, other = cron.split()[number], cron.split()[6 - number]
        yield (
            (
                f"'{cron}' fires on days that match both '{star}' and '{other}', as in Debian's cron; "
                "Airflow's own schedules fire on days that match either."
            ),
            f"For either, write: {_without_star(cron, number)}",
        )
    lost = _lost_day(cron, zone, today.date())
    if lost is not None:
        yield (
            (
                f"'{cron}' has no run on {lost:%Y-%m-%d}: the clock of {zone} skips its time, and an expression "
                "with * in its minutes or hours follows the clock."
            ),
            f"To run right after the skipped time, write: {_without_star(cron, 0, 1)}",
        )


def _days_of_both(cron: str) -> int | None:
    """Return the field of days that begins with ``*`` and still leaves days out, where the other does as well."""
    days, weekdays = day_fields(cron)
    if days and weekdays:
        return next((number for number in (2, 4) if cron.split()[number].startswith("*")), None)
    return None


def _without_star(cron: str, *numbers: int) -> str:
    fields = cron.split()
    for number in numbers:
        fields[number] = fields[number].replace("*", _EVERY[number], 1)
    return " ".join(fields)


@lru_cache(maxsize=4096)
def _lost_day(cron: str, zone: str, today: date) -> datetime | None:
    """Return the first local day on which a change of the clock skips every tick."""
    if not follows_the_clock(cron) or len(hours_of(cron)) > _LONGEST_GAP:
        return None
    begin = datetime.combine(today, time(), UTC)
    for day in skipped_hours(zone, begin, begin + _TWO_YEARS):
        midnight = day.replace(tzinfo=ZoneInfo(zone))
        try:
            expected = next_tick(cron, "UTC", day.replace(tzinfo=UTC) - _SECOND)
            found = next_tick(cron, zone, midnight.astimezone(UTC) - _SECOND)
        except NoTick:
            return None
        if expected.date() == day.date() < found.astimezone(ZoneInfo(zone)).date():
            return day
    return None
