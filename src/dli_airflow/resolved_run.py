"""Resolve a run of Airflow's: its parameters, what its SQL sees, and the partition that it builds."""

from __future__ import annotations

from logging import Logger
from typing import Any

from dataspec.contract import values_of_run
from dataspec.errors import InvalidParameters
from dataspec.spec.model import DatasetSpec
from dataspec.spec.run_values import RunValues
from dli_airflow.airflow_api import AirflowFailException, run_type_name


def resolved_run(spec: DatasetSpec, run: Any, log: Logger) -> RunValues:
    """Return the values and the partition of a run.

    Raises:
        AirflowFailException: For wrong parameters; another attempt would fail as well.
    """
    run_type, interval = run_type_name(run.run_type), (run.data_interval_start, run.data_interval_end)
    try:
        values = values_of_run(spec, run.conf or {}, run_type=run_type, interval=interval)
    except InvalidParameters as error:
        log.error("%s", "\n".join(filter(None, (error.text, error.detail))))  # noqa: TRY400 - no trace
        raise AirflowFailException(error.title) from None
    log.info("Parameters: %s", values.parameters)
    if values.partition is not None:
        log.info("Partition: %s", values.partition)
    return values
