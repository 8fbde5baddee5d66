"""What successful runs have built, each by the schedule by which it ran (docs/waiting.md, "What was built")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from basecamp.airflow.models import PAGE_LIMIT, DagRun
from basecamp.runs.records import RunRecords
from dataspec.contract import checks_only
from dataspec.schedule.built import Built


def built_by(runs: Iterable[DagRun], records: RunRecords) -> dict[str, Built]:
    """Return what successful runs built, by dataset.

    A run of another DAG with a dataset's id built nothing, nor did one of the checks alone.

    Raises:
        AirflowUnreachable: When Airflow does not answer.
        StoreUnreachable: When the store does not answer, and never did.
    """
    found: dict[str, Built] = defaultdict(Built)
    left = (run for run in runs if not checks_only(run.conf))
    while batch := list(islice(left, PAGE_LIMIT)):
        partitions = records.partitions(batch)
        for run in batch:
            if run.key in partitions:
                partition, grid = partitions[run.key]
                at = run.end_date or run.run_after
                found[run.dag_id] = found[run.dag_id].with_partition(partition, at=at, grid=grid)
    return dict(found)
