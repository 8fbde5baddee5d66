"""Plan a backfill: the dates of a range, and the progress of their runs (docs/backfill.md).

All functions are pure; ``basecamp.backfills`` reads the clock, the store and Airflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from dataspec.errors import InvalidUsage
from dataspec.models import Every, RunStatus
from dataspec.parameters import ParameterValueError, coerce_date
from dataspec.schedule.partitions import FIRST_YEAR, LAST_YEAR, Grid
from dataspec.schedule.run_ids import backfill_run_id
from dataspec.stored_document import Moment, StoredDocument, StoredPart

MAX_DATES = 40_000
"""More than a hundred years of days."""
MANY_DATES = 366
"""Number of dates above which the user has to confirm."""
SHORTEST_RANGE = 3
"""Number of consecutive dates from which a plan writes them as a range."""

_DAY = timedelta(days=1)
_DATES = ("dates", "built_before", "failed")


@dataclass(frozen=True, slots=True)
class DateRange:
    """A range of dates, including both ends."""

    start: date
    end: date

    @classmethod
    def parse(cls, start: str, end: str) -> DateRange:
        """Parse a range.

        Raises:
            InvalidUsage: For an invalid date, or an end before the start.
        """
        read = cls(_date("start", start), _date("end", end))
        if read.end < read.start:
            raise InvalidUsage(
                f"The end {read.end} is before the start {read.start}.",
                detail="To build the last date first, keep the order and add: --reverse",
            )
        return read

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    def days(self) -> Iterator[str]:
        """Yield every date."""
        return ((self.start + number * _DAY).isoformat() for number in range(len(self)))

    def interval_starts(self, cron: str, zone: str) -> Iterator[str]:
        """Yield the dates that the runs of a schedule build: those on which an interval starts."""
        found = (partition.local_date for partition in Grid(cron, zone).starting_on(self.start, self.end))
        return (date for date, _ in groupby(found))


def _date(name: str, text: str) -> date:
    try:
        found = date.fromisoformat(coerce_date(text))
    except ParameterValueError as error:
        raise InvalidUsage(f"Invalid {name} date: {error}") from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise InvalidUsage(
            f"Invalid {name} date: the year of {found} is not between {FIRST_YEAR} and {LAST_YEAR}."
        )
    return found


class StopOrder(StoredPart):
    """A request to end a backfill."""

    by: str
    at: Moment
    reason: str | None = None

    def __str__(self) -> str:
        words = f"Stopped by {self.by} at {self.at.isoformat(timespec='seconds')}"
        return f"{words}: {self.reason}" if self.reason else words


class Outcome(StoredPart):
    """How a backfill ended."""

    status: RunStatus
    at: Moment
    error: str | None = None
    note: str | None = None


@lru_cache(maxsize=64)
def as_ranges(days: tuple[str, ...]) -> tuple[str, ...]:
    """Return dates as text, with ``first/last`` for each run of three or more consecutive dates, up or down."""
    return tuple(_ranges(days))


def _ranges(days: Iterable[str]) -> Iterator[str]:
    run: list[date] = []
    for day in map(date.fromisoformat, days):
        if len(run) > 1 and day - run[-1] != run[1] - run[0]:
            yield from _range(run)
            run = []
        if len(run) == 1 and abs(day - run[0]) != _DAY:
            yield run.pop().isoformat()
        run.append(day)
    yield from _range(run)


def _range(run: list[date]) -> Iterator[str]:
    if len(run) < SHORTEST_RANGE:
        return (day.isoformat() for day in run)
    return iter([f"{run[0]}/{run[-1]}"])


def from_ranges(days: Iterable[str]) -> tuple[str, ...]:
    """Return the dates that :func:`as_ranges` wrote.

    Raises:
        ValueError: For a text that is no date and no range, and for too many dates.
    """
    found: list[str] = []
    for text in days:
        first, _, last = text.partition("/")
        start, end = date.fromisoformat(first), date.fromisoformat(last or first)
        count = abs((end - start).days) + 1
        if len(found) + count > MAX_DATES:
            raise ValueError(f"more than {MAX_DATES:,} dates")
        step = _DAY if end >= start else -_DAY
        found += [(start + number * step).isoformat() for number in range(count)]
    return tuple(found)


def _dates(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not all(isinstance(day, str) for day in value):
        raise ValueError("not a list of dates")
    return from_ranges(value)


Dates = Annotated[tuple[str, ...], BeforeValidator(_dates)]


class BackfillPlan(StoredDocument):
    """A requested backfill and its progress: one object in the store.

    Format 2 writes dates as ranges: a plan of ten years has some hundred bytes, and each date's step writes it once.
    A plan of at most :data:`MANY_DATES` dates is written in format 1, which older versions read.
    """

    FORMAT: ClassVar[int] = 2
    backfill_id: str
    dataset: str
    start: str
    end: str
    every: Every
    reverse: bool
    keep_going: bool
    wait_for_upstream: bool = False
    parameters: Mapping[str, Any]
    """The parameters of every run, except ``execution_date``, as given."""
    dates: Annotated[Dates, Field(min_length=1)]
    """The dates to build, in order."""
    built_before: Dates = ()
    """The dates that earlier backfills built, for a backfill that resumes."""
    at: Annotated[int, Field(ge=0)] = 0
    """Index of the current date; the number of dates once all are done."""
    asked_at: Moment | None = None
    """When a run of the current date was last requested from Airflow."""
    failed: Dates = ()
    stop: StopOrder | None = None
    outcome: Outcome | None = None
    """Set once, when the backfill has ended; the object is then archived."""
    requested_by: str
    created_at: Moment
    idempotency_key: str | None = Field(default=None, repr=False)

    @property
    def date(self) -> str:
        """The current date; the last one once all are done."""
        return self.dates[min(self.at, len(self.dates) - 1)]

    @property
    def run_id(self) -> str:
        """The id of the current date's run, which can't be created twice."""
        return backfill_run_id(self.backfill_id, self.date)

    @property
    def has_begun(self) -> bool:
        """Whether a run was ever requested."""
        return self.at > 0 or self.asked_at is not None

    @property
    def is_through(self) -> bool:
        """Whether every date has been built or has failed."""
        return self.at >= len(self.dates)

    @property
    def built(self) -> tuple[str, ...]:
        """The dates that this backfill has built."""
        failed = set(self.failed)
        return tuple(day for day in self.dates[: self.at] if day not in failed)

    def after(self, *, failed: bool) -> BackfillPlan:
        """Return the plan after the current date's run has ended."""
        more = (self.date,) if failed else ()
        return self.changed(at=self.at + 1, failed=(*self.failed, *more), asked_at=None)

    def asking(self, now: datetime) -> BackfillPlan:
        """Return the plan with a run of the current date about to be requested."""
        return self.changed(asked_at=now)

    def stopping(self, order: StopOrder) -> BackfillPlan:
        """Return the plan with a request to end it; an earlier request is kept."""
        return self.changed(stop=self.stop or order)

    def ended(self, outcome: Outcome) -> BackfillPlan:
        """Return the plan with its outcome."""
        return self.changed(outcome=outcome)

    def continues(self, other: BackfillPlan) -> bool:
        """Return whether dates that another backfill built can be skipped: same range, same parameters."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("dataset", "start", "end", "every", "parameters")
        )

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values; with ranges of dates for many dates, as each step writes the plan again."""
        if len(self.dates) <= MANY_DATES:
            return super().to_json() | {"format": 1}
        ranges = {name: as_ranges(getattr(self, name)) for name in _DATES}
        return self.changed(**ranges).model_dump(mode="json") | {"format": self.FORMAT}


def ordered(days: Iterable[str], *, reverse: bool) -> tuple[str, ...]:
    """Return dates in the order in which they are built."""
    return tuple(sorted(days, reverse=reverse))
