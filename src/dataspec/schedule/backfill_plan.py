"""Plan a backfill: the partitions of a range, and the progress of their runs (docs/backfill.md).

All functions are pure; ``basecamp.backfills`` reads the clock, the store and Airflow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from dataspec.errors import InvalidUsage
from dataspec.models import BackfillPartition, Every, RunStatus
from dataspec.parameters import ParameterValueError, coerce_date
from dataspec.schedule.chain import Chain, ChainedDataset, Step
from dataspec.schedule.partitions import FIRST_YEAR, LAST_YEAR, label_of
from dataspec.schedule.run_ids import backfill_run_id, parse_run_id
from dataspec.stored_document import Moment, StoredDocument, StoredPart

MAX_DATES = 40_000
"""More than a hundred years of days."""
MANY_DATES = 366
"""Number of dates above which the user has to confirm."""
MAX_SHOWN = 5
"""Maximum number of dates in a warning."""
SHORTEST_RANGE = 3
"""Number of consecutive dates from which a plan writes them as a range."""

_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
_LENGTH_OF_A_DATE = len("2024-01-15")
_DATES = ("dates", "built_before", "failed", "skipped")


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

    def left_out(self, names: Iterable[str]) -> list[str]:
        """Return a warning about the dates on which none of these partitions starts, if there are any."""
        built = {name[:_LENGTH_OF_A_DATE] for name in names}
        found = [day for day in self.days() if day not in built]
        if not found:
            return []
        shown = ", ".join(found[:MAX_SHOWN]) + (", …" if len(found) > MAX_SHOWN else "")
        dates = "1 date" if len(found) == 1 else f"{len(found):,} dates"
        return [f"The schedule leaves out {dates} of the range: {shown}"]


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
def as_ranges(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of partitions, with one text for each run of three or more at equal distances, up or down.

    It is ``first/last`` for consecutive dates, and ``first/last/minutes`` for partitions that are finer than a day.
    """
    return tuple(_ranges(names))


def _ranges(names: Iterable[str]) -> Iterator[str]:
    run: list[datetime] = []
    for start in map(datetime.fromisoformat, names):
        if run and not _continues(run, start):
            yield from _range(run)
            run = []
        run.append(start)
    yield from _range(run)


def _continues(run: Sequence[datetime], start: datetime) -> bool:
    """Return whether a partition is at the same distance as those of a run, with the same offset of the zone."""
    step = start - run[-1]
    regular = abs(step) == _DAY if start.tzinfo is None else start.utcoffset() == run[-1].utcoffset()
    return regular and (len(run) == 1 or step == run[1] - run[0])


def _range(run: list[datetime]) -> Iterator[str]:
    if len(run) < SHORTEST_RANGE:
        return map(_name, run)
    step = "" if run[0].tzinfo is None else f"/{(run[1] - run[0]) // _MINUTE}"
    return iter([f"{_name(run[0])}/{_name(run[-1])}{step}"])


def _name(start: datetime) -> str:
    return start.date().isoformat() if start.tzinfo is None else start.isoformat(timespec="minutes")


def from_ranges(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names that :func:`as_ranges` wrote.

    Raises:
        ValueError: For a text that names no partition and no range, and for too many partitions.
    """
    found: list[str] = []
    for text in texts:
        if " " in text:  # of another dataset of a chain
            found.append(text)
            continue
        first, _, rest = text.partition("/")
        last, _, minutes = rest.partition("/")
        start, end = _start_of(first), _start_of(last or first)
        step = timedelta(minutes=int(minutes)) if minutes else _DAY if end >= start else -_DAY
        count = (end - start) // step + 1
        if len(found) + count > MAX_DATES:
            raise ValueError(f"more than {MAX_DATES:,} partitions")
        found += [_name(start + number * step) for number in range(count)]
    return tuple(found)


def _start_of(name: str) -> datetime:
    if len(name) == _LENGTH_OF_A_DATE:
        return datetime.combine(date.fromisoformat(name), time())
    found = datetime.fromisoformat(name)
    if found.tzinfo is None:
        raise ValueError(f"'{name}' has no offset")
    return found


_OLDER_WORDS = {"partition": "schedule"}
"""The words of formats 1 and 2 for values of ``every``."""


def _every(value: Any) -> Any:
    return "partition" if value == "schedule" else value


def _dates(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not all(isinstance(day, str) for day in value):
        raise ValueError("not a list of dates")
    return from_ranges(value)


Dates = Annotated[tuple[str, ...], BeforeValidator(_dates)]


class BackfillPlan(StoredDocument):
    """A requested backfill and its progress: one object in the store.

    Ranges keep a plan of ten years at some hundred bytes, and each step writes it once. A plan of at most
    :data:`MANY_DATES` dates is written in format 1 and a longer one with ranges in format 2, which older versions
    read; one of several datasets, or whose partitions are finer than a day, in format 3. One that takes over a table
    or builds it anew is of format 4: a server that does not know of that may not go on with it.
    """

    FORMAT: ClassVar[int] = 4
    backfill_id: str
    dataset: str
    start: str
    end: str
    every: Annotated[Every, BeforeValidator(_every)]
    reverse: bool
    keep_going: bool
    wait_for_upstream: bool = False
    adopt: bool = False
    """Whether the runs of its own dataset take over a table that the dataset has not built."""
    full_refresh: bool = False
    """Whether its runs fill a new table, which takes the place of the old one after the last partition."""
    refreshed_by: str | None = None
    """The backfill that began the new table, for one that resumes; None for its own one."""
    parameters: Mapping[str, Any]
    """The parameters of every run, except ``execution_date``, as given."""
    dates: Annotated[Dates, Field(min_length=1)]
    """The names of the partitions to build, in order."""
    built_before: Dates = ()
    """The partitions that earlier backfills built, for a backfill that resumes."""
    at: Annotated[int, Field(ge=0)] = 0
    """Index of the current partition; the number of partitions once all are done."""
    asked_at: Moment | None = None
    """When a run of the current date was last requested from Airflow."""
    failed: Dates = ()
    skipped: Dates = ()
    """What was left out because it needs what failed; without ``keep_going`` also the rest of that dataset."""
    zone: str | None = None
    """The zone of the schedule of partitions finer than a day; None for dates, and in plans of earlier versions."""
    chain: tuple[ChainedDataset, ...] = ()
    """The datasets of a backfill of several, in the order of the graph: a date of another dataset than this plan's
    is written with its name, as ``sales.weekly 2024-01-01``."""
    is_admitted: bool = False
    """Whether no other backfill had one of its datasets; a run is requested only then."""
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
    def step(self) -> Step:
        """The current date and its dataset."""
        return self.step_of(self.date)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that it builds, in the order of the graph."""
        return tuple(member.dataset for member in self.chain) or (self.dataset,)

    @property
    def is_built_once(self) -> bool:
        """Whether the dataset of the current date has no ``execution_date``."""
        return any(member.once and member.dataset == self.step.dataset for member in self.chain)

    def step_of(self, text: str) -> Step:
        """Return the dataset and the partition of one of its dates."""
        dataset, _, partition = text.rpartition(" ")
        return Step(dataset or self.dataset, partition)

    def run_id_of(self, step: Step) -> str:
        """Return the id of the run of a step: in a chain it has the name of the step's dataset."""
        parsed = parse_run_id(self.backfill_id)
        if parsed is None or step.dataset == self.dataset:
            return backfill_run_id(self.backfill_id, step.partition)
        return backfill_run_id(str(replace(parsed, dataset=step.dataset)), step.partition)

    def shown(self, dates: Iterable[str]) -> list[BackfillPartition]:
        """Return some of its dates as the API shows them."""
        zones = {self.dataset: self.zone} | {member.dataset: member.zone for member in self.chain}
        return [
            BackfillPartition(
                dataset_name=step.dataset,
                partition=step.partition,
                run_id=self.run_id_of(step),
                partition_label=label_of(step.partition, zones.get(step.dataset)),
            )
            for step in map(self.step_of, dates)
        ]

    @property
    def span(self) -> tuple[str, str] | None:
        """The earliest and the latest date of its own dataset; None if it builds other datasets alone."""
        own = [date for date in self.dates if " " not in date] if self.chain else self.dates
        if not own:
            return None
        return (own[-1], own[0]) if self.reverse else (own[0], own[-1])

    @property
    def date_label(self) -> str:
        """The current date for people, in a chain after its dataset."""
        [one] = self.shown([self.date])
        return f"{one.dataset_name} {one.partition_label}" if self.chain else one.partition_label

    @property
    def run_id(self) -> str:
        """The id of the current date's run, which can't be created twice."""
        return self.run_id_of(self.step)

    @property
    def has_begun(self) -> bool:
        """Whether a run was ever requested."""
        return self.at > 0 or self.asked_at is not None

    @property
    def is_through(self) -> bool:
        """Whether nothing is left that it can build."""
        return self.following() is None

    @property
    def built(self) -> tuple[str, ...]:
        """The dates that this backfill has built."""
        lost = {*self.failed, *self.skipped}
        return tuple(day for day in self.dates[: self.at] if day not in lost)

    @property
    def begins_table(self) -> bool:
        """Whether the current date is the first one in the new table of a full refresh."""
        return not (self.built or self.built_before)

    @property
    def ends_table(self) -> bool:
        """Whether the new table of a full refresh has every partition once the current date is built."""
        return self.at == len(self.dates) - 1 and not self.failed

    @property
    def not_built(self) -> tuple[str, ...]:
        """The dates that it has left out, and after its end those that it has not come to."""
        return (*self.skipped, *(self.dates[self.at :] if self.outcome else ()))

    def after(self, *, failed: bool) -> BackfillPlan:
        """Return the plan after the current date's run has ended: at the next date that needs nothing that failed."""
        more = (self.date,) if failed else ()
        done = self.changed(at=self.at + 1, failed=(*self.failed, *more), asked_at=None)
        following = done.following()
        if following is None:
            return done
        return done.changed(at=following, skipped=(*done.skipped, *self.dates[done.at : following]))

    def following(self) -> int | None:
        """Return the index of the first date from the current one on that needs nothing that failed."""
        if not self.failed:
            return self.at if self.at < len(self.dates) else None
        chain = Chain(self.chain or (ChainedDataset(dataset=self.dataset),), self.dataset)
        lost: defaultdict[str, set[str]] = defaultdict(set)
        for dataset, partition in map(self.step_of, (*self.failed, *self.skipped)):
            lost[dataset].add(partition)
        for index, step in enumerate(map(self.step_of, self.dates[self.at :]), self.at):
            follows = not self.keep_going and step.dataset in lost
            if not follows and not chain.is_blocked(step, lost):
                return index
            lost[step.dataset].add(step.partition)
        return None

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
            for name in ("dataset", "datasets", "start", "end", "every", "parameters", "full_refresh")
        )

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values, in the oldest format that can hold it."""
        is_newer = bool(self.chain) or any(len(name) > _LENGTH_OF_A_DATE for name in self.dates)
        many = len(self.dates) > MANY_DATES and not self.chain
        ranges = {name: as_ranges(getattr(self, name)) for name in _DATES} if many else {}
        written = self.changed(**ranges).model_dump(mode="json")
        if self.adopt or self.full_refresh:
            return written | {"format": self.FORMAT}
        if is_newer:
            return written | {"format": 3}
        return written | {"format": 1 + many, "every": _OLDER_WORDS.get(self.every, self.every)}
