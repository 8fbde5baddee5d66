"""Airflow's connection type ``duckdb``."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.sql.hooks.sql import DbApiHook

from dli_airflow.file_lock import FileLock, LockStopped

if TYPE_CHECKING:
    import duckdb

MEMORY = ":memory:"
_RETRY_SECONDS = 0.5
_LOCKED_ELSEWHERE = "Could not set lock on file"


class DuckDBHook(DbApiHook):
    """Connects to a DuckDB file, or to a database in memory where the connection names none.

    The file is the connection's host (``/data/warehouse.duckdb``), or the path of its URI
    (``duckdb:///data/warehouse.duckdb``). The extra may hold ``read_only`` (true or false)
    and ``config``, DuckDB's own settings by name, such as ``{"file_search_path": "/data"}``.

    DuckDB lets one process write to a file. Connections made through this hook wait for
    each other, by a lock on ``<file>.lock``; readers share it.
    """

    conn_name_attr = "duckdb_conn_id"
    default_conn_name = "dli_default"
    conn_type = "duckdb"
    hook_name = "DuckDB"
    placeholder = "?"
    supports_autocommit = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stop = threading.Event()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how Airflow's form for connections shows the fields."""
        return {
            "hidden_fields": ["login", "password", "port", "schema"],
            "relabeling": {"host": "File"},
            "placeholders": {
                "host": "/data/warehouse.duckdb",
                "extra": '{"config": {"file_search_path": "/data"}}',
            },
        }

    @property
    def database(self) -> str:
        """The file of the connection, or ``:memory:``."""
        host, path = self.connection.host or "", self.connection.schema or ""
        if host and path:
            return f"{host}/{path}"
        return host or (f"/{path.lstrip('/')}" if path else MEMORY)

    def get_conn(self) -> LockedConnection:
        """Connect, waiting until no other process uses the file.

        Raises:
            LockStopped: When :meth:`stop_waiting` was called first.
        """
        extra = self.connection.extra_dejson
        read_only, config = _is_true(extra.get("read_only")), extra.get("config") or {}
        lock = self._lock(read_only=read_only)
        try:
            return LockedConnection(self._connect(read_only=read_only, config=config), lock)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Do nothing: DuckDB commits each statement by itself, until a ``BEGIN``."""

    def stop_waiting(self) -> None:
        """End a wait for the file; it may be called from another thread."""
        self._stop.set()

    def get_uri(self) -> str:
        """Return the address that SQLAlchemy's DuckDB dialect takes."""
        return f"duckdb:///{self.database}"

    def _lock(self, *, read_only: bool) -> FileLock | None:
        if not _is_file(self.database):
            return None
        lock = FileLock(Path(f"{self.database}.lock"), shared=read_only)
        lock.acquire(_holder(), waiting=self._tell, stop=self._stop)
        return lock

    def _connect(self, *, read_only: bool, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
        import duckdb

        told = False
        while not self._stop.is_set():
            try:
                return duckdb.connect(self.database, read_only=read_only, config=config)
            except duckdb.IOException as error:
                if _LOCKED_ELSEWHERE not in str(error):
                    raise
                if not told:
                    self._tell(str(error))
                told = True
                self._stop.wait(_RETRY_SECONDS)
        raise LockStopped

    def _tell(self, holder: str) -> None:
        self.log.info("waiting for %s, held by %s", self.database, holder)


class LockedConnection:
    """A DuckDB connection that gives its file back when it is closed.

    Everything else is the connection's own.
    """

    autocommit = True

    def __init__(self, connection: duckdb.DuckDBPyConnection, lock: FileLock | None) -> None:
        self._connection = connection
        self._lock = lock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def commit(self) -> None:
        """Commit, where a transaction was begun."""
        import duckdb

        with suppress(duckdb.TransactionException):
            self._connection.commit()

    def close(self) -> None:
        """Close the connection, and with it its cursors; then release the lock."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()


def _is_file(database: str) -> bool:
    return database != MEMORY and not database.startswith("md:")


def _is_true(value: Any) -> bool:
    return value is True or str(value).strip().lower() in {"1", "true", "yes"}


def _holder() -> str:
    run = os.environ.get("AIRFLOW_CTX_DAG_RUN_ID")
    process = f"process {os.getpid()}"
    return f"the run {run} ({process})" if run else process
