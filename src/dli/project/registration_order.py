"""The order in which several datasets of a project are registered: upstream datasets first (specification 22.40)."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from dataspec.errors import DliError, InvalidSpec, NotFound
from dataspec.project.graph import DatasetGraph, GraphDataset
from dli.project.isolated import isolated
from dli.project.project import duplicates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dataspec.spec.model import DatasetSpec
    from dli.project.project import LocalDataset, Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One dataset to register."""

    local: LocalDataset
    upstream: frozenset[str] = frozenset()
    """The names of the datasets that it depends on directly."""
    error: DliError | None = None
    """Why it can't be registered."""

    @property
    def name(self) -> str:
        """The dataset's name; the path of its file if it has none."""
        return self.local.name or self.local.file


def selected(project: Project, named: Sequence[str]) -> list[LocalDataset]:
    """Return the datasets with these names, paths and patterns; all of the project if there are none.

    Raises:
        NotFound: When one does not exist, or no dataset matches a pattern.
        InvalidName, InvalidSpec: As :meth:`~dli.project.project.Project.find`.
    """
    everything = list(project.datasets()) if not named or any("*" in name for name in named) else []
    if not named:
        if not everything:
            raise project.no_datasets()
        return everything
    found: dict[str, LocalDataset] = {}
    for name in named:
        if "*" in name:
            matching = [one for one in everything if one.name and fnmatchcase(one.name, name)]
            if not matching:
                raise NotFound(f"No dataset of this project matches {name}.")
        else:
            matching = [project.find(name)]
        found |= {one.file: one for one in matching}
    return list(found.values())


def in_order(
    datasets: Iterable[LocalDataset], dialect_of: Callable[[DatasetSpec], str | None]
) -> Iterator[Registration]:
    """Yield datasets, each after those among them that it depends on; those that can't be registered come first."""
    datasets = list(datasets)
    twice = {problem.file: problem for problem in duplicates(datasets)}
    nodes: dict[str, tuple[LocalDataset, GraphDataset]] = {}
    for local in datasets:
        try:
            spec = local.checked()
            if local.file in twice:
                raise InvalidSpec([twice[local.file]])
            node = isolated(local.file, GraphDataset.of, spec, local.sql, dialect_of(spec))
        except DliError as error:
            yield Registration(local=local, error=error)
        else:
            nodes[spec.name] = local, node
    graph = DatasetGraph(node for _, node in nodes.values())
    for name in graph.sequence:
        upstream = {*graph.missing(name), *(edge.upstream for edge in graph.parents(name))}
        yield Registration(local=nodes[name][0], upstream=frozenset(upstream))
