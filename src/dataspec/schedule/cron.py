"""Compute the ticks of a cron expression in a time zone (specification 11.1).

Ticks follow Debian's cron, including clock changes: a job at a fixed time that a change skips runs right
after it, and one that a change repeats runs once. All functions are pure.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from dataspec.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator


class NoTick(ValueError):
    """A schedule does not fire again in the years that dates have."""


Interval = tuple[datetime, datetime]
"""Start and end of a run's data interval, in UTC; the run is due at the end."""

MAX_CRON = 500
"""Maximum number of characters of a cron expression."""

_FIELDS = 5
_MOMENT = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_LOOK_BACK = tuple(timedelta(days=days) for days in (1 / 24, 25 / 24, 8, 32, 367, 366 * 9, 366 * 51))
"""How far to look for the last tick: a 29 February that is a Sunday comes every 28 years, and once after 40."""


@lru_cache(maxsize=1024)
def check_cron(expression: str) -> str:
    """Return a cron expression with its five fields separated by one blank.

    Raises:
        ValueError: When it is invalid, or never fires.
    """
    if len(expression) > MAX_CRON:
        raise ValueError(f"the cron expression has {len(expression):,} characters; {MAX_CRON} are allowed.")
    fields = expression.split()
    if len(fields) != _FIELDS:
        raise ValueError(
            f"'{expression}' has {len(fields)} fields; a cron expression has five: "
            "minute, hour, day of month, month, day of week."
        )
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"'{expression}' is not a cron expression: {str(error).lower()}.") from None
    except StopIteration:
        raise ValueError(f"'{expression}' never fires.") from None
    return " ".join(fields)


def check_timezone(name: str) -> str:
    """Return the name of an IANA time zone unchanged.

    Raises:
        ValueError: For an unknown name; with the nearest one, if there is one.
    """
    if name not in _zone_names():
        hint = nearest(name, _zone_names())
        raise ValueError(f"'{name}' is not an IANA time zone." + (f" {hint}" if hint else ""))
    return name


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime", "posixrules"}


def next_tick(cron: str, zone: str, after: datetime) -> datetime:
    """Return the first tick after a moment, in UTC.

    Raises:
        NoTick: When there is none before the year 10000.
    """
    return _first(cron, (tick for tick in _ticks(cron, zone, after) if tick > after))


@lru_cache(maxsize=65_536)
def is_tick(cron: str, zone: str, moment: datetime) -> bool:
    """Return whether a cron expression fires at a moment; cached, since lists of runs check it often."""
    return next_tick(cron, zone, moment - _MOMENT) == moment


def previous_tick(cron: str, zone: str, before: datetime) -> datetime:
    """Return the last tick before a moment, in UTC.

    Raises:
        NoTick: When there is none within 51 years.
    """
    for span in _LOOK_BACK:
        last = None
        for tick in _ticks(cron, zone, before - span):
            if tick >= before:
                break
            last = tick
        if last is not None:
            return last
    raise NoTick(f"'{cron}' did not fire in 51 years before {before}.")


def _ticks(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """Yield ticks in increasing order; of a fixed time that the clock repeats, the first may be before ``after``.

    As in Debian's cron, an expression with ``*`` in its minutes or hours follows the clock through a change. Any
    other one has fixed times, which cronsim moves out of an hour that the clock skips.
    """
    cron, local = _with_fixed_time(cron), ZoneInfo(zone)
    if follows_the_clock(cron):
        yield from _clock_ticks(cron, local, after.astimezone(UTC))
        return
    last = None
    for found in _until_year_10000(CronSim(cron, after.astimezone(local))):
        tick = found.astimezone(UTC)
        if last is None or tick > last:
            last = tick
            yield tick


def follows_the_clock(cron: str) -> bool:
    """Return whether an expression has ``*`` in its minutes or hours, so that it has no fixed time."""
    minutes, hours, *_ = _with_fixed_time(cron).split()
    return minutes.startswith("*") or hours.startswith("*")


def _clock_ticks(cron: str, local: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Yield each moment whose local time the expression matches.

    Between two changes of the clock local time runs evenly, so cronsim counts it without a zone. With one, its
    steps of an hour miss ticks after a change of half an hour (Lord Howe), and a clock that is set back at 00:01
    (St. John's until 2011) keeps it from advancing.
    """
    offset = _offset(local, after)
    while True:
        change = None
        for found in _until_year_10000(CronSim(cron, after.replace(tzinfo=None) + offset)):
            tick = found.replace(tzinfo=UTC) - offset
            change = _first_change(local, after, tick, offset)
            if change is not None:
                break
            after = tick
            yield tick
        if change is None:
            return
        offset, after = _offset(local, change), change - _SECOND


def _offset(local: ZoneInfo, moment: datetime) -> timedelta:
    offset = moment.astimezone(local).utcoffset()
    assert offset is not None  # noqa: S101 - every zone has an offset at every moment
    return offset


def _first_change(local: ZoneInfo, after: datetime, until: datetime, offset: timedelta) -> datetime | None:
    """Return the first moment after one, at the latest ``until``, that has another offset; None without a change."""
    same, other = after, min(after + _DAY, until)
    while _offset(local, other) == offset:
        if other == until:
            return None
        same, other = other, min(other + _DAY, until)
    while other - same > _SECOND:
        middle = same + (other - same) // 2
        same, other = (middle, other) if _offset(local, middle) == offset else (same, middle)
    return other.replace(microsecond=0)


def _until_year_10000(ticks: Iterator[datetime]) -> Iterator[datetime]:
    with suppress(OverflowError):
        yield from ticks


def _first(cron: str, ticks: Iterator[datetime]) -> datetime:
    found = next(ticks, None)
    if found is None:
        raise NoTick(f"'{cron}' does not fire again before the year 10000.")
    return found


def ticks_since(cron: str, zone: str, start: datetime) -> Iterator[datetime]:
    """Yield the ticks from a moment on, in UTC and in order."""
    return (tick for tick in _ticks(cron, zone, start - _MOMENT) if tick >= start)


def runs_within_a_day(cron: str) -> bool:
    """Return whether a schedule may have more than one run on a date."""
    return _time_of_day(cron) is None


def time_of_day(cron: str) -> time:
    """Return the local time of the one run that a schedule has on a date."""
    found = _time_of_day(cron)
    if found is None:
        raise ValueError(f"'{cron}' may have several runs on a date.")
    return found


def fires_on(cron: str, day: date) -> bool:
    """Return whether a cron expression matches a local date, at whatever time."""
    fields = _fields(cron)
    return day.month in fields.months and fields.match_day(day)


@lru_cache(maxsize=65_536)
def _time_of_day(cron: str) -> time | None:
    fields = _fields(cron)
    several = len(fields.minutes) * len(fields.hours) > 1
    return None if several else time(min(fields.hours), min(fields.minutes))


@lru_cache(maxsize=1024)
def _fields(cron: str) -> CronSim:
    return CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC))


def hours_of(cron: str) -> frozenset[int]:
    """Return the hours of the clock at which an expression fires."""
    return frozenset(_fields(cron).hours)


def day_fields(cron: str) -> tuple[bool, bool]:
    """Return whether an expression leaves out days of the month, and days of the week."""
    fields = _fields(cron)
    return any(day not in fields.days for day in range(1, 32)), any(
        {day, day % 7}.isdisjoint(fields.weekdays) for day in range(1, 8)
    )


def skipped_hours(zone: str, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the local days, as naive midnights, on which the clock of a zone skips a time."""
    local = ZoneInfo(zone)
    offset = _offset(local, begin)
    while (change := _first_change(local, begin, end, offset)) is not None:
        before, offset = offset, _offset(local, change)
        if offset > before:
            day = (change - _SECOND).astimezone(local).replace(tzinfo=None)
            for midnight in dict.fromkeys((day.date(), (day + (offset - before) + _SECOND).date())):
                yield datetime.combine(midnight, datetime.min.time())
        begin = change - _SECOND


@lru_cache(maxsize=65_536)
def _with_fixed_time(cron: str) -> str:
    """Return an expression of one time a day without stars in it, such as ``0 0 * * *`` for ``0 */24 * * *``.

    A clock change moves jobs at a fixed time alone; one at ``*/24`` would run twice in an hour that is repeated.
    """
    at = _time_of_day(cron)
    return cron if at is None else " ".join([str(at.minute), str(at.hour), *cron.split()[2:]])
