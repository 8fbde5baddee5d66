"""Reads every DAG of an Airflow by its API, page after page; its argument is the Airflow's address."""

from __future__ import annotations

import sys

from basecamp.airflow.airflow_3 import Airflow3
from basecamp.airflow.authorization import Everyone
from basecamp.airflow.transport import AirflowTransport

if __name__ == "__main__":
    Airflow3(AirflowTransport(sys.argv[1], Everyone(), timeout_seconds=60)).list_dags(
        tags=["source:code", "source:manual"]
    )
