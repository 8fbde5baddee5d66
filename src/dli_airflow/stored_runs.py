"""Read the scheduled runs that Airflow 2.11 has stored of a dataset, which it does not pass to a timetable.

The scheduler and the DAG processor call a timetable within a transaction. This module reads in the session of
their thread, which sees uncommitted changes, and never commits.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pendulum
from airflow import settings
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun

from dataspec.contract import SCHEDULED, TIMETABLE_RUN_TYPES
from dataspec.schedule.run_ids import parse_run_id
from dli_airflow.airflow_api import DagRunInfo, DataInterval


class StoredRuns:
    """Finds the scheduled runs of one DAG and its planned run.

    Args:
        dag_id: The DAG's id, which is the dataset's name.
    """

    def __init__(self, dag_id: str) -> None:
        self._dag_id = dag_id
        self._session = settings.Session()

    def planned(self) -> DagRunInfo | None:
        """Return the run that Airflow will create next."""
        with self._session.no_autoflush:
            dag = self._session.get(DagModel, self._dag_id)
        if dag is None or dag.next_dagrun_data_interval is None or dag.next_dagrun_create_after is None:
            return None
        interval = DataInterval(*map(pendulum.instance, dag.next_dagrun_data_interval))
        return DagRunInfo(pendulum.instance(dag.next_dagrun_create_after), interval)

    def plan(self, run: DagRunInfo) -> None:
        """Replace the run that Airflow will create next."""
        dag = self._session.get(DagModel, self._dag_id)
        dag.next_dagrun, dag.next_dagrun_data_interval = run.logical_date, run.data_interval
        dag.next_dagrun_create_after = run.run_after

    def last(self, interval: DataInterval) -> DagRunInfo:
        """Return the last run before the one that Airflow asks for by an interval.

        The interval may be that of:

        - the last run, or a run that has just ended, although later runs exist: the last run is returned;
        - a planned run that could not be created, because a manual run has the same logical date: that
          date alone is returned;
        - a future run, when Airflow draws its calendar: the interval itself is returned.
        """
        last = self._newest(DagRun.run_type.in_(TIMETABLE_RUN_TYPES))
        if last is not None and last.execution_date >= interval.start:
            return _info(last)
        if self._newest(DagRun.execution_date == interval.start) is not None:
            return DagRunInfo.exact(interval.start)
        return DagRunInfo(interval.end, interval)

    def _newest(self, which: Any) -> DagRun | None:
        runs = self._session.query(DagRun).filter(DagRun.dag_id == self._dag_id, which)
        with self._session.no_autoflush:
            found: DagRun | None = runs.order_by(DagRun.execution_date.desc()).first()
        return found


def _info(run: DagRun) -> DagRunInfo:
    interval = DataInterval(*map(pendulum.instance, (run.data_interval_start, run.data_interval_end)))
    return DagRunInfo(pendulum.instance(_due(run)), interval)


def _due(run: DagRun) -> datetime:
    """Return when a run was due: Airflow 2.11 keeps that in the run's id alone."""
    own = parse_run_id(run.run_id) if run.run_type == SCHEDULED else None
    due: datetime = own.at if own else run.data_interval_end
    return due
