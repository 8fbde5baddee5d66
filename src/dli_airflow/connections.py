"""Airflow's connections to engines, for the tasks and triggers of datasets."""

from __future__ import annotations

from typing import Any

from dli_airflow.airflow_api import AirflowException, AirflowNotFoundException, BaseHook


def sql_hook(conn_id: str, named_by: str) -> Any:
    """Return the hook of a connection to an engine, which reads the connection no more.

    In a triggerer of Airflow 3.0 to 3.2 only this thread can read it, and a query runs in another one.

    Args:
        conn_id: The connection.
        named_by: Where the spec names it, for messages.

    Raises:
        AirflowException: When Airflow has no such connection, or it runs no SQL.
    """
    # Imported here: it takes 0.1 s, and Airflow parses DAG files in a process for each.
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise AirflowException(
            f"Airflow has no connection '{conn_id}', which {named_by} names. "
            f"Add it in Airflow: airflow connections add {conn_id} …"
        ) from None
    hook = connection.get_hook()
    if not isinstance(hook, DbApiHook):
        raise AirflowException(
            f"The connection '{conn_id}' of the type '{connection.conn_type}' runs no SQL. "
            f"Name a connection to a database: {named_by}."
        )
    hook.get_connection = lambda *_: connection
    if connection.conn_type == "gcpbigquery":
        hook.use_legacy_sql = False  # Airflow's default is a dialect that sqlglot does not know
    return hook
