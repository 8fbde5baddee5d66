"""Airflow as Basecamp sees it: one interface, one module for each Airflow line, one in memory."""

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.testing.airflow import MemoryAirflow

__all__ = ["AirflowGateway", "MemoryAirflow"]
