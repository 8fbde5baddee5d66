"""Look at what depends on what among the datasets that a publish leaves (specification 32.15, 32.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.project.dependents import unknown_upstream
from dataspec.project.graph import DatasetGraph, GraphDataset, as_path
from dataspec.schedule.upstream_clock import NoClock, upstream_clocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.spec.model import DatasetSpec
    from dli.project.publish_plan import PublishPlan


def lost_dependencies(plan: PublishPlan) -> Iterator[str]:
    """Yield a warning for each dataset that depends on an unknown one, and for each cycle and lost clock."""
    specs = _specs(plan)
    known = {**specs, **dict.fromkeys(plan.manual), **dict.fromkeys(_kept(plan))}
    for name, spec in specs.items():
        for other in unknown_upstream(spec, known):
            yield f"'{name}' depends on '{other}', which neither the project nor the store has."
    for cycle in DatasetGraph(GraphDataset(name, spec.upstream) for name, spec in specs.items()).cycles():
        yield f"These datasets depend on each other, so no scheduled run of them can start: {as_path(cycle)}."
    for name, clock in upstream_clocks({name: spec.declared_clock for name, spec in specs.items()}).items():
        if isinstance(clock, NoClock) and not clock.unknown:
            yield f"The schedule '@upstream' of '{name}' gives no clock: {clock.reason}."


def needed_removals(plan: PublishPlan) -> Iterator[str]:
    """Yield a reason to ask for each dataset that would be removed, and that others depend on."""
    specs = _specs(plan)
    for change in plan.changes:
        if change.action == "remove" and change.name and not change.releases_manual:
            needing = [name for name, spec in specs.items() if change.name in spec.upstream]
            if needing:
                yield f"'{change.name}' would be removed, and {_listed(needing)} on it."


def _specs(plan: PublishPlan) -> Mapping[str, DatasetSpec]:
    checked = (dataset.spec for dataset in plan.wanted.values())
    return {spec.name: spec for spec in checked if spec is not None}


def _kept(plan: PublishPlan) -> list[str]:
    """Return the names of published datasets that stay although the project does not have them."""
    removed = {spec.key for spec in plan.removed}
    return [spec.name for spec in plan.published.datasets if spec.name and spec.key not in removed]


def _listed(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return f"{quoted[0]} depends" if len(quoted) == 1 else f"{', '.join(quoted)} depend"
