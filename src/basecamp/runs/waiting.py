"""What waiting runs wait for, with the upstream run or the reason for which there is none (specification 31.7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import PAGE_LIMIT, DagRun, RunFilter
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_cache import DagCache
from basecamp.datasets.dataset_teams import PermittedDatasets
from basecamp.datasets.upstream_needs import PARALLEL_REQUESTS, OpenNeed, UpstreamNeeds
from basecamp.outages.request_budget import map_within_budget
from basecamp.runs.records import RunRecords
from basecamp.runs.values import partition_of
from basecamp.shared.clock import Clock, airflow_now
from dataspec.catalog.effective import Catalog
from dataspec.contract import waits
from dataspec.models import RunStatus, WaitingFor, WaitState
from dataspec.schedule.cron import NoTick
from dataspec.schedule.partitions import Partition
from dataspec.spec.model import DatasetSpec

SHOWN = 200
"""Maximum number of partitions of one upstream dataset that are named: a week has 168 hours."""

_STATES: Mapping[RunStatus, WaitState] = {
    RunStatus.PENDING: "pending",
    RunStatus.RUNNING: "running",
    RunStatus.COMPLETED: "completed",
    RunStatus.FAILED: "failed",
    RunStatus.KILLED: "killed",
}


@dataclass(frozen=True, slots=True)
class _Missing:
    """One thing that is not built: a partition of an upstream dataset, or any of its partitions."""

    open: OpenNeed
    partition: Partition | None
    run: DagRun | None
    """The last upstream run for it."""


class WaitingRuns:
    """Finds out what runs wait for. Safe to share between threads.

    Args:
        specs: The specs.
        gateway: The Airflow that runs them.
        dags: Their DAGs, which may be paused.
        records: Reads the status of upstream runs.
        needs: Finds what is not built.
        clock: The clock.
    """

    def __init__(
        self,
        *,
        specs: CatalogCache,
        gateway: AirflowGateway,
        dags: DagCache,
        records: RunRecords,
        needs: UpstreamNeeds,
        clock: Clock,
    ) -> None:
        self._specs = specs
        self._gateway = gateway
        self._dags = dags
        self._records = records
        self._needs = needs
        self._clock = clock

    def of(self, runs: Sequence[DagRun]) -> list[list[WaitingFor]]:
        """Return what each pending run waits for; nothing for one that does not wait for other datasets.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer, and never did.
        """
        catalog = self._specs.known().value
        known = [_spec_and_partition(run, catalog) for run in runs]
        opened = iter(self._needs.open([one for one in known if one is not None]))
        needs = [next(opened) if one is not None else [] for one in known]
        upstream = self._upstream_runs(
            sorted({one.need.dataset for of_run in needs for one in of_run}), catalog
        )
        missing = [
            [found for one in of_run for found in _missing(one, upstream[one.need.dataset])]
            for of_run in needs
        ]
        states = self._states([one.run for of_run in missing for one in of_run if one.run])
        return [
            [self._waiting_for(one, states) for one in of_run] or _queries(spec_and_partition)
            for of_run, spec_and_partition in zip(missing, known, strict=True)
        ]

    def _upstream_runs(
        self, datasets: Sequence[str], catalog: Catalog
    ) -> dict[str, list[tuple[DagRun, Partition | None]]]:
        """Return the last runs of upstream datasets with what they build, newest first."""
        if not datasets:
            return {}

        def read(dataset: str) -> list[tuple[DagRun, Partition | None]]:
            page = self._gateway.list_runs(RunFilter(dag_id=dataset), limit=PAGE_LIMIT)
            return [(run, _partition(run, catalog)) for run in page.runs]

        with ThreadPoolExecutor(min(PARALLEL_REQUESTS, len(datasets))) as pool:
            return dict(zip(datasets, map_within_budget(pool, read, datasets), strict=True))

    def _states(self, runs: Sequence[DagRun]) -> Mapping[tuple[str, str], WaitState]:
        distinct = list({run.key: run for run in runs}.values())
        records = self._records.of(distinct)
        return {run.key: _STATES[record.status] for run, record in zip(distinct, records, strict=True)}

    def _waiting_for(self, missing: _Missing, states: Mapping[tuple[str, str], WaitState]) -> WaitingFor:
        run = missing.run
        return WaitingFor(
            dataset=missing.open.need.dataset,
            partition=missing.partition.name if missing.partition else None,
            state=states[run.key] if run else self._state_without_run(missing),
            run_id=run.run_id if run else None,
        )

    def _state_without_run(self, missing: _Missing) -> WaitState:
        file = missing.open.file
        if file is None or file.spec is None:
            return "unregistered"
        dag, schedule = self._dags.known().value.get(missing.open.need.dataset), file.spec.schedule
        if (dag and dag.is_paused) or (schedule and not schedule.enabled):
            return "paused"
        due = _due(missing)
        if due is None and missing.partition is None:
            due = dag.next_run if dag else None
        return "not_due" if due and due > airflow_now(self._gateway, self._clock) else "missing"


def shown_to(waiting_for: Sequence[WaitingFor], permitted: PermittedDatasets) -> list[WaitingFor]:
    """Return what a caller may see: of datasets of other teams only that they are waited for."""
    return [
        one if one.dataset is None or one.dataset in permitted else replace(one, state="hidden", run_id=None)
        for one in waiting_for
    ]


def _spec_and_partition(run: DagRun, catalog: Catalog) -> tuple[DatasetSpec, Partition | None] | None:
    """Return what the needs of a run depend on; None for a run that does not wait."""
    file = catalog.effective.get(run.dag_id)
    if file is None or file.spec is None or run.finished or not waits(run.conf, run_type=run.run_type):
        return None
    return file.spec, partition_of(file.spec, run)


def _partition(run: DagRun, catalog: Catalog) -> Partition | None:
    file = catalog.effective.get(run.dag_id)
    return partition_of(file.spec, run) if file and file.spec else None


def _missing(found: OpenNeed, upstream: Sequence[tuple[DagRun, Partition | None]]) -> Iterator[_Missing]:
    """Yield what is not built, each with the last upstream run for it."""
    if found.need.span is None:
        yield _Missing(found, None, upstream[0][0] if upstream else None)
    for partition in islice(found.need.missing(found.built), SHOWN):
        runs = (run for run, builds in upstream if builds is not None and _meet(builds, partition))
        yield _Missing(found, partition, next(runs, None))


def _meet(one: Partition, other: Partition) -> bool:
    return one.start < other.end and other.start < one.end


def _queries(waiting: tuple[DatasetSpec, Partition | None] | None) -> list[WaitingFor]:
    """Return the queries of a run whose datasets are built: it waits for one of them."""
    return [WaitingFor(dataset=None, state="query") for _ in waiting[0].conditions] if waiting else []


def _due(missing: _Missing) -> datetime | None:
    grid = missing.open.need.grid
    if missing.partition is None or grid.cron is None:
        return None
    try:
        return grid.data_interval(missing.partition)[1]
    except NoTick:
        return None
