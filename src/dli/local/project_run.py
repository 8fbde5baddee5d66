"""Every dataset of a project run on this machine, each after those that it is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dataspec.errors import DliError, InvalidSpec, InvalidUsage, NotFound, UnknownParameter
from dataspec.problems import nearest
from dataspec.project.graph import DatasetGraph, GraphDataset
from dli.local.run import Plan
from dli.project.isolated import isolated
from dli.project.paths import shown
from dli.project.project import duplicates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dli.config.settings import Settings
    from dli.local.run import LocalRun
    from dli.project.project import LocalDataset, Project

Outcome = Literal["COMPLETED", "FAILED", "SKIPPED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What became of one dataset."""

    name: str
    outcome: Outcome
    run: LocalRun | None = None
    error: DliError | None = None
    """Why it failed, or was passed over."""


class ProjectRun:
    """The datasets of a project, planned whole before the first of them runs.

    Raises:
        NotFound: When there is none.
        InvalidSpec: When one can't be used, with the problems of all.
        InvalidUsage: When they depend on each other in a circle.
        InvalidParameters: When the parameters don't fit, before anything runs.
        InvalidSettings: When a connection is not defined here.
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
        self._graph = DatasetGraph.of(
            isolated(plan.dataset.file, GraphDataset.of, plan.spec, plan.dataset.sql, plan.dialect)
            for plan in plans.values()
        )
        self.plans = [plans[name] for name in self._graph.order()]

    def steps(self, execute: Callable[[Plan], LocalRun]) -> Iterator[Step]:
        """Run each dataset in its turn; yield what became of it.

        One that failed takes along those that are built from it; the others go on.
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
        folder = shown(project.folder)
        raise NotFound(f"No Dataset Spec in {folder}.", detail="Write a first one: dli dataset init")
    problems = [problem for dataset in datasets for problem in dataset.problems]
    if problems := [*dict.fromkeys(problems), *duplicates(datasets)]:
        raise InvalidSpec(problems)
    return {dataset.checked().name: dataset for dataset in datasets}


def _check_names(datasets: Mapping[str, LocalDataset], given: Mapping[str, Any]) -> None:
    """Refuse a parameter that no dataset has."""
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
) -> Plan:
    spec = dataset.checked()
    own = {p.name: given[p.name] for p in spec.parameters if p.name in given}
    try:
        return Plan.of(dataset, own, settings, waiting)
    except InvalidUsage as error:
        error.detail = "\n".join(filter(None, (error.detail, f"In: {spec.name} ({dataset.file})")))
        raise


def rows_of(steps: Sequence[Step]) -> list[tuple[str, str, str, str]]:
    """Return a table's rows: dataset, status, rows written, seconds."""
    return [
        (
            step.name,
            step.outcome,
            f"{step.run.rows_written:,}" if step.run and step.run.rows_written is not None else "-",
            f"{step.run.seconds:.2f} s" if step.run else "-",
        )
        for step in steps
    ]
