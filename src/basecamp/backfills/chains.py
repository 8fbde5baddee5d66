"""Find the datasets that a backfill builds beside its own: all upstream, or all downstream of it (docs/backfill.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from basecamp.datasets.dataset_teams import PermittedDatasets
from dataspec.catalog.effective import Catalog
from dataspec.errors import Forbidden, InvalidParameters
from dataspec.parameters import EXECUTION_DATE
from dataspec.project.graph import DatasetGraph, GraphDataset
from dataspec.schedule.chain import Chain, ChainedDataset, Step
from dataspec.schedule.needs import WhichPartition
from dataspec.schedule.partitions import Grid
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.model import DatasetSpec
from dataspec.spec.run_values import resolve_run


def chained_specs(
    catalog: Catalog, root: DatasetSpec, *, upstream: bool, downstream: bool
) -> list[DatasetSpec]:
    """Return the specs of a dataset and of those around it, in the order of the graph.

    Args:
        catalog: The registered specs.
        root: The spec of the requested dataset, which need not be registered.
        upstream: Whether to include all datasets from which it is built.
        downstream: Whether to include all datasets that are built from it.

    Raises:
        InvalidUsage: When some of them depend on each other.
    """
    specs = catalog.specs | {root.name: root}
    graph = _graph(specs)
    names = {root.name}
    if upstream:
        names |= {*graph.upstream(root.name)}
    if downstream:
        names |= {*graph.downstream(root.name)}
    return [specs[name] for name in _graph({name: specs[name] for name in names}).order()]


def _graph(specs: Mapping[str, DatasetSpec]) -> DatasetGraph:
    return DatasetGraph(GraphDataset(name, spec.upstream) for name, spec in specs.items())


def check_rights(
    specs: Sequence[DatasetSpec], permitted: PermittedDatasets, connections: ConnectionTeams
) -> None:
    """Check that the caller may run every dataset of a chain, and each of them use its connection.

    Raises:
        Forbidden: When one of them is not allowed.
    """
    others = [spec.name for spec in specs if spec.name not in permitted]
    if others:
        raise Forbidden(
            f"The chain has datasets that you may not run: {', '.join(others)}.",
            detail="A chain needs the role operator for each of its datasets.",
        )
    for spec in specs:
        connections.check(spec)


def chain_of(specs: Sequence[DatasetSpec]) -> tuple[ChainedDataset, ...]:
    """Return the datasets of a chain as a plan has them."""
    names = {spec.name for spec in specs}
    return tuple(_chained(spec, names) for spec in specs)


def _chained(spec: DatasetSpec, names: set[str]) -> ChainedDataset:
    grid = Grid.of(spec.schedule)
    needs = tuple((one.dataset, _which(one.partition)) for one in spec.dependencies if one.dataset in names)
    return ChainedDataset(
        dataset=spec.name, cron=grid.cron, zone=grid.zone, needs=needs, once=not spec.takes_execution_date
    )


def _which(partition: WhichPartition | None) -> WhichPartition:
    """Return which partitions are built with one that needs them; where any will do, the same ones."""
    return "previous" if partition == "previous" else "same"


def steps_of(
    chain: Sequence[ChainedDataset],
    specs: Sequence[DatasetSpec],
    root: str,
    partitions: Sequence[str],
    now: datetime,
) -> tuple[Step, ...]:
    """Return the partitions to build, in order; check that each other dataset's runs would start.

    Raises:
        InvalidUsage: When there are too many.
        InvalidParameters: When a run of another dataset needs a parameter.
    """
    steps = Chain(chain, root).steps(partitions, now=now)
    first = {step.dataset: step.partition for step in reversed(steps)}
    for spec in specs:
        if spec.name == root or spec.name not in first:
            continue
        try:
            resolve_run(spec, {EXECUTION_DATE: first[spec.name]} if spec.takes_execution_date else {})
        except InvalidParameters as error:
            raise InvalidParameters(
                f"'{spec.name}' can't be built in this chain: {error.title}",
                detail="The parameters of a chain are those of the requested dataset; the others have their defaults.",
            ) from None
    return steps


def label(step: Step, root: str) -> str:
    """Return a step as the dates of a plan have it."""
    return step.partition if step.dataset == root else f"{step.dataset} {step.partition}"
