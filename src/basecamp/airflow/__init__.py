"""The gateway to Airflow: one interface, one module for each Airflow version, and an Airflow in memory."""

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.testing.airflow import MemoryAirflow

__all__ = ["AirflowGateway", "MemoryAirflow"]
