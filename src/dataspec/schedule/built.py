"""What a dataset has built: unions of dates and of moments (docs/waiting.md, "What was built").

The text of a value is kept in Airflow's Variable of the dataset (``dataspec.contract.built_variable``). Workers,
triggerers and Basecamp read it, add to it by union and write it again, so the order of their writes does not matter.
All functions are pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from dataspec.errors import CorruptObject, NewerFormat
from dataspec.schedule.cron import check_timezone
from dataspec.schedule.partitions import Grid, Partition
from dataspec.stored_document import Moment, StoredDocument, StoredPart

MAX_RANGES = 500
"""Maximum number of ranges of dates, and of moments: the text stays below 40 KiB, and below 64 KiB encrypted."""

_DAY = timedelta(days=1)
_FIRST_DATE = "1000-01-01"
"""From here on a date has a midnight in every time zone."""
_Point = TypeVar("_Point", date, datetime)


class Extent(Protocol):
    """What a partition, or a need of several partitions, covers."""

    @property
    def start(self) -> datetime:
        """The moment of its start."""
        ...

    @property
    def end(self) -> datetime:
        """The moment of its end, which it does not include."""
        ...

    @property
    def dates(self) -> tuple[date, ...]:
        """The local dates that it covers, one after the other; empty if it is finer than a day."""
        ...


def _date(value: Any) -> date:
    """Return a date of ISO text; refuse numbers, which pydantic reads as seconds since 1970."""
    if type(value) is date:
        return value
    if isinstance(value, str) and value >= _FIRST_DATE:
        return date.fromisoformat(value)
    raise ValueError(f"not a date from {_FIRST_DATE} on")


def _united(ranges: Iterable[tuple[_Point, _Point]]) -> tuple[tuple[_Point, _Point], ...]:
    """Return the union of ranges that exclude their end, in order; the oldest are left out above the maximum."""
    joined: list[tuple[_Point, _Point]] = []
    for start, end in sorted(ranges):
        if end <= start:
            raise ValueError("a range ends before it starts")
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined[-MAX_RANGES:])


def _in_utc(ranges: tuple[tuple[datetime, datetime], ...]) -> tuple[tuple[datetime, datetime], ...]:
    try:
        return tuple((start.astimezone(UTC), end.astimezone(UTC)) for start, end in ranges)
    except OverflowError:
        raise ValueError("a time is outside the years 1 to 9999") from None


_Date = Annotated[date, BeforeValidator(_date)]
_Dates = Annotated[tuple[tuple[_Date, _Date], ...], AfterValidator(_united)]
_Moments = Annotated[tuple[tuple[Moment, Moment], ...], AfterValidator(_in_utc), AfterValidator(_united)]


class BuiltBy(StoredPart):
    """The partitions of the schedule by which a dataset's last success was built, as stored."""

    cron: str | None = None
    """The cron expression; None for a dataset without a schedule."""
    timezone: Annotated[str, AfterValidator(check_timezone)] = "UTC"
    """The IANA time zone of its clock."""


class Built(StoredDocument):
    """What a dataset has built.

    Each range excludes its end. At most :data:`MAX_RANGES` of either kind are kept, the newest ones: a need that is
    older than those counts as not built, never the reverse.
    """

    dates: _Dates = ()
    """Ranges of local dates that were built as partitions of whole dates."""
    moments: _Moments = ()
    """Ranges of time that were built as partitions finer than a day."""
    last: Moment | None = None
    """When the last run succeeded; None if none ever did."""
    grid: BuiltBy = Field(default_factory=BuiltBy)
    """The schedule by which that run built."""
    complete: bool = False
    """Whether Basecamp has added the runs from before the first value; False again after a value was lost."""

    def with_partition(self, partition: Partition | None, *, at: datetime, grid: Grid) -> Built:
        """Return the value after a success.

        Args:
            partition: The partition that the run built; None for a run without one. A run that builds none, or one
                that the schedule does not have, counts as the last success alone.
            at: When the run succeeded.
            grid: The partitions of the schedule by which it was built.
        """
        added = Built(last=at, grid=BuiltBy(cron=grid.cron, timezone=grid.zone))
        if partition is None or partition.off_schedule:
            return self.union(added)
        if partition.dates:
            return self.union(added.changed(dates=(_range_of(partition.dates),)))
        return self.union(added.changed(moments=_in_utc(((partition.start, partition.end),))))

    def union(self, other: Built) -> Built:
        """Return what either of two values holds, with the last success of both."""
        older, newer = sorted((self, other), key=lambda one: (one.last is not None, one.last))
        return newer.changed(
            dates=_united(self.dates + other.dates),
            moments=_united(self.moments + other.moments),
            complete=self.complete or other.complete,
            format=max(older.format, newer.format),
        )

    def lacks(self, other: Built) -> bool:
        """Return whether another value adds what a run may need; a later time of the last success alone is nothing."""
        united = self.union(other)
        return united != self and (self.last is None or united.changed(last=self.last) != self)

    def covers(self, wanted: Extent) -> bool:
        """Return whether everything that a partition or a need covers was built.

        Dates are compared with dates, whatever the zones. After a change between schedules of whole dates and finer
        ones both count: a date is then the time from midnight to midnight in the zone of ``grid``.
        """
        if wanted.dates and _within(_range_of(wanted.dates), self.dates):
            return True
        moments = _united((*self.moments, *self._dates_as_moments()))
        return _within(_in_utc(((wanted.start, wanted.end),))[0], moments)

    def _dates_as_moments(self) -> Iterator[tuple[datetime, datetime]]:
        grid = Grid(self.grid.cron, self.grid.timezone)
        for start, end in self.dates:
            yield grid.midnight(start), grid.midnight(end)

    @classmethod
    def parse(cls, text: str | None) -> ReadBuilt:
        """Read the text of a Variable, None if there is none; never raise, since a run that waits has to go on."""
        if text is None:
            return ReadBuilt(cls())
        try:
            return ReadBuilt(cls.read(_Text(text.encode(errors="replace"))))
        except NewerFormat as error:
            return ReadBuilt(cls(), error.reason, may_be_written=False)
        except CorruptObject as error:
            return ReadBuilt(cls(), error.reason)

    def text(self) -> str:
        """Return the text for :meth:`parse`."""
        return json.dumps(self.to_json(), separators=(",", ":"))


class ReadBuilt(NamedTuple):
    """What was read of a Variable."""

    built: Built
    """The value; empty if the text can't be read."""
    problem: str | None = None
    """Why the text can't be read."""
    may_be_written: bool = True
    """False if a newer version wrote the text: this version doesn't write over it."""


class _Text(NamedTuple):
    body: bytes
    key: str = "Variable"


def _within(wanted: tuple[_Point, _Point], ranges: Iterable[tuple[_Point, _Point]]) -> bool:
    return any(start <= wanted[0] and wanted[1] <= end for start, end in ranges)


def _range_of(dates: tuple[date, ...]) -> tuple[date, date]:
    return dates[0], dates[-1] + _DAY
