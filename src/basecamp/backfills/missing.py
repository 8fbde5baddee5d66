"""Find the partitions of a backfill that are built already (docs/backfill.md, "Start again")."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import RunFilter
from basecamp.datasets.upstream_needs import UpstreamNeeds
from basecamp.runs.all_runs import all_runs
from basecamp.runs.built_by_runs import built_by
from basecamp.runs.records import RunRecords
from basecamp.shared.clock import Clock, airflow_now
from dataspec.schedule.built import Built
from dataspec.schedule.chain import Step
from dataspec.schedule.partitions import Grid

LATELY = timedelta(days=1)
"""Runs that changed since then count beside what is known as built, which may have been lost or not been written yet."""
HISTORY_PAGES = 100
"""Maximum number of pages of runs that are read of a dataset whose earlier runs nobody has added yet."""


class BuiltSteps:
    """Knows which steps of a backfill are built. Safe to share between threads."""

    def __init__(
        self, needs: UpstreamNeeds, gateway: AirflowGateway, records: RunRecords, clock: Clock
    ) -> None:
        self._needs = needs
        self._gateway = gateway
        self._records = records
        self._clock = clock

    def among(self, steps: Collection[Step], grids: Mapping[str, Grid]) -> set[Step]:
        """Return the steps whose partitions are built, by what datasets have built and by successful runs.

        Args:
            steps: The steps.
            grids: The partitions of their datasets. A step of another dataset does not count as built.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer, and never did.
        """
        named = {step: grids[step.dataset].named(step.partition) for step in steps if step.dataset in grids}
        built = dict(self._needs.built({step.dataset for step in named}))

        def missing() -> Iterator[Step]:
            return (step for step, partition in named.items() if not built[step.dataset].covers(partition))

        for name in {step.dataset for step in missing()}:
            built[name] = built[name].union(self._by_runs(name, built[name]))
        return named.keys() - set(missing())

    def _by_runs(self, name: str, known: Built) -> Built:
        """Return what the successful runs of a dataset built: of all, or of the last ones if the others are known."""
        since = airflow_now(self._gateway, self._clock) - LATELY if known.complete else None
        wanted = RunFilter(dag_id=name, states=("success",), changed_from=since)
        runs = all_runs(self._gateway, wanted, max_pages=HISTORY_PAGES)
        return built_by(runs, self._records).get(name, Built())
