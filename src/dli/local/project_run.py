"""Run all datasets of a project on this machine, in order of dependency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dataspec.errors import DliError, InvalidSpec, InvalidUsage, NotFound, UnknownParameter
from dataspec.problems import nearest
from dataspec.project.graph import DatasetGraph, GraphDataset
from dli.local.run import RunPlan
from dli.project.clocks import with_clocks
from dli.project.isolated import isolated
from dli.project.project import all_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dli.config.settings import Settings
    from dli.local.run import LocalRun
    from dli.project.project import LocalDataset, Project

Outcome = Literal["COMPLETED", "FAILED", "SKIPPED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The outcome of one dataset."""

    name: str
    outcome: Outcome
    run: LocalRun | None = None
    error: DliError | None = None
    """The reason of a failure, or of a skipped dataset."""


class ProjectRun:
    """A run of all datasets of a project; all are planned before the first one runs.

    Raises:
        NotFound: When the project has no dataset.
        InvalidSpec: When one is invalid, with the problems of all.
        InvalidUsage: When they depend on each other in a cycle.
        InvalidParameters: When the parameters are invalid.
        InvalidSettings: When a connection is not defined.
    """

    def __init__(
        self,
        project: Project,
        given: Mapping[str, Any],
        settings: Settings,
        waiting: Callable[[str], None],
    ) -> None:
        datasets = _checked(project)
        _check_names(datasets, given)
        plans = {name: _plan(dataset, given, settings, waiting) for name, dataset in datasets.items()}
        self._graph = DatasetGraph(
            isolated(plan.dataset.file, GraphDataset.of, plan.spec, plan.dataset.sql, plan.dialect)
            for plan in plans.values()
        )
        self.plans = [plans[name] for name in self._graph.order()]

    def steps(self, execute: Callable[[RunPlan], LocalRun]) -> Iterator[Step]:
        """Run the datasets in order; yield the outcome of each.

        After a failure, the datasets that depend on the failed one are skipped; the others run.
        """
        broken: set[str] = set()
        for plan in self.plans:
            name = plan.spec.name
            missing = [upstream for upstream in self._graph.upstream(name) if upstream in broken]
            if missing:
                yield Step(name=name, outcome="SKIPPED", error=NotFound(f"{missing[0]} was not built."))
                continue
            try:
                yield Step(name=name, outcome="COMPLETED", run=execute(plan))
            except DliError as error:
                broken.add(name)
                yield Step(name=name, outcome="FAILED", error=error)


def _checked(project: Project) -> dict[str, LocalDataset]:
    datasets = list(project.datasets())
    if not datasets:
        raise project.no_datasets()
    if problems := all_problems(datasets):
        raise InvalidSpec(problems)
    return {dataset.checked().name: dataset for dataset in with_clocks(datasets)}


def _check_names(datasets: Mapping[str, LocalDataset], given: Mapping[str, Any]) -> None:
    """Refuse a parameter that no dataset declares."""
    declared = {
        p.name: p.must_be_given for dataset in datasets.values() for p in dataset.checked().parameters
    }
    for name in given:
        if name not in declared:
            raise UnknownParameter(name, declared, hint=nearest(name, declared))


def _plan(
    dataset: LocalDataset,
    given: Mapping[str, Any],
    settings: Settings,
    waiting: Callable[[str], None],
) -> RunPlan:
    spec = dataset.checked()
    own = {p.name: given[p.name] for p in spec.parameters if p.name in given}
    try:
        return RunPlan.of(dataset, own, settings, waiting)
    except InvalidUsage as error:
        error.detail = "\n".join(filter(None, (error.detail, f"In: {spec.name} ({dataset.file})")))
        raise
