"""Name the partitions of a schedule, and compute what each covers (docs/partitions.md).

All functions are pure. With a schedule of at most one tick a local day, and without a schedule, partitions are whole
local dates, and the hour of the tick only says when a run is due. With a finer schedule they are its data intervals.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from dataspec.parameters import ParameterValueError, coerce_date, coerce_datetime
from dataspec.schedule.cron import (
    Interval,
    NoTick,
    fires_on,
    next_tick,
    previous_tick,
    runs_within_a_day,
    ticks_since,
    time_of_day,
)
from dataspec.schedule.stored_start import date_of, turn_of
from dataspec.schedule.upstream_clock import Clock

T = TypeVar("T")

FIRST_YEAR, LAST_YEAR = 1000, 9998
"""Between these years every date has a midnight in every time zone."""

_MOMENT = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_FIRST_DATE, _LAST_DATE = date(1, 1, 2), date(9999, 12, 30)
_SEARCHED_DAYS = 366 * 51
"""How far to look for a date of a schedule: a 29 February that is a Sunday comes every 28 years, and once after 40."""
SHORTEST_DAY = timedelta(hours=22)
"""Minimum length of an interval that covers its date: Antarctica/Troll changes its clock by two hours."""
_LENGTH_OF_A_DATE = len("2024-01-15")


class Schedule(Protocol):
    """The part of a spec's schedule that determines its partitions."""

    @property
    def clock(self) -> Clock | None:
        """The cron expression and its time zone; None while they are not known."""


@dataclass(frozen=True, slots=True)
class Partition:
    """What one run builds: a span of time with a name."""

    name: str
    """The ``execution_date``: a local date, or for a finer schedule the local start with its offset."""
    start: datetime
    """With the offset of the schedule's zone, as is the end."""
    end: datetime
    off_schedule: bool = False
    """Whether the schedule has no such partition: a date that a user named, which does not count as built."""

    def __str__(self) -> str:
        return f"{self.name} ({self.start.isoformat()} to {self.end.isoformat()})"

    @property
    def is_finer_than_a_day(self) -> bool:
        """Whether it covers a data interval, and not whole local dates."""
        return len(self.name) > _LENGTH_OF_A_DATE

    @property
    def local_date(self) -> str:
        """The local date on which it starts."""
        return self.name[:_LENGTH_OF_A_DATE]

    @property
    def dates(self) -> tuple[date, ...]:
        """The local dates that it covers; empty for a partition that is finer than a day."""
        if self.is_finer_than_a_day:
            return ()
        first = date.fromisoformat(self.name)
        return tuple(first + number * _DAY for number in range((self.end.date() - first).days))


@dataclass(frozen=True, slots=True)
class Grid:
    """The partitions of a schedule. They follow one another without gap or overlap."""

    cron: str | None
    """None without a schedule: each date is a partition."""
    zone: str = "UTC"

    @classmethod
    def of(cls, schedule: Schedule | None) -> Grid:
        """Return the partitions of a spec's schedule, whether it is enabled or not."""
        clock = schedule.clock if schedule else None
        return cls(*clock) if clock else cls(None)

    @property
    def is_finer_than_a_day(self) -> bool:
        """Whether several partitions may start on one date."""
        return self.cron is not None and runs_within_a_day(self.cron)

    def named(self, text: Any) -> Partition:
        """Return the partition that a user names, by a date or by a time with or without offset.

        Raises:
            ParameterValueError: For a time at which no partition starts, a time that the clock repeats and that has
                no offset, and a text that is neither a date nor a time. The hint names what can be given.
        """
        given = read_moment(text)
        if not isinstance(given, datetime):
            return self._of_date(given)
        moments = self._moments(given)
        found = [partition for moment in moments if (partition := self._starting_at(moment))]
        if len(found) > 1:
            names = " or ".join(partition.name for partition in found)
            raise ParameterValueError(
                f"the clock of {self.zone} shows {text.strip()} twice.",
                hint=f"Give it with its offset: {names}.",
            )
        if not found:
            near = moments[0] if moments else given.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)
            raise self._no_start(text.strip(), near)
        return found[0]

    def of_run(self, interval: Interval) -> Partition:
        """Return the partition of a scheduled run, which after a change of the schedule may be larger or smaller.

        Args:
            interval: Its data interval as Airflow stores it.
        """
        start, end = interval
        real = not turn_of(start)
        if self.is_finer_than_a_day or (real and end - start < SHORTEST_DAY):
            return self._spanning(start.replace(microsecond=0), end)
        day = date.fromisoformat(date_of(start))
        if real:
            return self._from_to(day, day + round((end - start) / _DAY) * _DAY)
        return replace(self._of_date(day), off_schedule=False)

    def starting_within(self, start: datetime, end: datetime) -> Iterator[Partition]:
        """Yield the partitions that start from ``start`` on and before ``end``, in order."""
        for partition in self._since(start):
            if partition.start >= end:
                return
            yield partition

    def starting_on(self, first: date, last: date) -> Iterator[Partition]:
        """Yield the partitions that start on local dates, both included, in order."""
        return self.starting_within(self.midnight(first), self.midnight(last + _DAY))

    def covering(self, moment: datetime) -> Partition:
        """Return the partition that covers a moment.

        Raises:
            NoTick: When no partition starts within 51 years before it, or it has no end before the year 10000.
        """
        if self.is_finer_than_a_day:
            start = previous_tick(self._cron, self.zone, moment + _MOMENT)
            return self._spanning(start, next_tick(self._cron, self.zone, start))
        # Where the clock is set back at 00:01, the first minute of a date comes before the end of the date before.
        local = moment.astimezone(ZoneInfo(self.zone)).date() + _DAY
        return self._dated(
            self._first(day for day in self._dates(local, -_DAY) if self.midnight(day) <= moment)
        )

    def previous(self, partition: Partition) -> Partition:
        """Return the last partition that starts before another one.

        Raises:
            NoTick: When none starts within 51 years before it.
        """
        return self.covering(partition.start - _MOMENT)

    def following(self, partition: Partition) -> Partition:
        """Return the first partition that starts after another one has started.

        Raises:
            NoTick: When there is none that ends before the year 10000.
        """
        return self._first(self._since(partition.start + _MOMENT))

    def last_due(self, moment: datetime) -> Partition:
        """Return the last partition whose scheduled run is due by a moment.

        Raises:
            NoTick: When none is due within 51 years before it.
        """
        found = self.covering(moment)
        while self.data_interval(found)[1] > moment:
            found = self.previous(found)
        return found

    def label(self, partition: Partition) -> str:
        """Return a partition's name as tables show it: with its offset only if the clock shows the time twice."""
        return label_of(partition.name, self.zone)

    def midnight(self, day: date) -> datetime:
        """Return the first moment of a local date: a later one than midnight where the clock skips it."""
        return datetime.combine(day, time(), ZoneInfo(self.zone)).astimezone(UTC)

    def data_interval(self, partition: Partition) -> Interval:
        """Return the data interval of the scheduled run that builds a partition; its own span if there is none."""
        if self.cron is not None and not partition.is_finer_than_a_day and not partition.off_schedule:
            with suppress(NoTick):
                return self.interval_from(date.fromisoformat(partition.name))
        return partition.start.astimezone(UTC), partition.end.astimezone(UTC)

    def interval_of_run(self, interval: Interval) -> Interval:
        """Return the real data interval of a scheduled run, also if Airflow stores another one."""
        start, end = interval
        if not turn_of(start) or self.is_finer_than_a_day:
            return start.replace(microsecond=0), end
        return self.data_interval(self._of_date(date.fromisoformat(date_of(start))))

    def interval_from(self, day: date) -> Interval:
        """Return the first data interval whose run builds a date or a later one.

        Raises:
            NoTick: When it would not end before the year 10000.
        """
        ticks = ticks_since(self._cron, self.zone, self.midnight(day))
        return self._first(pairwise(tick for tick in ticks if self.date_of_tick(tick) >= day))

    def date_of_tick(self, tick: datetime) -> date:
        """Return the date that the run of the data interval from a tick builds: the tick's local date.

        Where the clock jumps from 23:00 to midnight (Nuuk, in spring), a job at 23:30 runs on the next date, and
        still builds its own date.
        """
        local = tick.astimezone(ZoneInfo(self.zone))
        put_off = not self.is_finer_than_a_day and local.time() < time_of_day(self._cron)
        return local.date() - put_off * _DAY

    @property
    def _cron(self) -> str:
        if self.cron is None:
            raise ValueError("a dataset without a schedule has no ticks")
        return self.cron

    def _first(self, found: Iterator[T]) -> T:
        for item in found:
            return item
        raise NoTick(f"'{self.cron}' has no such tick within 51 years, or before the year 10000.")

    def _since(self, start: datetime) -> Iterator[Partition]:
        if self.is_finer_than_a_day:
            ticks = map(self._local, ticks_since(self._cron, self.zone, start))
            return (Partition(_name(begin), begin, end) for begin, end in pairwise(ticks))
        first = start.astimezone(ZoneInfo(self.zone)).date()
        while self.midnight(first) < start:
            first += _DAY
        return (self._from_to(day, following) for day, following in pairwise(self._dates(first, _DAY)))

    def _starting_at(self, moment: datetime) -> Partition | None:
        with suppress(NoTick):
            found = self.covering(moment)
            return found if found.start == moment else None
        return None

    def _of_date(self, day: date) -> Partition:
        """Return the partition of a date; of a finer schedule the first one on that date."""
        if self.is_finer_than_a_day:
            found = next(self.starting_on(day, day), None)
            if found is None:
                raise self._no_start(day.isoformat(), self.midnight(day))
            return found
        if self._has(day):
            with suppress(NoTick):
                return self._dated(day)
        return self._from_to(day, day + _DAY, off_schedule=True)

    def _dated(self, day: date) -> Partition:
        return self._from_to(day, self._first(self._dates(day + _DAY, _DAY)))

    def _from_to(self, day: date, following: date, *, off_schedule: bool = False) -> Partition:
        start, end = map(self._local, (self.midnight(day), self.midnight(following)))
        return Partition(day.isoformat(), start, end, off_schedule)

    def _spanning(self, start: datetime, end: datetime) -> Partition:
        begin = self._local(start)
        return Partition(_name(begin), begin, self._local(end))

    def _local(self, moment: datetime) -> datetime:
        """Return a moment with the zone's offset as a fixed one: two times of one zone are compared without it."""
        local = moment.astimezone(ZoneInfo(self.zone))
        return local.replace(tzinfo=timezone(local.utcoffset() or timedelta()))

    def _has(self, day: date) -> bool:
        """Return whether a partition starts on a date; none does on one that the clock skips (Apia, 2011-12-30)."""
        fires = self.cron is None or fires_on(self.cron, day)
        return fires and self._local(self.midnight(day)).date() == day

    def _dates(self, day: date, step: timedelta) -> Iterator[date]:
        """Yield the dates on which partitions start, from a date on, up or down, until 51 years have none."""
        searched = 0
        while _FIRST_DATE <= day <= _LAST_DATE and searched < _SEARCHED_DAYS:
            searched += 1
            if self._has(day):
                searched = 0
                yield day
            day += step

    def _moments(self, shown: datetime) -> list[datetime]:
        """Return the moments at which the zone's clock shows a time: none, one or two."""
        if shown.tzinfo is not None:
            return [shown.astimezone(UTC)]
        zone = ZoneInfo(self.zone)
        moments = {shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
        return sorted(
            moment for moment in moments if moment.astimezone(zone).replace(tzinfo=None, fold=0) == shown
        )

    def _no_start(self, text: str, moment: datetime) -> ParameterValueError:
        hint = None
        with suppress(NoTick):
            before = self.covering(moment)
            hint = f"The nearest are {before.name} and {self.following(before).name}."
        where = f"of '{self.cron}' in {self.zone}" if self.cron else "of a dataset without a schedule"
        return ParameterValueError(f"no partition {where} starts at {text}.", hint=hint)


def label_of(name: str, zone: str | None) -> str:
    """Return the name of a partition as tables show it: with its offset if the zone's clock shows the time twice.

    Args:
        name: The name.
        zone: The zone of the schedule; None if it is not known, and the offset is kept.
    """
    if len(name) <= _LENGTH_OF_A_DATE:
        return name
    start = datetime.fromisoformat(name)
    shown = start.replace(tzinfo=None)
    if zone is not None:
        local = ZoneInfo(zone)
        first, second = (shown.replace(tzinfo=local, fold=fold).utcoffset() for fold in (0, 1))
        start = shown if first == second else start
    return start.isoformat(" ", timespec="minutes")


def _name(start: datetime) -> str:
    return start.isoformat(timespec="minutes")


def read_moment(text: Any) -> date | datetime:
    """Read a date or a time, with or without offset, by which a user names a partition.

    Raises:
        ParameterValueError: For any other value, and a year without a midnight in every time zone.
    """
    try:
        found: date = date.fromisoformat(coerce_date(text))
    except ParameterValueError as error:
        try:
            found = datetime.fromisoformat(coerce_datetime(text))
        except ParameterValueError:
            raise error from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ParameterValueError(f"the year of {text.strip()} is not between {FIRST_YEAR} and {LAST_YEAR}.")
    return found
