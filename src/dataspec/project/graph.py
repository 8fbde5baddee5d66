"""The graph of a project's datasets: upstream and downstream, the order to build them in, cycles.

A dataset is downstream of the datasets under its ``depends_on``, and of those that build a table
which its SQL reads.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from dataspec.errors import DatasetNotFound, InvalidUsage
from dataspec.sql.lineage.dataset_lineage import Lineage, TableNames, lineage_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from dataspec.spec.model import DatasetSpec


@dataclass(frozen=True, slots=True)
class GraphDataset:
    """One dataset as a node of the graph."""

    name: str
    depends_on: tuple[str, ...] = ()
    lineage: Lineage = field(default_factory=Lineage)
    connection: str | None = None
    """The connection that its SQL runs on; None where it is not known."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that mean this dataset in other datasets' SQL: those that it builds, else that of its name."""
        named = self.lineage.not_stored and not self.lineage.writes
        return (self.name,) if named else self.lineage.builds(self.name)

    @classmethod
    def of(cls, spec: DatasetSpec, files: Mapping[str, str], dialect: str | None = None) -> GraphDataset:
        """Return the node of a spec with its SQL files; the dialect is the connection's, where it is known."""
        lineage = lineage_of(spec, files, dialect=dialect)
        return cls(spec.name, spec.upstream, lineage, spec.execution.connection)


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """One dataset is built from another."""

    upstream: str
    """The dataset that is built first."""
    downstream: str
    declared: bool = False
    """Whether ``depends_on`` names the upstream dataset."""
    tables: tuple[str, ...] = ()
    """The upstream dataset's tables that the downstream one's SQL reads, as its SQL names them."""

    @property
    def found(self) -> bool:
        """Whether the SQL reads the upstream dataset."""
        return bool(self.tables)


class DatasetGraph:
    """The graph of a project's datasets.

    Args:
        datasets: The datasets; of several with the same name, the first one counts.
    """

    def __init__(self, datasets: Iterable[GraphDataset]) -> None:
        self.datasets: dict[str, GraphDataset] = {}
        for dataset in datasets:
            self.datasets.setdefault(dataset.name, dataset)
        self._builders = _builders(self.datasets.values())
        self._tables = TableNames(self._builders)
        self.edges: tuple[Edge, ...] = tuple(
            sorted(edge for dataset in self.datasets.values() for edge in self._edges_into(dataset))
        )
        """Every edge, by the names of its ends."""
        self._into: defaultdict[str, list[Edge]] = defaultdict(list)
        self._out_of: defaultdict[str, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            self._into[edge.downstream].append(edge)
            self._out_of[edge.upstream].append(edge)

    def parents(self, name: str) -> tuple[Edge, ...]:
        """Return the edges into a dataset, by the upstream dataset's name."""
        return tuple(self._into[self._known(name)])

    def children(self, name: str) -> tuple[Edge, ...]:
        """Return the edges out of a dataset, by the downstream dataset's name."""
        return tuple(self._out_of[self._known(name)])

    def upstream(self, name: str) -> tuple[str, ...]:
        """Return all datasets upstream of one, direct or not, in the order of :attr:`sequence`.

        Raises:
            DatasetNotFound: When the graph has no such dataset.
        """
        return self._in_sequence(self.reached([name], upstream=True) - {name})

    def downstream(self, name: str) -> tuple[str, ...]:
        """Return all datasets downstream of one, direct or not, in the order of :attr:`sequence`.

        Raises:
            DatasetNotFound: When the graph has no such dataset.
        """
        return self._in_sequence(self.reached([name], upstream=False) - {name})

    def around(self, name: str) -> tuple[str, ...]:
        """Return a dataset with all that is upstream and downstream of it, in the order of :attr:`sequence`.

        Raises:
            DatasetNotFound: When the graph has no such dataset.
        """
        return self._in_sequence(self.reached([name], upstream=True) | self.reached([name], upstream=False))

    def reached(self, names: Iterable[str], *, upstream: bool, steps: int | None = None) -> set[str]:
        """Return datasets with all that are upstream, or downstream, of one of them.

        Args:
            names: The datasets.
            upstream: The direction.
            steps: How many steps away a dataset may be; any number for None.

        Raises:
            DatasetNotFound: When the graph has no such dataset.
        """
        ahead = {self._known(name) for name in names}
        reached = set(ahead)
        while ahead and steps != 0:
            edges = (edge for name in ahead for edge in (self._into if upstream else self._out_of)[name])
            ahead = {edge.upstream if upstream else edge.downstream for edge in edges} - reached
            reached |= ahead
            steps = None if steps is None else steps - 1
        return reached

    def order(self, among: Collection[str] | None = None) -> tuple[str, ...]:
        """Return all datasets, or those among some, each after its upstream datasets and otherwise by name.

        Raises:
            InvalidUsage: When several of them depend on each other; names them.
        """
        among = set(self.datasets if among is None else among)
        if cycles := self._cycles(among):
            raise InvalidUsage(
                "These datasets depend on each other, so none of them can be built first.",
                detail="\n".join(map(as_path, cycles)),
            )
        return self._in_sequence(among)

    @cached_property
    def sequence(self) -> tuple[str, ...]:
        """Every dataset after its upstream datasets, as far as cycles allow; :meth:`order` refuses cycles."""
        waiting = {name: len(self._into[name]) for name in self.datasets}
        free = [name for name, number in waiting.items() if not number]
        heapify(free)
        placed: dict[str, None] = {}
        while len(placed) < len(waiting):
            name = heappop(free) if free else min(waiting.keys() - placed.keys())
            if name in placed:
                continue
            placed[name] = None
            for edge in self._out_of[name]:
                waiting[edge.downstream] -= 1
                if not waiting[edge.downstream] and edge.downstream not in placed:
                    heappush(free, edge.downstream)
        return tuple(placed)

    def cycles(self) -> tuple[tuple[str, ...], ...]:
        """Return a shortest cycle for each group of datasets that depend on each other.

        A cycle begins with the first dataset of its group by name. Each dataset is built from the next one, and
        the last from the first.
        """
        return self._cycles(set(self.datasets))

    def _cycles(self, among: set[str]) -> tuple[tuple[str, ...], ...]:
        """Return a shortest cycle for each group that has two or more of these datasets."""
        upstream = {name: sorted(self._names_upstream(name)) for name in self.datasets}
        groups = (group for group in _groups(upstream) if len(group & among) > 1)
        return tuple(sorted(_shortest_cycle(group, upstream) for group in groups))

    def missing(self, name: str) -> tuple[str, ...]:
        """Return the names under a dataset's ``depends_on`` that are not in the graph."""
        names = self.datasets[self._known(name)].depends_on
        return tuple(upstream for upstream in dict.fromkeys(names) if upstream not in self.datasets)

    def sources(self, name: str) -> tuple[str, ...]:
        """Return the tables that a dataset reads and no dataset of the graph builds, by name."""
        reads = self.datasets[self._known(name)].lineage.reads
        return tuple(use.name for use in reads if not self.builders(use.name))

    def builders(self, table: str) -> tuple[str, ...]:
        """Return the datasets that build a table."""
        found = self._tables.find(table)
        return self._builders[found] if found is not None else ()

    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """Return the datasets that each table means, by the table's name in lower case."""
        return self._builders

    def _names_upstream(self, name: str) -> set[str]:
        return {edge.upstream for edge in self._into[name]}

    def _known(self, name: str) -> str:
        if name not in self.datasets:
            raise DatasetNotFound(name)
        return name

    def _edges_into(self, dataset: GraphDataset) -> Iterator[Edge]:
        tables: defaultdict[str, list[str]] = defaultdict(list)
        for use in dataset.lineage.reads:
            for builder in self.builders(use.name):
                tables[builder].append(use.name)
        declared = set(dataset.depends_on) & self.datasets.keys()
        for upstream in (declared | tables.keys()) - {dataset.name}:
            yield Edge(upstream, dataset.name, upstream in declared, tuple(tables.get(upstream, ())))

    def _in_sequence(self, names: set[str]) -> tuple[str, ...]:
        return tuple(name for name in self.sequence if name in names)


def as_path(cycle: tuple[str, ...]) -> str:
    """Return a cycle as text, its first dataset at both ends."""
    return " → ".join((*cycle, cycle[0]))


def _builders(datasets: Iterable[GraphDataset]) -> dict[str, tuple[str, ...]]:
    builders: defaultdict[str, list[str]] = defaultdict(list)
    for dataset in datasets:
        for table in dataset.tables:
            builders[table.lower()].append(dataset.name)
    return {table: tuple(names) for table, names in builders.items()}


def _groups(leads_to: Mapping[str, Iterable[str]]) -> Iterator[set[str]]:
    """Yield the groups of two or more names that lead to each other, in linear time (Kosaraju's two walks)."""
    back: defaultdict[str, list[str]] = defaultdict(list)
    for name, others in leads_to.items():
        for other in others:
            back[other].append(name)
    placed = set[str]()
    for name in reversed(_finished(leads_to)):
        group, ahead = set[str](), [name]
        while ahead:
            if (at := ahead.pop()) not in placed:
                placed.add(at)
                group.add(at)
                ahead += back[at]
        if len(group) > 1:
            yield group


def _finished(leads_to: Mapping[str, Iterable[str]]) -> list[str]:
    """Return every name after all names that it leads to, as far as cycles allow; without recursion."""
    finished: list[str] = []
    seen = set[str]()
    ahead = [(name, False) for name in leads_to]
    while ahead:
        at, done = ahead.pop()
        if done:
            finished.append(at)
        elif at not in seen:
            seen.add(at)
            ahead.append((at, True))
            ahead += [(other, False) for other in leads_to[at]]
    return finished


def _shortest_cycle(group: set[str], leads_to: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return a shortest cycle through the first name of a group."""
    first = min(group)
    paths: list[tuple[str, ...]] = [(first,)]
    seen = {first}
    for path in paths:  # it grows during the loop
        for other in leads_to[path[-1]]:
            if other == first:
                return path
            if other in group and other not in seen:
                seen.add(other)
                paths.append((*path, other))
    raise AssertionError("each name of a group leads back to itself")
