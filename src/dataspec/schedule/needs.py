"""Work out which partitions of an upstream dataset a run needs (docs/waiting.md, "In the spec").

All functions are pure: the task that waits, its trigger and Basecamp compute the same needs. Partitions of a schedule
follow one another, so a need is one span, however many partitions are in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from dataspec.schedule.built import Built
from dataspec.schedule.cron import NoTick
from dataspec.schedule.partitions import Grid, Partition

WhichPartition = Literal["same", "previous", "latest"]

LATE = timedelta(minutes=1)
"""Time by which the clocks of Airflow's machines may differ."""

_MOMENT = timedelta(microseconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Upstream:
    """What the needs depend on, of an upstream dataset."""

    grid: Grid
    registered_at: datetime | None = None
    """When it was registered: what was due before is not waited for. None if that is not known."""

    @property
    def default(self) -> WhichPartition:
        """The partition that is needed where ``depends_on`` does not say which."""
        return "latest" if self.grid.cron is None else "same"


@dataclass(frozen=True, slots=True)
class Need:
    """What a run needs of one upstream dataset; a :class:`dataspec.schedule.built.Extent` if it has partitions."""

    dataset: str
    grid: Grid
    """The upstream's partitions."""
    span: tuple[datetime, datetime] | None = None
    """From the start of the first partition to the end of the last one; None if any partition will do."""

    @property
    def start(self) -> datetime:
        """The start of the first partition."""
        return self._span[0]

    @property
    def end(self) -> datetime:
        """The end of the last partition."""
        return self._span[1]

    @property
    def dates(self) -> tuple[date, ...]:
        """The local dates that its partitions cover; empty if they are finer than a day."""
        if self.grid.is_finer_than_a_day:
            return ()
        zone = ZoneInfo(self.grid.zone)
        first, following = (moment.astimezone(zone).date() for moment in self._span)
        return tuple(first + number * _DAY for number in range((following - first).days))

    @property
    def _span(self) -> tuple[datetime, datetime]:
        if self.span is None:
            raise ValueError("a need of any partition has no span")
        return self.span

    def is_met(self, built: Built) -> bool:
        """Return whether all of it is built."""
        if self.span is None:
            return built.last is not None
        return built.covers(self)

    def partitions(self) -> Iterator[Partition]:
        """Yield its partitions in order; none if any partition will do."""
        return self.grid.starting_within(*self.span) if self.span else iter(())

    def missing(self, built: Built) -> Iterator[Partition]:
        """Yield its partitions that are not built, in order; none if any partition will do."""
        return (partition for partition in self.partitions() if not built.covers(partition))

    def to_json(self) -> dict[str, str | None]:
        """Return it as JSON values for :meth:`read`."""
        start, end = (moment.isoformat() for moment in self.span) if self.span else (None, None)
        return {
            "dataset": self.dataset,
            "cron": self.grid.cron,
            "zone": self.grid.zone,
            "start": start,
            "end": end,
        }

    @classmethod
    def read(cls, data: Mapping[str, str | None]) -> Need:
        """Return the need that :meth:`to_json` wrote."""
        start, end = data["start"], data["end"]
        span = (datetime.fromisoformat(start), datetime.fromisoformat(end)) if start and end else None
        return cls(data["dataset"] or "", Grid(data["cron"], data["zone"] or "UTC"), span)


def need_of(
    dataset: str, which: WhichPartition | None, run: Partition | None, *, grid: Grid, upstream: Upstream
) -> Need | None:
    """Return what a run needs of an upstream dataset; None if there is nothing to wait for.

    Args:
        dataset: The name of the upstream dataset.
        which: The ``partition`` of its entry in ``depends_on``; None for the default.
        run: The partition that the run builds; a run without one needs any partition of the upstream.
        grid: The partitions of the run's dataset.
        upstream: The upstream dataset.
    """
    which = which or upstream.default
    if which == "latest" or run is None:
        return Need(dataset, upstream.grid)
    with suppress(NoTick):
        span = _span(grid.previous(run) if which == "previous" else run, upstream.grid)
        start = max(span[0], _first_waited_for(upstream))
        return Need(dataset, upstream.grid, (start, span[1])) if start < span[1] else None
    return None


def _span(run: Partition, grid: Grid) -> tuple[datetime, datetime]:
    """Return the span of the partitions that start within a run's; of the one that covers its start if none does."""
    start, end = run.start, run.end
    if run.dates and not grid.is_finer_than_a_day:
        start, end = grid.midnight(run.dates[0]), grid.midnight(run.dates[-1] + _DAY)
    last = grid.covering(end - _MOMENT)
    if last.start < start:
        last = grid.covering(start)
        return last.start, last.end
    return next(grid.starting_within(start, end)).start, last.end


def _first_waited_for(upstream: Upstream) -> datetime:
    """Return the start of the first partition that was due after the registration of an upstream."""
    grid, registered_at = upstream.grid, upstream.registered_at
    if registered_at is None or grid.cron is None:
        return datetime.min.replace(tzinfo=UTC)
    with suppress(NoTick):
        return grid.following(grid.last_due(registered_at)).start
    return grid.covering(registered_at).start


def replaced_at(grid: Grid, partition: Partition) -> datetime | None:
    """Return when the scheduled run of a partition that does not exist is replaced by a later one; None if never.

    Airflow creates the run of a partition before the next one is due, or never: after a pause or a downtime it creates
    the latest run alone (docs/partitions.md, "Missed partitions").
    """
    with suppress(NoTick):
        return grid.data_interval(grid.following(partition))[1] + LATE
    return None
