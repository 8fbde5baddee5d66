"""Check what a change of one registered dataset does to those around it (specification 32.10 to 32.14)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from dataspec.schedule.cron import NoTick
from dataspec.schedule.needs import Upstream, need_of
from dataspec.schedule.partitions import Grid
from dataspec.schedule.upstream_clock import NoClock, upstream_clocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dataspec.schedule.partitions import Partition
    from dataspec.schedule.upstream_clock import Clock
    from dataspec.spec.model import DatasetSpec, Dependency

_SAMPLE_START = datetime(2024, 1, 1, tzinfo=UTC)
_SAMPLES = 8
"""Number of partitions for which the end of a wait is computed: more than the days of a week."""

Clocks = dict[str, "Clock | NoClock"]


@dataclass(frozen=True, slots=True)
class BrokenDependent:
    """A dataset that a change leaves without what it waits for."""

    name: str
    reason: str
    """A sentence without its subject, such as ``depends on 'sales.daily'``."""


def unknown_upstream(spec: DatasetSpec, known: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names in a spec's ``depends_on`` that are not known."""
    return tuple(name for name in spec.upstream if name not in known)


def same_table(spec: DatasetSpec, others: Iterable[DatasetSpec]) -> DatasetSpec | None:
    """Return another dataset that builds the same table on the same connection, where one has a materialization.

    The table of a dataset without one is the table of its name.
    """
    table, connection = (spec.target or spec.name).lower(), spec.execution.connection
    return next(
        (
            other
            for other in others
            if other.name != spec.name
            and (spec.materialization or other.materialization)
            and (other.target or other.name).lower() == table
            and other.execution.connection == connection
        ),
        None,
    )


def cycle_through(name: str, specs: Mapping[str, DatasetSpec]) -> tuple[str, ...]:
    """Return a shortest cycle of ``depends_on`` through a dataset; empty if there is none."""
    came_from: dict[str, str] = {}
    ahead = [name]
    for at in ahead:  # it grows during the loop
        for other in specs[at].upstream if at in specs else ():
            if other == name:
                return _path(at, came_from, name)
            if other not in came_from:
                came_from[other] = at
                ahead.append(other)
    return ()


def _path(end: str, came_from: Mapping[str, str], start: str) -> tuple[str, ...]:
    path = [end]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return tuple(reversed(path))


def no_clock(name: str, specs: Mapping[str, DatasetSpec]) -> str | None:
    """Return why a dataset that follows its upstream datasets has no clock; None for any other."""
    found = _clocks(specs).get(name)
    return found.reason if isinstance(found, NoClock) else None


def broken_dependents(
    name: str, before: Mapping[str, DatasetSpec], after: Mapping[str, DatasetSpec]
) -> list[BrokenDependent]:
    """Return the datasets that a change of one dataset leaves without what they wait for.

    Args:
        name: The dataset that is changed or removed.
        before: The specs that run, by name.
        after: The specs that would run; without the dataset if it is removed.
    """
    dependents = [spec for other, spec in after.items() if other != name and name in spec.upstream]
    if name not in after:
        return [BrokenDependent(spec.name, f"depends on '{name}'") for spec in dependents]
    if name not in before or before[name].schedule == after[name].schedule:
        return []
    return [*_without_clock(name, before, after), *_without_partition(name, dependents, before, after)]


def _without_clock(
    name: str, before: Mapping[str, DatasetSpec], after: Mapping[str, DatasetSpec]
) -> Iterator[BrokenDependent]:
    clocks = _clocks(before)
    for other, clock in _clocks(after).items():
        if other != name and isinstance(clock, NoClock) and not isinstance(clocks.get(other), NoClock):
            yield BrokenDependent(other, f"follows its upstream datasets and loses its clock: {clock.reason}")


def _without_partition(
    name: str,
    dependents: list[DatasetSpec],
    before: Mapping[str, DatasetSpec],
    after: Mapping[str, DatasetSpec],
) -> Iterator[BrokenDependent]:
    was_on, is_on = (_is_scheduled(specs[name]) for specs in (before, after))
    grids = _grid(name, before), _grid(name, after)
    for spec in dependents:
        if spec.follows_upstream or not _is_scheduled(spec):
            continue
        entries = [one for one in spec.dependencies if one.dataset == name and one.partition != "latest"]
        if not entries:
            continue
        if was_on and not is_on:
            yield BrokenDependent(
                spec.name, f"waits for partitions of '{name}', which no schedule would build"
            )
        elif any(_waits_too_long(spec, entry, grids[1]) for entry in entries) and not any(
            _waits_too_long(spec, entry, grids[0]) for entry in entries
        ):
            yield BrokenDependent(
                spec.name, f"would wait longer than 'timeout_seconds' for partitions of '{name}'"
            )


def _is_scheduled(spec: DatasetSpec) -> bool:
    return spec.schedule is not None and spec.schedule.enabled


def _clocks(specs: Mapping[str, DatasetSpec]) -> Clocks:
    return upstream_clocks({name: spec.declared_clock for name, spec in specs.items()})


def _grid(name: str, specs: Mapping[str, DatasetSpec]) -> Grid:
    clock = _clocks(specs).get(name)
    if clock is None:
        return Grid.of(specs[name].schedule)
    return Grid(None) if isinstance(clock, NoClock) else Grid(*clock)


def _waits_too_long(spec: DatasetSpec, entry: Dependency, upstream: Grid) -> bool:
    """Return whether a partition of the upstream is due only after the time limit of a run that needs it."""
    grid, limit = Grid.of(spec.schedule), spec.wait_seconds(entry)
    if limit is None or upstream.cron is None:
        return False
    return any(_wait(run, entry, grid, upstream) > limit for run in _samples(grid))


def _samples(grid: Grid) -> Iterator[Partition]:
    with suppress(NoTick):
        partition = grid.covering(_SAMPLE_START)
        yield partition
        for _ in islice(range(_SAMPLES), _SAMPLES - 1):
            partition = grid.following(partition)
            yield partition


def _wait(run: Partition, entry: Dependency, grid: Grid, upstream: Grid) -> float:
    """Return how many seconds after a run the last partition that it needs is due; negative if before."""
    need = need_of(entry.dataset, entry.partition, run, grid=grid, upstream=Upstream(upstream))
    if need is None or need.span is None:
        return 0
    last = upstream.previous(upstream.covering(need.end))
    return (upstream.data_interval(last)[1] - grid.data_interval(run)[1]).total_seconds()
