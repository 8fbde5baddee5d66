"""What tests need of Airflow, wherever the installed line keeps it."""

from __future__ import annotations

import pytest
from airflow import plugins_manager

try:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import TaskDeferred
    from airflow.sdk.execution_time.timeout import timeout
    from airflow.serialization.serialized_objects import DagSerialization

    IS_2 = False
except ImportError:
    from airflow.exceptions import TaskDeferred
    from airflow.models.connection import Connection
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization
    from airflow.utils.timeout import timeout

    IS_2 = True

__all__ = [
    "IS_2",
    "Connection",
    "DagSerialization",
    "TaskDeferred",
    "connection_of",
    "forget_timetables",
    "known_timetables",
    "timeout",
]


def connection_of(uri: str) -> Connection:
    """Return the connection that a URI describes."""
    return Connection(conn_id="x", uri=uri) if IS_2 else Connection.from_uri(uri, conn_id="x")


def known_timetables() -> set[str]:
    """Return the timetables that Airflow's plugins brought, by their full names."""
    if not IS_2:
        return set(plugins_manager.get_timetables_plugins())
    plugins_manager.initialize_timetables_plugins()
    return set(plugins_manager.timetable_classes or ())


def forget_timetables(patch: pytest.MonkeyPatch) -> None:
    """Let Airflow be as it is where the plugin is not installed."""
    if IS_2:
        patch.setattr(plugins_manager, "timetable_classes", {})
    else:
        patch.setattr(plugins_manager, "get_timetables_plugins", dict)
