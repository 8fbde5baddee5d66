"""Give the datasets of a project that follow their upstream datasets the clock of these (specification 31.35)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dataspec.errors import InvalidSpec, NotFound
from dataspec.schedule.upstream_clock import Clock, Declared, Followed, upstream_clocks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dli.project.project import LocalDataset, Project


def find_with_clock(project: Project, name: str) -> LocalDataset:
    """Return a dataset like :meth:`Project.find`; one without a known clock stays as it is."""
    found = project.find(name)
    if found.spec is None or not found.spec.follows_upstream:
        return found
    return next(iter(with_clocks([found, *_upstream(project, found)])))


def with_clocks(datasets: Iterable[LocalDataset]) -> list[LocalDataset]:
    """Return datasets, each that follows others of them with the clock of these, if it is known."""
    datasets = list(datasets)
    declared = {dataset.spec.name: dataset.spec.declared_clock for dataset in datasets if dataset.spec}
    clocks = upstream_clocks(declared)
    return [
        replace(dataset, spec=dataset.spec.with_clock(clock))
        if dataset.spec and isinstance(clock := clocks.get(dataset.spec.name), Clock)
        else dataset
        for dataset in datasets
    ]


def _upstream(project: Project, dataset: LocalDataset) -> list[LocalDataset]:
    """Return the datasets whose clocks count for one, directly or through others; unknown ones are left out."""
    found: dict[str, LocalDataset | None] = {}
    ahead = _followed(dataset.spec.declared_clock if dataset.spec else None)
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        found[name] = None
        try:
            upstream = found[name] = project.find(name)
        except (NotFound, InvalidSpec):
            continue
        ahead += _followed(upstream.spec.declared_clock if upstream.spec else None)
    return [upstream for upstream in found.values() if upstream is not None]


def _followed(declared: Declared) -> list[str]:
    return list(declared.upstream) if isinstance(declared, Followed) else []
