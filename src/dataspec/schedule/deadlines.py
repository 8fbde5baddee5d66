"""Decide which partitions of a schedule are late (docs/lateness.md). All functions are pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from dataspec.schedule.cron import NoTick, next_tick
from dataspec.schedule.partitions import Grid, Partition

if TYPE_CHECKING:
    from dataspec.schedule.built import Built

MAX_LOOKED_AT = 100
"""Number of due partitions that are looked at, the newest ones; older ones count as given up."""


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """Until when a partition must be built: by a local time, within some seconds, or by the earlier of both."""

    by: time | None = None
    within_seconds: int | None = None

    def ends_at(self, start: datetime, zone: str) -> datetime:
        """Return when the time ends that begins at a moment.

        A local time that a clock change skips or repeats counts as that of a cron expression does: right after the
        change, and the first time.

        Raises:
            NoTick: When it is after the year 9999.
        """
        ends = [] if self.within_seconds is None else [start + timedelta(seconds=self.within_seconds)]
        if self.by is not None:
            ends.append(next_tick(f"{self.by.minute} {self.by.hour} * * *", zone, start))
        return min(ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is expected of a dataset."""

    grid: Grid
    limit: TimeLimit
    registered_at: datetime
    """Partitions that were due before are not expected."""
    on_since: datetime
    """Since when the dataset has been on, not paused, with this schedule and limit.

    Of the partitions that were due before, Airflow creates the run of the last one, whose time begins here.
    """
    catch_up: bool = False
    """Whether Airflow creates the run of every partition that was due before."""


@dataclass(frozen=True, slots=True)
class LatePartition:
    """A partition that was not built in time."""

    partition: Partition
    since: datetime


@dataclass(frozen=True, slots=True)
class Lateness:
    """The late partitions of a dataset, oldest first, at a moment."""

    late: tuple[LatePartition, ...] = ()
    until: datetime | None = None
    """The next deadline: before it nothing becomes late. None if there is no more."""


def find_late(expected: Expected, built: Built, now: datetime) -> Lateness:
    """Return the partitions that are due, not built, and whose time is over."""
    late, deadlines = [], []
    for partition, start in islice(_due(expected, now), MAX_LOOKED_AT):
        with suppress(NoTick):
            end = expected.limit.ends_at(start, expected.grid.zone)
            if end > now:
                deadlines.append(end)
            elif not built.covers(partition):
                late.append(LatePartition(partition, end))
    with suppress(NoTick):
        deadlines.append(expected.limit.ends_at(_next_tick(expected, now), expected.grid.zone))
    return Lateness(tuple(reversed(late)), min(deadlines, default=None))


def _due(expected: Expected, now: datetime) -> Iterator[tuple[Partition, datetime]]:
    """Yield the partitions that are due, newest first, each with the beginning of its time."""
    grid, is_before = expected.grid, False
    with suppress(NoTick):
        partition = grid.last_due(now)
        while (tick := grid.data_interval(partition)[1]) > expected.registered_at:
            if is_before and not expected.catch_up:
                return
            is_before = tick <= expected.on_since
            yield partition, max(tick, expected.on_since)
            partition = grid.previous(partition)


def _next_tick(expected: Expected, now: datetime) -> datetime:
    grid = expected.grid
    return grid.data_interval(grid.following(grid.last_due(now)))[1]
