"""Real engines behind the few calls of an Airflow hook that the session makes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import duckdb


class Engine:
    """What stands for a hook: the connection type, and how to connect."""

    conn_type = ""
    supports_autocommit = False

    def __init__(self) -> None:
        self.closed = 0

    def get_conn(self) -> Any:
        raise NotImplementedError

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        raise AssertionError

    def get_autocommit(self, conn: Any) -> bool:
        return self.supports_autocommit


class DuckDB(Engine):
    """DuckDB, in memory or in a file."""

    conn_type = "duckdb"
    supports_autocommit = True

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self.path = path

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        assert autocommit

    def get_conn(self) -> Any:
        return duckdb.connect(str(self.path or ":memory:"))


class SQLite(Engine):
    """SQLite, which has to be told to commit."""

    conn_type = "sqlite"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def get_conn(self) -> Any:
        return sqlite3.connect(self.path)


LONG_IN_SQLITE = """
with recursive numbers(n) as (select 1 union all select n + 1 from numbers) select count(*) from numbers
"""
"""It would take hours."""
