"""Puts the rows of DAGs into Airflow's database, in Airflow's environment; its argument is how many.

A list of DAGs is made of these rows alone. To have Airflow parse ten thousand takes minutes.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from airflow.models.dag import DagModel, DagTag
from airflow.models.dagbundle import DagBundleModel
from airflow.utils.session import create_session

from dataspec.schedule.cron import next_tick


def main() -> None:
    """Put them."""
    now = datetime.now(UTC)
    with create_session() as session:
        session.add(DagBundleModel(name="datasets"))
        session.flush()
        for number in range(int(sys.argv[1])):
            session.add(row(number, now))


def row(number: int, now: datetime) -> DagModel:
    """Return a DAG as the factory's look."""
    cron = f"{number % 60} {number % 24} * * *"
    due = next_tick(cron, "Asia/Seoul", now)
    name = f"team_{number % 20:02d}.dataset_{number:05d}"
    tags = (f"source:{'manual' if number % 2 else 'code'}", f"team:@data-{number % 20}", "daily")
    return DagModel(
        dag_id=name,
        bundle_name="datasets",
        fileloc=f"/dags/shard_{number % 128:03}.py",
        relative_fileloc=f"shard_{number % 128:03}.py",
        is_paused=False,
        is_stale=False,
        last_parsed_time=now,
        owners=f"engineer{number % 20}@example.com",
        timetable_summary=cron,
        max_active_tasks=16,
        max_active_runs=1000,
        max_consecutive_failed_dag_runs=0,
        has_task_concurrency_limits=True,
        has_import_errors=False,
        next_dagrun=due - timedelta(days=1),
        next_dagrun_data_interval_start=due - timedelta(days=1),
        next_dagrun_data_interval_end=due,
        next_dagrun_create_after=due,
        tags=[DagTag(name=tag, dag_id=name) for tag in tags],
    )


if __name__ == "__main__":
    main()
