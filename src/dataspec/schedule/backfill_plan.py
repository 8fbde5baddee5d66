"""Plan a backfill: the partitions of a range, and the progress of their runs (docs/backfill.md).

All functions are pure; ``basecamp.backfills`` reads the clock, the store and Airflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from dataspec.models import BackfillPartition, Every, RunStatus
from dataspec.schedule.chain import Ahead, Chain, ChainedDataset, Step
from dataspec.schedule.date_ranges import LENGTH_OF_A_DATE, as_ranges, from_ranges
from dataspec.schedule.partitions import label_of
from dataspec.schedule.run_ids import backfill_run_id, parse_run_id
from dataspec.stored_document import Moment, StoredDocument, StoredPart

MANY_DATES = 366
"""Number of dates above which the user has to confirm."""
MAX_SIDE_BY_SIDE = 16
"""Maximum number of datasets of a chain that are built at the same time."""
_DATES = ("dates", "built_before", "failed", "skipped")


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
    or builds it anew, or of which several datasets are built side by side, is of format 4: a server that does not know
    of that may not go on with it.
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
    """Index of the first partition that is not done; the number of partitions once all are done."""
    asked_at: Moment | None = None
    """When a run of the date ``at`` was last requested from Airflow."""
    ahead: Dates = ()
    """Of a chain: the dates after ``at`` that are done, or left out."""
    asked: Mapping[str, Moment] = Field(default_factory=dict)
    """Of a chain: when a run of each date that is built beside that of ``at`` was last requested."""
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
        """The first date that is not done; the last one once all are done."""
        return self.dates[min(self.at, len(self.dates) - 1)]

    @property
    def step(self) -> Step:
        """The first date that is not done, and its dataset."""
        return self.step_of(self.date)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that it builds, in the order of the graph."""
        return tuple(member.dataset for member in self.chain) or (self.dataset,)

    def is_built_once(self, dataset: str) -> bool:
        """Return whether a dataset has no ``execution_date``."""
        return any(member.once and member.dataset == dataset for member in self.chain)

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

    def label(self, date: str) -> str:
        """Return a date for people, in a chain after its dataset."""
        [one] = self.shown([date])
        return f"{one.dataset_name} {one.partition_label}" if self.chain else one.partition_label

    @property
    def requested(self) -> Mapping[str, datetime]:
        """The dates whose runs were requested and have not ended yet, as far as the plan knows, with the time."""
        first = {self.date: self.asked_at} if self.asked_at else {}
        return first | dict(self.asked)

    @property
    def has_begun(self) -> bool:
        """Whether a run was ever requested."""
        return self.at > 0 or bool(self.requested or self.ahead)

    @property
    def current(self) -> tuple[str, ...]:
        """The dates that are built now, or can be: of a chain side by side, at most :data:`MAX_SIDE_BY_SIDE`.

        Those of one requested partition are side by side: a dataset follows its own earlier partitions and the
        datasets that it is built from. Those of the next one follow all of them.
        """
        ready, requested = [self.dates[self.at + index] for index in self.look_ahead().ready], self.requested
        free = MAX_SIDE_BY_SIDE - len(requested)
        new = {*[date for date in ready if date not in requested][: max(free, 0)]}
        return tuple(date for date in ready if date in requested or date in new)

    @property
    def is_through(self) -> bool:
        """Whether nothing is left that it can build."""
        return not self.look_ahead().ready

    @property
    def built(self) -> tuple[str, ...]:
        """The dates that this backfill has built."""
        lost, ahead = {*self.failed, *self.skipped}, {*self.ahead}
        later = (day for day in self.dates[self.at :] if day in ahead) if ahead else ()
        return tuple(day for day in (*self.dates[: self.at], *later) if day not in lost)

    @property
    def begins_table(self) -> bool:
        """Whether the current date is the first one in the new table of a full refresh."""
        return not (self.built or self.built_before)

    @property
    def ends_table(self) -> bool:
        """Whether the new table of a full refresh has every partition once the current date is built."""
        return self.at == len(self.dates) - 1 and not self.failed

    @property
    def left(self) -> tuple[str, ...]:
        """The dates that are neither done nor left out."""
        ahead = {*self.ahead}
        return tuple(day for day in self.dates[self.at :] if day not in ahead)

    @property
    def not_built(self) -> tuple[str, ...]:
        """The dates that it has left out, and after its end those that it has not come to."""
        return (*self.skipped, *(self.left if self.outcome else ()))

    def after(self, date: str, *, failed: bool) -> BackfillPlan:
        """Return the plan after the run of a date has ended: what needs a date that failed is left out."""
        requested = {one: at for one, at in self.requested.items() if one != date}
        done = self.changed(
            ahead=(*self.ahead, date), failed=(*self.failed, *((date,) if failed else ())), asked={}
        )
        found = done.look_ahead()
        # Once nothing can be built any more, the rest is not left out but not come to.
        skipped = [self.dates[self.at + index] for index in found.left_out] if found.ready else []
        ahead, at = {*done.ahead, *skipped}, self.at
        while at < len(self.dates) and self.dates[at] in ahead:
            ahead.discard(self.dates[at])
            at += 1
        first = self.dates[at] if at < len(self.dates) else None
        return done.changed(
            at=at,
            ahead=tuple(one for one in self.dates[at:] if one in ahead) if ahead else (),
            asked_at=requested.pop(first, None) if first else None,
            asked=requested,
            skipped=(*self.skipped, *skipped),
        )

    def look_ahead(self) -> Ahead:
        """Return which dates can be built now, and which are left out before the next ones, counted from ``at``."""
        chain = Chain(self.chain or (ChainedDataset(dataset=self.dataset),), self.dataset)
        return chain.ahead(
            map(self.step_of, self.dates[self.at :]),
            done={self.step_of(date) for date in self.ahead},
            lost=[self.step_of(date) for date in (*self.failed, *self.skipped)],
            keep_going=self.keep_going,
        )

    def asking(self, date: str, now: datetime) -> BackfillPlan:
        """Return the plan with a run of a date about to be requested."""
        return (
            self.changed(asked_at=now) if date == self.date else self.changed(asked={**self.asked, date: now})
        )

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
        is_side_by_side = bool(self.ahead or self.asked)
        is_newer = bool(self.chain) or any(len(name) > LENGTH_OF_A_DATE for name in self.dates)
        many = len(self.dates) > MANY_DATES and not self.chain
        ranges = {name: as_ranges(getattr(self, name)) for name in _DATES} if many else {}
        written = self.changed(**ranges).model_dump(mode="json")
        if self.adopt or self.full_refresh or is_side_by_side:
            return written | {"format": self.FORMAT}
        if is_newer:
            return written | {"format": 3}
        return written | {"format": 1 + many, "every": _OLDER_WORDS.get(self.every, self.every)}
