"""How a running query is cancelled on its engine.

DB-API 2.0 has no call for it; each driver has its own. Most offer ``cancel()`` or
``interrupt()`` on the cursor or the connection, made to be called from another thread;
where a driver has neither, a second connection asks the engine itself. The table in
``docs/airflow.md`` says for each driver what is done and how that was verified.
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
    """A way to cancel what runs in one session; it may be called from any thread, and again."""

    how: str
    cancel: Callable[[], Any]


def cancellation_of(engine: Any, connection: Any, cursor: Any) -> Cancellation:
    """Return how to cancel what a cursor runs.

    For engines that need it, this asks the session for its id: call it before the first statement.

    Args:
        engine: What made the connection: an Airflow hook, say.
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
    # Airflow's cursor tells a job's id only once the job has ended: it is found by a label.
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
