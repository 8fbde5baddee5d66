"""The partition that a run builds, by Airflow's run and its spec."""

from __future__ import annotations

from basecamp.airflow.models import DagRun
from dataspec.contract import TIMETABLE_RUN_TYPES
from dataspec.parameters import EXECUTION_DATE, ParameterValueError
from dataspec.schedule.partitions import Grid, Partition
from dataspec.spec.model import DatasetSpec


def partition_of(run: DagRun, spec: DatasetSpec) -> Partition | None:
    """Return the partition that a run builds; None if it builds none, or none of the spec's schedule."""
    grid = Grid.of(spec.schedule)
    given, start, end = run.conf.get(EXECUTION_DATE), run.data_interval_start, run.data_interval_end
    if given is not None:
        try:
            return grid.named(given)
        except ParameterValueError:  # of another version of the spec
            return None
    if run.run_type in TIMETABLE_RUN_TYPES and start is not None and end is not None:
        return grid.of_run((start, end))
    return None
