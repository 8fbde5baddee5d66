"""Import Airflow's names from where the installed version has them.

Airflow 3 has its authoring interface in ``airflow.sdk``; 2.11 has the same names elsewhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

try:
    from airflow.sdk import DAG, Asset, BaseHook, BaseOperator, Param, Variable, get_parsing_context
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowTaskTimeout,
    )
except ImportError:
    from airflow.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowTaskTimeout,
    )
    from airflow.hooks.base import BaseHook
    from airflow.models.baseoperator import BaseOperator
    from airflow.models.dag import DAG
    from airflow.models.param import Param
    from airflow.models.variable import Variable
    from airflow.utils.dag_parsing_context import get_parsing_context

from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable
from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSuccessEvent, TriggerEvent

__all__ = [
    "AIRFLOW_2",
    "AIRFLOW_VERSION",
    "DAG",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowPlugin",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
    "BaseTrigger",
    "DagRunInfo",
    "DataInterval",
    "Param",
    "TaskFailedEvent",
    "TaskSuccessEvent",
    "TimeRestriction",
    "Timetable",
    "TriggerEvent",
    "Variable",
    "check_serializable",
    "edges",
    "get_parsing_context",
    "known_dag_arguments",
    "run_type_name",
]

AIRFLOW_VERSION = version("apache-airflow")
AIRFLOW_2 = AIRFLOW_VERSION.startswith("2.")
_SHOWS_INLETS = not AIRFLOW_VERSION.startswith(("2.", "3.0."))


def run_type_name(run_type: Any) -> str:
    """Return the type of a run as text; some lines of Airflow have an enumeration for it."""
    return str(getattr(run_type, "value", run_type))


def edges(dataset: str, upstream: Iterable[str]) -> dict[str, Any]:
    """Return the arguments of a task from which Airflow's page draws the edges between datasets, from 3.1 on.

    Before, an asset that is only an inlet counts as inactive, and Airflow fails the task.
    """
    if not _SHOWS_INLETS:
        return {}
    return {"outlets": [_asset(dataset)], "inlets": [_asset(name) for name in upstream]}


def _asset(dataset: str) -> Any:
    """Return the asset of a dataset; no asset of a user has its name or address."""
    return Asset(name=f"dli:{dataset}", uri=f"dli://dataset/{dataset}")


def known_dag_arguments(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that the DAG class of the installed Airflow accepts."""
    return {name: value for name, value in arguments.items() if name in _DAG_ARGUMENTS}


_DAG_ARGUMENTS = frozenset(inspect.signature(DAG.__init__).parameters)


def check_serializable(dag: Any) -> None:
    """Check that Airflow can store a DAG; otherwise it would schedule no DAG of the whole file.

    Raises:
        Exception: Whatever Airflow's serialization raises.
    """
    try:
        from airflow.serialization.serialized_objects import DagSerialization
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

    DagSerialization.serialize_dag(dag)
