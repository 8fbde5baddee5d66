"""Resolve a run of Airflow's: its parameters, what its SQL sees, and the partition that it builds."""

from __future__ import annotations

from dataclasses import dataclass
from logging import Logger
from typing import Any

from dataspec.contract import TIMETABLE_RUN_TYPES, built_interval, given_parameters
from dataspec.errors import InvalidParameters
from dataspec.parameters import EXECUTION_DATE
from dataspec.schedule.partitions import Grid, Partition
from dataspec.spec.model import DatasetSpec
from dataspec.spec.run_values import RunValues, resolve_run
from dli_airflow.airflow_api import AirflowFailException, run_type_name


@dataclass(frozen=True, slots=True)
class ResolvedRun:
    """The values of a run, and its partition."""

    values: RunValues
    partition: Partition | None
    """None for a run of a dataset without ``execution_date`` that its schedule did not start."""


def resolved_run(spec: DatasetSpec, run: Any, log: Logger) -> ResolvedRun:
    """Return the values and the partition of a run.

    Raises:
        AirflowFailException: For wrong parameters; another attempt would fail as well.
    """
    run_type, interval = run_type_name(run.run_type), (run.data_interval_start, run.data_interval_end)
    given = given_parameters(run.conf or {}, spec.parameters, run_type=run_type, interval_start=interval[0])
    try:
        built = built_interval(spec.schedule, run_type=run_type, interval=interval)
        values = resolve_run(spec, given, data_interval=built)
    except InvalidParameters as error:
        log.error("%s", "\n".join(filter(None, (error.text, error.detail))))  # noqa: TRY400 - no trace
        raise AirflowFailException(error.title) from None
    log.info("Parameters: %s", values.parameters)
    return ResolvedRun(values, _partition(spec, run_type, interval, values))


def _partition(
    spec: DatasetSpec, run_type: str, interval: tuple[Any, Any], values: RunValues
) -> Partition | None:
    grid, date = Grid.of(spec.schedule), values.parameters.get(EXECUTION_DATE)
    if run_type in TIMETABLE_RUN_TYPES and None not in interval:
        return grid.of_run(interval)
    return None if date is None else grid.named(date)
