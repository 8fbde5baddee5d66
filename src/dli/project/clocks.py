"""Give the datasets of a project that follow their upstream datasets the clock of these (specification 31.35)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from dataspec.errors import InvalidSpec, NotFound
from dataspec.schedule.upstream_clock import Clock, Declared, Followed, upstream_clocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataspec.spec.model import DatasetSpec
    from dli.project.project import LocalDataset, Project


def find_with_clock(project: Project, name: str) -> LocalDataset:
    """Return a dataset like :meth:`Project.find`; one without a known clock stays as it is."""
    return with_clocks(project, [project.find(name)])[0]


def with_clocks(project: Project, datasets: Sequence[LocalDataset]) -> list[LocalDataset]:
    """Return datasets of a project; each that follows others has the clock of these, if it is known."""
    specs = {dataset.spec.name: dataset.spec for dataset in datasets if dataset.spec}
    if not any(spec.follows_upstream for spec in specs.values()):
        return list(datasets)
    clocks = upstream_clocks(_declared(project, specs))
    return [
        replace(dataset, spec=dataset.spec.with_clock(clock))
        if dataset.spec and isinstance(clock := clocks.get(dataset.spec.name), Clock)
        else dataset
        for dataset in datasets
    ]


def _declared(project: Project, known: Mapping[str, DatasetSpec]) -> dict[str, Declared]:
    """Return what specs say of their clocks, and those that they follow, directly or not; unknown ones are left out."""
    declared = {name: spec.declared_clock for name, spec in known.items()}
    ahead = [name for clock in declared.values() for name in _followed(clock)]
    seen = set(declared)
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        with suppress(NotFound, InvalidSpec):
            if (spec := project.find(name).spec) is not None:
                declared[name] = spec.declared_clock
                ahead += _followed(spec.declared_clock)
    return declared


def _followed(declared: Declared) -> list[str]:
    return list(declared.upstream) if isinstance(declared, Followed) else []
