"""The plugin that makes the timetable known to every part of Airflow.

Installed (as the entry point ``airflow.plugins``) in the scheduler, the DAG processor, the
API server and the workers: without it Airflow can't write or read a DAG that has the timetable.
"""

from __future__ import annotations

from typing import ClassVar

from dli_airflow.airflow_api import AirflowPlugin
from dli_airflow.timetable import DatasetTimetable


class DatasetPlugin(AirflowPlugin):
    """Registers :class:`~dli_airflow.timetable.DatasetTimetable`."""

    name = "dli"
    timetables: ClassVar[list[type]] = [DatasetTimetable]
