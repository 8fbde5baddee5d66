"""What Airflow 2.11 has stored of a dataset's scheduled runs, and does not pass to its timetable.

A timetable is asked in the midst of a transaction: by the scheduler, which has just made a
run, and by the DAG processor. So this reads in the session of their thread, which sees what
is not committed yet, and leaves it to them to commit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pendulum
from airflow import settings
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun

from dataspec.schedule.run_ids import parse_run_id
from dli_airflow.airflow_api import DagRunInfo, DataInterval

_AUTOMATED = ("scheduled", "backfill")


class StoredRuns:
    """The scheduled runs of one DAG, and the one that is planned.

    Args:
        dag_id: The DAG's id, which is the dataset's name.
    """

    def __init__(self, dag_id: str) -> None:
        self._dag_id = dag_id
        self._session = settings.Session()

    def planned(self) -> DagRunInfo | None:
        """Return the run that Airflow is to create next."""
        with self._session.no_autoflush:
            dag = self._session.get(DagModel, self._dag_id)
        if dag is None or dag.next_dagrun_data_interval is None or dag.next_dagrun_create_after is None:
            return None
        interval = DataInterval(*map(pendulum.instance, dag.next_dagrun_data_interval))
        return DagRunInfo(pendulum.instance(dag.next_dagrun_create_after), interval)

    def plan(self, run: DagRunInfo) -> None:
        """Let Airflow create another run next."""
        dag = self._session.get(DagModel, self._dag_id)
        dag.next_dagrun, dag.next_dagrun_data_interval = run.logical_date, run.data_interval
        dag.next_dagrun_create_after = run.run_after

    def last(self, interval: DataInterval) -> DagRunInfo:
        """Return the last run, where Airflow asks for the one that follows an interval.

        Often the interval is that of the last run. When a run ends, it is that run's, though
        others may have been made since. Where the run that was planned could not be made,
        since a person made one for that very moment, it is the planned one's: the moment alone
        is taken then. And who draws a calendar asks about runs that are still to come.
        """
        last = self._newest(DagRun.run_type.in_(_AUTOMATED))
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
    """Return from when on a run was due: by its id, since a 2.11 keeps no other trace of it."""
    own = parse_run_id(run.run_id) if run.run_type == "scheduled" else None
    due: datetime = own.at if own else run.data_interval_end
    return due
