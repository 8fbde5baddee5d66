"""Put the partitions of several datasets in the order in which a backfill builds them (docs/backfill.md, "Chains").

All functions are pure. A downstream partition follows the last partition of the chain that it needs, and an upstream
partition precedes the first one that needs it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from dataspec.errors import InvalidUsage
from dataspec.schedule.cron import NoTick
from dataspec.schedule.needs import Upstream, WhichPartition, need_of
from dataspec.schedule.partitions import Grid, Partition
from dataspec.stored_document import StoredPart

MAX_STEPS = 10_000
"""Maximum number of partitions of a backfill of several datasets, since each step writes the names of all."""


class Step(NamedTuple):
    """One partition of one dataset."""

    dataset: str
    partition: str


class ChainedDataset(StoredPart):
    """A dataset of a chain, as it was when the chain was requested."""

    dataset: str
    cron: str | None = None
    zone: str = "UTC"
    needs: tuple[tuple[str, WhichPartition], ...] = ()
    """The datasets of the chain from which it is built, and which of their partitions."""
    once: bool = False
    """Whether it is built once, and not for each partition: it has no ``execution_date``."""

    @property
    def grid(self) -> Grid:
        """Its partitions."""
        return Grid(self.cron, self.zone)


@dataclass(frozen=True, slots=True)
class Ahead:
    """What can be built next, by the indexes of the steps."""

    ready: list[int] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)
    """What needs something that failed."""


@dataclass(slots=True)
class _Placed:
    """A partition to build, and its turn: the index of the requested partition with which it is built."""

    partition: Partition
    turn: int


@dataclass(slots=True)
class Chain:
    """The datasets of a chain, in an order in which each follows those that it is built from.

    Args:
        datasets: The datasets in that order.
        root: The dataset that was requested.
    """

    datasets: Sequence[ChainedDataset]
    root: str
    _by_name: Mapping[str, ChainedDataset] = field(init=False)
    _places: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._by_name = {member.dataset: member for member in self.datasets}
        self._places = {name: place for place, name in enumerate(self._by_name)}

    def steps(self, partitions: Sequence[str], *, now: datetime) -> tuple[Step, ...]:
        """Return every partition to build, in order.

        Args:
            partitions: The partitions of the root, in the order in which they are built.
            now: The time. A downstream partition is left out while another one that it needs is not over.

        Raises:
            InvalidUsage: When there are too many.
        """
        root = self._by_name[self.root]
        named = map(root.grid.named, partitions)
        placed = {self.root: {found.name: _Placed(found, turn) for turn, found in enumerate(named)}}
        at = self.datasets.index(root)
        for member in self.datasets[at + 1 :]:
            placed[member.dataset] = self._downstream(member, placed, now)
        for member in reversed(self.datasets[:at]):
            placed[member.dataset] = self._upstream(member, placed)
        backwards = -1 if len(partitions) > 1 and partitions[0] > partitions[-1] else 1
        found = [
            ((one.turn, index, backwards * one.partition.start.timestamp()), Step(member.dataset, name))
            for index, member in enumerate(self.datasets)
            for name, one in placed[member.dataset].items()
        ]
        if len(found) > MAX_STEPS:
            raise InvalidUsage(
                f"The chain has {len(found):,} partitions; a backfill of several datasets builds at most {MAX_STEPS:,}.",
                detail="Give a shorter range.",
            )
        return tuple(step for _, step in sorted(found))

    def _downstream(
        self, member: ChainedDataset, placed: Mapping[str, Mapping[str, _Placed]], now: datetime
    ) -> dict[str, _Placed]:
        """Return the partitions of a dataset that need partitions of the chain."""
        above = {name: placed[name] for name, _ in member.needs if placed.get(name)}
        if not above:
            return {}
        if member.once:
            last = max((one for ones in above.values() for one in ones.values()), key=lambda one: one.turn)
            day = Grid(None, member.zone).named(last.partition.local_date)
            return {day.name: _Placed(day, last.turn)}
        found: dict[str, _Placed] = {}
        spans = [one.partition for ones in above.values() for one in ones.values()]
        for candidate in _around(member.grid, spans):
            needed = {name: self.needed(member.dataset, candidate.name, name) for name in above}
            turns = [
                above[name][one].turn for name, names in needed.items() for one in names if one in above[name]
            ]
            if turns and not self._is_early(needed, above, now):
                found[candidate.name] = _Placed(candidate, max(turns))
        return found

    def _is_early(
        self, needed: Mapping[str, Collection[str]], above: Mapping[str, Mapping[str, _Placed]], now: datetime
    ) -> bool:
        """Return whether a needed partition that the chain does not build is not over yet."""
        return any(
            self._by_name[name].grid.named(one).end > now
            for name, names in needed.items()
            if not self._by_name[name].once
            for one in names
            if one not in above[name]
        )

    def _upstream(
        self, member: ChainedDataset, placed: Mapping[str, Mapping[str, _Placed]]
    ) -> dict[str, _Placed]:
        """Return the partitions of a dataset that partitions of the chain need."""
        found: dict[str, _Placed] = {}
        below = (one for one in self.datasets if any(name == member.dataset for name, _ in one.needs))
        needing = [(one.dataset, each) for one in below for each in placed.get(one.dataset, {}).values()]
        for dataset, each in needing:
            if member.once:
                first = Grid(None, member.zone).named(each.partition.local_date)
                if not found or each.turn < next(iter(found.values())).turn:
                    found = {first.name: _Placed(first, each.turn)}
                continue
            for name in self.needed(dataset, each.partition.name, member.dataset):
                known = found.get(name)
                if known is None:
                    found[name] = _Placed(member.grid.named(name), each.turn)
                else:
                    known.turn = min(known.turn, each.turn)
        return found

    def needed(self, dataset: str, partition: str, upstream: str) -> frozenset[str]:
        """Return the names of the partitions that a partition needs of an upstream dataset of the chain.

        They are empty where one of the two datasets is built once, and so needs all, or is needed by all.
        """
        member, above = self._by_name[dataset], self._by_name[upstream]
        if member.once or above.once:
            return frozenset()
        kinds = tuple(which for name, which in member.needs if name == upstream)
        return _needed(member.grid, partition, above.grid, kinds)

    def ahead(
        self, steps: Iterable[Step], *, done: Collection[Step], lost: Iterable[Step], keep_going: bool
    ) -> Ahead:
        """Return which of the next steps can be built now, side by side.

        A step follows those before it of its own dataset and of the datasets that it is built from. The steps of the
        next requested partition, which begin at an earlier dataset again, follow all of this one.

        Args:
            steps: The steps from the first one on that is not done, in order.
            done: Those among them that are done.
            lost: All steps that failed or were left out.
            keep_going: Whether a dataset goes on after a partition that failed.
        """
        not_there: defaultdict[str, set[str]] = defaultdict(set)
        for dataset, partition in lost:
            not_there[dataset].add(partition)
        found, busy, before = Ahead(), set[str](), 0
        for index, step in enumerate(steps):
            place = self._places[step.dataset]
            if len(busy) == len(self._places) or (busy and place < before):
                break
            before = place
            if step in done:
                continue
            if (not keep_going and step.dataset in not_there) or self.is_blocked(step, not_there):
                found.left_out.append(index)
                not_there[step.dataset].add(step.partition)
                continue
            upstream = (name for name, _ in self._by_name[step.dataset].needs)
            if step.dataset not in busy and busy.isdisjoint(upstream):
                found.ready.append(index)
            busy.add(step.dataset)
        return found

    def is_blocked(self, step: Step, lost: Mapping[str, Collection[str]]) -> bool:
        """Return whether a step needs a partition that failed or was left out.

        Args:
            step: The step.
            lost: The partitions that failed or were left out, by dataset.
        """
        member = self._by_name[step.dataset]
        return any(
            member.once or self._by_name[name].once or not self.needed(*step, name).isdisjoint(lost[name])
            for name, _ in member.needs
            if lost.get(name)
        )


@lru_cache(maxsize=4096)
def _needed(grid: Grid, partition: str, upstream: Grid, kinds: tuple[WhichPartition, ...]) -> frozenset[str]:
    run, above = grid.named(partition), Upstream(upstream)
    needs = (need_of("", kind, run, grid=grid, upstream=above) for kind in kinds)
    return frozenset(one.name for need in needs if need for one in need.partitions())


def _around(grid: Grid, spans: Iterable[Partition]) -> Iterator[Partition]:
    """Yield the partitions that may need one of some others: from one before them to one after them."""
    starts, ends = zip(*((one.start, one.end) for one in spans), strict=True)
    with suppress(NoTick):
        found = grid.covering(min(starts))
        with suppress(NoTick):
            found = grid.previous(found)
        last = grid.following(grid.covering(max(ends)))
        while found.start <= last.start:
            yield found
            found = grid.following(found)
