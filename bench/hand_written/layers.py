"""Ten DAGs written by hand, each behind the one before: by sensors, and by partitioned assets. Airflow parses this."""

from collections.abc import Sequence

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, PartitionedAtRuntime

LAYERS = 10
CONNECTION = "bench_pg"
ASSETS = [Asset(uri=f"bench://layer_{number}", name=f"layer_{number}") for number in range(LAYERS)]


def query(outlets: Sequence[Asset] = ()) -> SQLExecuteQueryOperator:
    """Return the task that builds."""
    return SQLExecuteQueryOperator(task_id="run", conn_id=CONNECTION, sql="select 1", outlets=list(outlets))


for number in range(LAYERS):
    with DAG(dag_id=f"sensors_{number}", schedule=None, is_paused_upon_creation=False):
        build = query()
        if number:
            wait = ExternalTaskSensor(
                task_id="wait",
                external_dag_id=f"sensors_{number - 1}",
                failed_states=["failed"],
                deferrable=True,
                poll_interval=1,
            )
            wait >> build

    schedule = PartitionedAssetTimetable(assets=ASSETS[number - 1]) if number else PartitionedAtRuntime()
    with DAG(dag_id=f"assets_{number}", schedule=schedule, is_paused_upon_creation=False):
        query(outlets=[ASSETS[number]])
