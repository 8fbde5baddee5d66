"""The hook of Airflow's connection type ``duckdb``."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook

from dataspec.engines.duckdb_file import MEMORY, DuckDBFile, LockedConnection


class DuckDBHook(DbApiHook):
    """Connects to a DuckDB file, or to a database in memory when the connection names no file.

    The file is the connection's host (``/data/warehouse.duckdb``), or the path of its URI
    (``duckdb:///data/warehouse.duckdb``). The extra may hold ``read_only`` (true or false)
    and ``config``, DuckDB's own settings by name, such as ``{"file_search_path": "/data"}``.

    Connections of this hook wait for each other: one process at a time uses a file.
    """

    conn_name_attr = "duckdb_conn_id"
    default_conn_name = "dli_default"
    conn_type = "duckdb"
    hook_name = "DuckDB"
    placeholder = "?"
    supports_autocommit = True

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the fields of Airflow's connection form."""
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
        """Connect; wait until no other process uses the file.

        Raises:
            LockStopped: When :meth:`stop_waiting` was called first.
        """
        return self._file.connect()

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Do nothing: DuckDB commits each statement by itself, until a ``BEGIN``."""

    def stop_waiting(self) -> None:
        """End a wait for the file; it may be called from another thread."""
        self._file.stop_waiting()

    def get_uri(self) -> str:
        """Return the address that SQLAlchemy's DuckDB dialect takes."""
        return f"duckdb:///{self.database}"

    @cached_property
    def _file(self) -> DuckDBFile:
        extra = self.connection.extra_dejson
        return DuckDBFile(
            self.database,
            _holder(),
            self._tell,
            read_only=_is_true(extra.get("read_only")),
            config=extra.get("config") or {},
        )

    def _tell(self, holder: str) -> None:
        self.log.info("waiting for %s, held by %s", self.database, holder)


def _is_true(value: Any) -> bool:
    return value is True or str(value).strip().lower() in {"1", "true", "yes"}


def _holder() -> str:
    run = os.environ.get("AIRFLOW_CTX_DAG_RUN_ID")
    process = f"process {os.getpid()}"
    return f"the run {run} ({process})" if run else process
