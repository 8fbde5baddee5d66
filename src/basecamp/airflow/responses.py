"""The answers that both of Airflow's APIs give alike, read into plain values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from basecamp.airflow.models import DagImportError, TaskAttempt

Answer = Mapping[str, Any]


def read_time(text: str | None) -> datetime | None:
    """Read a time; None stays None."""
    return datetime.fromisoformat(text) if text else None


def read_version(body: Answer) -> str:
    """Read which Airflow it is."""
    return str(body["version"])


def read_task_instance(row: Answer) -> TaskAttempt:
    """Read a task instance, which is a run's latest attempt."""
    return TaskAttempt(
        dag_id=row["dag_id"],
        run_id=row["dag_run_id"],
        state=row["state"],
        try_number=row["try_number"],
        max_tries=row["max_tries"],
        start_date=read_time(row["start_date"]),
        end_date=read_time(row["end_date"]),
        operator=row["operator"],
    )


def read_task_id(row: Answer) -> str:
    """Read which task a task instance is of."""
    return str(row["task_id"])


def read_connection_type(body: Answer) -> str:
    """Read the type of a connection."""
    return str(body["conn_type"])


def read_import_error(row: Answer) -> DagImportError:
    """Read why a file did not load."""
    return DagImportError(
        filename=row["filename"],
        stack_trace=row["stack_trace"],
        timestamp=datetime.fromisoformat(row["timestamp"]),
    )
