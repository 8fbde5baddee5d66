"""Ask Airflow whether a scheduled run of an upstream dataset exists."""

from __future__ import annotations

from dli_airflow.airflow_api import AIRFLOW_2

if AIRFLOW_2:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    def has_run(dag_id: str, run_id: str) -> bool:
        """Return whether a DAG has a run with an id; for a worker, and for a thread of a triggerer."""
        with create_session() as session:
            runs = session.query(DagRun.id).filter(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
            return runs.first() is not None

else:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    def has_run(dag_id: str, run_id: str) -> bool:
        """Return whether a DAG has a run with an id; for a worker, and for a thread of a triggerer."""
        return bool(RuntimeTaskInstance.get_dr_count(dag_id, run_ids=[run_id]))
