"""Cancel a running query on its engine.

DB-API 2.0 does not define this. Most drivers have ``cancel()`` or ``interrupt()`` on the cursor or the connection,
callable from another thread; without either, a second connection asks the engine. The table in
``docs/airflow.md`` lists the way for each driver and how it was verified.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BIGQUERY_LABEL = "dli_attempt"


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A way to cancel the query of a session, callable from any thread and repeatedly."""

    how: str
    cancel: Callable[[], Any]


def cancellation_of(engine: Any, connection: Any, cursor: Any) -> Cancellation:
    """Return how to cancel the query of a cursor.

    Call this before the first statement: for some engines it reads the id of the session.

    Args:
        engine: The creator of the connection, such as an Airflow hook.
        connection: The DB-API connection.
        cursor: The cursor on which the statements run.
    """
    special = _BY_CONNECTION_TYPE.get(getattr(engine, "conn_type", None) or "")
    if special is not None:
        return special(engine, cursor)
    for name, target in (("cursor", cursor), ("connection", connection)):
        for verb in ("cancel", "interrupt"):
            method = getattr(target, verb, None)
            if callable(method):
                return Cancellation(f"{name}.{verb}()", method)
    return Cancellation("connection.close()", connection.close)


def _by_session(ask: str, order: str) -> Callable[[Any, Any], Cancellation]:
    def strategy(hook: Any, cursor: Any) -> Cancellation:
        cursor.execute(ask)
        statement = order.format(int(cursor.fetchone()[0]))

        def cancel() -> None:
            with closing(hook.get_conn()) as second, closing(second.cursor()) as messenger:
                messenger.execute(statement)

        return Cancellation(statement, cancel)

    return strategy


def _bigquery(hook: Any, _cursor: Any) -> Cancellation:
    # Airflow's cursor has the job's id only after the job: find the job by a label.
    from secrets import token_hex

    mark = token_hex(8)
    hook.labels = {**(hook.labels or {}), _BIGQUERY_LABEL: mark}

    def cancel() -> None:
        client = hook.get_client(project_id=hook.project_id, location=hook.location)
        for job in client.list_jobs(state_filter="running"):
            if (job.labels or {}).get(_BIGQUERY_LABEL) == mark:
                job.cancel()

    return Cancellation(f"Job.cancel() of jobs with the label {_BIGQUERY_LABEL}={mark}", cancel)


_BY_CONNECTION_TYPE: dict[str, Callable[[Any, Any], Cancellation]] = {
    "gcpbigquery": _bigquery,
    "mysql": _by_session("SELECT CONNECTION_ID()", "KILL QUERY {}"),
    "snowflake": _by_session("SELECT CURRENT_SESSION()", "SELECT SYSTEM$CANCEL_ALL_QUERIES({})"),
}
