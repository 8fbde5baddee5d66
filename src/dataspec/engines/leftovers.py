"""End what a dead attempt left running on its engine, before the next attempt's first statement.

A worker that is killed can't cancel its query, and most engines run it to its end. Each attempt therefore marks its
session, and the next one of the dataset ends the sessions with its mark. Airflow runs one attempt of a dataset at a
time, so any other is left over. The table in ``docs/airflow.md`` lists the way for each engine.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    import threading
    from collections.abc import Callable

_TICK_SECONDS = 0.1
_MAX_SECONDS = 30.0
"""How long an engine may take to end a session."""
_POSTGRES_NAME_BYTES = 63
_POSTGRES_WITH_CHECKS = 140_000
"""The first version that looks during a query whether its client is still there."""


class LeftoverRuns(Exception):
    """A session of an earlier attempt could not be ended."""


@dataclass(frozen=True, slots=True)
class AttemptMark:
    """The mark of an attempt's session: the same for each attempt of a dataset, the run apart."""

    store: str
    """Identifies the store: staging and production may share an engine."""
    dataset: str
    run_id: str

    @property
    def digest(self) -> str:
        """A name of the dataset in its store, of 16 hex digits."""
        return hashlib.sha256(f"{self.store}\n{self.dataset}".encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"dli {self.digest} {self.dataset} {self.run_id}"


class Leftovers:
    """Marks the session of an attempt, and ends those of earlier attempts.

    Args:
        engine: The creator of the connection, such as an Airflow hook.
        mark: The attempt's mark.
        log: Receives what was ended.
    """

    def __init__(self, engine: Any, mark: AttemptMark, log: logging.Logger) -> None:
        self._engine = engine
        self._mark = mark
        self._log = log

    def end(self, connection: Any, cursor: Any, stop: threading.Event) -> None:
        """End the sessions of earlier attempts, where the engine can.

        Args:
            connection: The attempt's DB-API connection.
            cursor: The cursor on which its statements will run.
            stop: Ends the wait when it is set.

        Raises:
            LeftoverRuns: When an earlier attempt goes on.
        """
        ways: dict[str, Callable[[Any, Any, threading.Event], None]] = {
            "gcpbigquery": self._bigquery,
            "mysql": self._mysql,
            "postgres": self._postgres,
            "snowflake": self._snowflake,
        }
        way = ways.get(getattr(self._engine, "conn_type", None) or "")
        if way is None:
            return
        try:
            way(connection, cursor, stop)
        except LeftoverRuns:
            raise
        except Exception as error:  # noqa: BLE001 - a server may lack a function or a right; the run needs neither
            self._log.warning(
                "It is not known whether an earlier attempt still runs on the engine: %s", error
            )

    def _postgres(self, connection: Any, cursor: Any, stop: threading.Event) -> None:
        name = str(self._mark).encode()[:_POSTGRES_NAME_BYTES].decode(errors="ignore").replace("'", "''")
        cursor.execute(f"SET application_name = '{name}'")
        if connection.info.server_version >= _POSTGRES_WITH_CHECKS:
            self._try(cursor, "SET client_connection_check_interval = '2s'")
        key = int.from_bytes(bytes.fromhex(self._mark.digest), signed=True)
        holders = f"""
            SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE locktype = 'advisory' AND objsubid = 1 AND granted
            AND datname = current_database()
            AND (classid::bigint << 32 | objid::bigint) = {key}
            AND application_name LIKE 'dli {self._mark.digest} %'
            """  # noqa: S608 - a number and hex digits
        self._take(
            cursor, f"SELECT pg_try_advisory_lock({key})", holders, "SELECT pg_terminate_backend({})", stop
        )

    def _mysql(self, _connection: Any, cursor: Any, stop: threading.Event) -> None:
        lock = f"'dli {self._mark.digest}'"
        self._take(cursor, f"SELECT GET_LOCK({lock}, 0)", f"SELECT IS_USED_LOCK({lock})", "KILL {}", stop)

    def _take(self, cursor: Any, lock: str, holders: str, end: str, stop: threading.Event) -> None:
        """Take a lock that ends with its session; end the sessions of earlier attempts that hold it."""
        until = time.monotonic() + _MAX_SECONDS
        told: set[int] = set()
        while not _rows(cursor, lock)[0][0] and not stop.is_set():
            found = [int(row[0]) for row in _rows(cursor, holders) if row[0] is not None]
            for session in found:
                if session not in told:
                    self._log.warning(
                        "An earlier attempt still runs on the engine: ending session %s.", session
                    )
                    told.add(session)
                self._try(cursor, end.format(session))
            if not found and not told:
                self._log.warning("Another program holds the lock of this dataset; going on without it.")
                return
            if time.monotonic() > until:
                raise LeftoverRuns(
                    f"An earlier attempt of {self._mark.dataset} still runs on the engine, in session "
                    f"{', '.join(map(str, found))}, and could not be ended. End that session on the engine."
                )
            stop.wait(_TICK_SECONDS)

    def _snowflake(self, _connection: Any, cursor: Any, _stop: threading.Event) -> None:
        mark = f"dli:{self._mark.digest}"
        running = f"""
            SELECT query_id FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY_BY_USER(RESULT_LIMIT => 10000))
            WHERE execution_status IN ('RUNNING', 'QUEUED', 'BLOCKED') AND query_tag LIKE '%{mark}%'
            """  # noqa: S608 - hex digits
        for (query,) in _rows(cursor, running):
            self._log.warning("An earlier attempt still runs on the engine: cancelling query %s.", query)
            cursor.execute(f"SELECT SYSTEM$CANCEL_QUERY('{query}')")
        given = next((row[1] for row in _rows(cursor, "SHOW PARAMETERS LIKE 'QUERY_TAG' IN SESSION")), "")
        tag = f"{given} {mark}".strip().replace("\\", "\\\\").replace("'", "''")
        cursor.execute(f"ALTER SESSION SET QUERY_TAG = '{tag}'")

    def _bigquery(self, _connection: Any, _cursor: Any, _stop: threading.Event) -> None:
        hook, label = self._engine, "dli_dataset"
        client = hook.get_client(project_id=hook.project_id, location=hook.location)
        for job in client.list_jobs(state_filter="running"):
            if (job.labels or {}).get(label) == self._mark.digest:
                self._log.warning(
                    "An earlier attempt still runs on the engine: cancelling job %s.", job.job_id
                )
                job.cancel()
        hook.labels = {**(hook.labels or {}), label: self._mark.digest}

    def _try(self, cursor: Any, sql: str) -> None:
        """Execute a statement that a server may not support, or that comes too late."""
        try:
            cursor.execute(sql)
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            self._log.info("%s failed: %s", sql, error)


def _rows(cursor: Any, sql: str) -> list[Any]:
    cursor.execute(sql)
    return list(cursor.fetchall())
