"""Plan a backfill: the dates of a range, and the progress of their runs (docs/backfill.md).

All functions are pure; ``basecamp.backfills`` reads the clock, the store and Airflow.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dataspec.errors import InternalError, InvalidUsage
from dataspec.models import Every, RunStatus
from dataspec.parameters import ParameterValueError, coerce_date
from dataspec.schedule.cron import execution_date, interval_from
from dataspec.schedule.run_ids import backfill_run_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FORMAT = 1
MAX_DATES = 40_000
"""More than a hundred years of days."""
MANY_DATES = 366
"""Number of dates above which the user has to confirm."""
FIRST_YEAR, LAST_YEAR = 1000, 9998
"""Between these years every date has a midnight in every time zone."""

_DAY = timedelta(days=1)


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
        day = self.start
        while day <= self.end:
            found = execution_date(cron, zone, interval_from(cron, zone, day.isoformat())[0])
            day = date.fromisoformat(found)
            if day <= self.end:
                yield day.isoformat()
            day += _DAY


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOrder:
    """A request to end a backfill."""

    by: str
    at: datetime
    reason: str | None = None

    def __str__(self) -> str:
        words = f"Stopped by {self.by} at {self.at.isoformat(timespec='seconds')}"
        return f"{words}: {self.reason}" if self.reason else words


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a backfill ended."""

    status: RunStatus
    at: datetime
    error: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPlan:
    """A requested backfill and its progress: one object in the store."""

    backfill_id: str
    dataset: str
    start: str
    end: str
    every: Every
    reverse: bool
    keep_going: bool
    parameters: Mapping[str, Any]
    """The parameters of every run, except ``execution_date``, as given."""
    dates: tuple[str, ...]
    """The dates to build, in order."""
    built_before: tuple[str, ...] = ()
    """The dates that earlier backfills built, for a backfill that resumes."""
    at: int = 0
    """Index of the current date; the number of dates once all are done."""
    asked_at: datetime | None = None
    """When a run of the current date was last requested from Airflow."""
    failed: tuple[str, ...] = ()
    stop: StopOrder | None = None
    outcome: Outcome | None = None
    """Set once, when the backfill has ended; the object is then archived."""
    requested_by: str
    created_at: datetime
    idempotency_key: str | None = field(default=None, repr=False)

    @property
    def date(self) -> str:
        """The current date; the last one once all are done."""
        return self.dates[min(self.at, len(self.dates) - 1)]

    @property
    def run_id(self) -> str:
        """The id of the current date's run, which can't be created twice."""
        return backfill_run_id(self.backfill_id, self.date)

    @property
    def is_through(self) -> bool:
        """Whether every date has been built or has failed."""
        return self.at >= len(self.dates)

    @property
    def built(self) -> tuple[str, ...]:
        """The dates that this backfill has built."""
        return tuple(day for day in self.dates[: self.at] if day not in set(self.failed))

    def after(self, *, failed: bool) -> BackfillPlan:
        """Return the plan after the current date's run has ended."""
        more = (self.date,) if failed else ()
        return replace(self, at=self.at + 1, failed=(*self.failed, *more), asked_at=None)

    def asking(self, now: datetime) -> BackfillPlan:
        """Return the plan with a run of the current date about to be requested."""
        return replace(self, asked_at=now)

    def stopping(self, order: StopOrder) -> BackfillPlan:
        """Return the plan with a request to end it; an earlier request is kept."""
        return replace(self, stop=self.stop or order)

    def ended(self, outcome: Outcome) -> BackfillPlan:
        """Return the plan with its outcome."""
        return replace(self, outcome=outcome)

    def continues(self, other: BackfillPlan) -> bool:
        """Return whether dates that another backfill built can be skipped: same range, same parameters."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("dataset", "start", "end", "every", "parameters")
        )

    def body(self) -> bytes:
        """Return the plan as JSON, which :meth:`read` parses."""
        data = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"format": FORMAT, **data}, default=_to_json, separators=(",", ":")).encode()

    @classmethod
    def read(cls, body: bytes) -> BackfillPlan:
        """Parse a stored plan.

        Raises:
            InternalError: For another format, as a later version may write it.
        """
        try:
            data = _of_this_format(json.loads(body))
            moments = {"asked_at": _moment(data["asked_at"]), "created_at": _moment(data["created_at"])}
            lists = {name: tuple(data[name]) for name in ("dates", "built_before", "failed")}
            parts = {"stop": _stop(data["stop"]), "outcome": _outcome(data["outcome"])}
            return cls(**{**data, **moments, **lists, **parts})
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InternalError("The plan of a backfill can't be read.", detail=str(error)) from error


def _of_this_format(data: dict[str, Any]) -> dict[str, Any]:
    if data.pop("format") != FORMAT:
        raise ValueError("it is of another format")
    return data


def ordered(days: Iterable[str], *, reverse: bool) -> tuple[str, ...]:
    """Return dates in the order in which they are built."""
    return tuple(sorted(days, reverse=reverse))


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return {name: getattr(value, name) for name in value.__slots__}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _stop(data: Mapping[str, Any] | None) -> StopOrder | None:
    if data is None:
        return None
    return StopOrder(by=data["by"], at=datetime.fromisoformat(data["at"]), reason=data["reason"])


def _outcome(data: Mapping[str, Any] | None) -> Outcome | None:
    if data is None:
        return None
    at, status = datetime.fromisoformat(data["at"]), RunStatus(data["status"])
    return Outcome(status=status, at=at, error=data["error"], note=data["note"])
