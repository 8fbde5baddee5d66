"""What runs need of their upstream datasets and is not built (docs/waiting.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from basecamp.airflow.gateway import AirflowGateway
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.outages.request_budget import map_within_budget
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.contract import built_variable
from dataspec.errors import AirflowUnreachable
from dataspec.schedule.built import Built
from dataspec.schedule.needs import Need, Upstream, need_of
from dataspec.schedule.partitions import Grid, Partition
from dataspec.spec.model import DatasetSpec

PARALLEL_REQUESTS = 8
SHOWN = 20
"""Maximum number of partitions that a message names."""
CHECKED = 1000
"""Maximum number of runs of a backfill whose needs are looked at."""


@dataclass(frozen=True, slots=True)
class OpenNeed:
    """A need that is not met."""

    need: Need
    built: Built
    """What the upstream dataset has built."""
    file: SpecFile | None
    """Its effective spec; None if it is not registered."""


class UpstreamNeeds:
    """Finds the needs of runs that are not met, by Airflow's Variables. Safe to share between threads."""

    def __init__(self, specs: CatalogCache, gateway: AirflowGateway) -> None:
        self._specs = specs
        self._gateway = gateway

    def open(self, runs: Sequence[tuple[DatasetSpec, Partition | None]]) -> list[list[OpenNeed]]:
        """Return the needs of each run that are not met, in the order of ``depends_on``.

        Args:
            runs: The spec of each run, and the partition that it builds.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer, and never did.
        """
        catalog = self._specs.known().value
        needs = [_needs(spec, partition, catalog) for spec, partition in runs]
        built = self.built({need.dataset for of_run in needs for need in of_run})
        return [
            [
                OpenNeed(need, built[need.dataset], catalog.effective.get(need.dataset))
                for need in of_run
                if not need.is_met(built[need.dataset])
            ]
            for of_run in needs
        ]

    def warnings(self, spec: DatasetSpec, partitions: Iterable[Partition | None]) -> list[str]:
        """Return a warning that names what runs need and what is not built, for runs that don't wait for it.

        Args:
            spec: The spec of the runs.
            partitions: What each run builds; the first :data:`CHECKED` are looked at.

        Raises:
            StoreUnreachable: When the store does not answer, and never did.
        """
        if not spec.dependencies:
            return []
        try:
            opened = self.open([(spec, partition) for partition in islice(partitions, CHECKED)])
        except AirflowUnreachable as error:
            return [f"Whether the upstream datasets are built is not known. {error.title}"]
        missing = dict.fromkeys(name for needs in opened for found in needs for name in _missing(found))
        if not missing:
            return []
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        names = ", ".join(islice(missing, SHOWN))
        return [
            f"Upstream partitions are not built: {names}{more}. To wait for them, add: --wait-for-upstream"
        ]

    def built(self, names: Collection[str]) -> Mapping[str, Built]:
        """Return what datasets have built; the Variables are read in parallel.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
        """
        ordered = sorted(names)
        if not ordered:
            return {}
        with ThreadPoolExecutor(min(PARALLEL_REQUESTS, len(ordered))) as pool:
            texts = map_within_budget(
                pool, self._gateway.variable, [built_variable(name) for name in ordered]
            )
            return {name: Built.parse(text).built for name, text in zip(ordered, texts, strict=True)}


def _missing(found: OpenNeed) -> Iterator[str]:
    if found.need.span is None:
        yield f"{found.need.dataset} (any)"
    for partition in islice(found.need.missing(found.built), SHOWN + 1):
        yield f"{found.need.dataset} {partition.name}"


def upstream_of(name: str, catalog: Catalog) -> Upstream:
    """Return what the needs of runs depend on, of an upstream dataset, which may not be registered."""
    file, entry = catalog.effective.get(name), catalog.ledger.entries.get(name)
    schedule = file.spec.schedule if file and file.spec else None
    return Upstream(Grid.of(schedule), entry.since if entry else None)


def _needs(spec: DatasetSpec, partition: Partition | None, catalog: Catalog) -> Iterable[Need]:
    grid = Grid.of(spec.schedule)
    found = (
        need_of(
            entry.dataset, entry.partition, partition, grid=grid, upstream=upstream_of(entry.dataset, catalog)
        )
        for entry in spec.dependencies
    )
    return [need for need in found if need is not None]
