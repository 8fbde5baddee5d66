"""The graph of a project's datasets: which is built from which, and so which comes first.

An edge stands where a dataset names another under ``depends_on``, and where its SQL
reads a table that the other builds.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from dataspec.errors import DatasetNotFound, InvalidUsage
from dataspec.project.cycles import cycles_in
from dataspec.sql.lineage.lineage import Lineage, lineage_of
from dataspec.sql.lineage.table_names import TableNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dataspec.spec.model import DatasetSpec


@dataclass(frozen=True, slots=True)
class GraphDataset:
    """What the graph has to know of one dataset."""

    name: str
    depends_on: tuple[str, ...] = ()
    lineage: Lineage = field(default_factory=Lineage)

    @classmethod
    def of(cls, spec: DatasetSpec, files: Mapping[str, str], dialect: str | None = None) -> GraphDataset:
        """Return that of a spec with its SQL files; the dialect is that of its connection, where it is known."""
        return cls(spec.name, tuple(spec.depends_on), lineage_of(spec, files, dialect=dialect))


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """One dataset is built from another."""

    upstream: str
    """The dataset that comes first."""
    downstream: str
    declared: bool = False
    """Whether ``depends_on`` says so."""
    tables: tuple[str, ...] = ()
    """The tables of the upstream dataset that the other one's SQL reads, as it writes them."""

    @property
    def found(self) -> bool:
        """Whether the SQL says so."""
        return bool(self.tables)


class DatasetGraph:
    """The datasets of a project, and what each is built from.

    Args:
        datasets: The datasets; of two with one name the first counts.
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

    @classmethod
    def of(cls, datasets: Iterable[GraphDataset]) -> DatasetGraph:
        """Return the graph of a project's datasets."""
        return cls(datasets)

    def parents(self, name: str) -> tuple[Edge, ...]:
        """Return the edges into a dataset: what it is built from, by name."""
        return tuple(self._into[self._known(name)])

    def children(self, name: str) -> tuple[Edge, ...]:
        """Return the edges out of a dataset: what is built from it, by name."""
        return tuple(self._out_of[self._known(name)])

    def upstream(self, name: str) -> tuple[str, ...]:
        """Return all that a dataset is built from, directly or not, each after what it is built from itself.

        Raises:
            DatasetNotFound: When the graph has no such dataset.
        """
        return self._reached(name, lambda at: [edge.upstream for edge in self._into[at]])

    def downstream(self, name: str) -> tuple[str, ...]:
        """Return all that is built from a dataset, directly or not, each after what it is built from itself.

        Raises:
            DatasetNotFound: When the graph has no such dataset.
        """
        return self._reached(name, lambda at: [edge.downstream for edge in self._out_of[at]])

    def around(self, name: str) -> tuple[str, ...]:
        """Return a dataset with all that is upstream and downstream of it, in the order of :attr:`sequence`.

        Raises:
            DatasetNotFound: When the graph has no such dataset.
        """
        wanted = {name, *self.upstream(name), *self.downstream(name)}
        return tuple(found for found in self.sequence if found in wanted)

    def order(self) -> tuple[str, ...]:
        """Return every dataset after all that it is built from; by name where that leaves a choice.

        Raises:
            InvalidUsage: When datasets depend on each other; names them.
        """
        if cycles := self.cycles():
            raise InvalidUsage(
                "These datasets depend on each other, so none of them can be built first.",
                detail="\n".join(map(as_path, cycles)),
            )
        return self.sequence

    @cached_property
    def sequence(self) -> tuple[str, ...]:
        """Every dataset after all that it is built from, as far as cycles allow; :meth:`order` refuses them."""
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
        """Return a cycle for each group of datasets that depend on each other.

        Each begins with its first dataset by name, and every one is built from the next, the
        last from the first. Where a group has several, it is a shortest one.
        """
        into = {name: [edge.upstream for edge in self._into[name]] for name in self.datasets}
        return tuple(cycles_in(into))

    def missing(self, name: str) -> tuple[str, ...]:
        """Return the datasets that one names under ``depends_on`` and the graph does not have."""
        names = self.datasets[self._known(name)].depends_on
        return tuple(upstream for upstream in dict.fromkeys(names) if upstream not in self.datasets)

    def sources(self, name: str) -> tuple[str, ...]:
        """Return the tables that a dataset reads and no dataset builds, by name."""
        reads = self.datasets[self._known(name)].lineage.reads
        return tuple(use.name for use in reads if not self.builders(use.name))

    def builders(self, table: str) -> tuple[str, ...]:
        """Return the datasets that build the table that a name means: none, one, or several."""
        found = self._tables.find(table)
        return self._builders[found] if found is not None else ()

    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """Return the datasets that build each table, by the table's name in lower case."""
        return self._builders

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

    def _reached(self, name: str, following: Callable[[str], list[str]]) -> tuple[str, ...]:
        reached, ahead = {self._known(name)}, [name]
        while ahead:
            new = [found for found in following(ahead.pop()) if found not in reached]
            reached.update(new)
            ahead += new
        return tuple(found for found in self.sequence if found in reached and found != name)


def as_path(cycle: tuple[str, ...]) -> str:
    """Return a cycle as a person reads it, its first dataset at both ends."""
    return " → ".join((*cycle, cycle[0]))


def _builders(datasets: Iterable[GraphDataset]) -> dict[str, tuple[str, ...]]:
    builders: defaultdict[str, list[str]] = defaultdict(list)
    for dataset in datasets:
        for table in dataset.lineage.builds(dataset.name):
            builders[table.lower()].append(dataset.name)
    return {table: tuple(names) for table, names in builders.items()}
