"""Run one attempt of a dataset on a real engine, as the operator does; a program for tests to kill.

Arguments: the engine, its address or port, the run's id, and the statements.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import psycopg
import pymysql

from dataspec.engines.leftovers import AttemptMark, Leftovers
from dataspec.engines.session import SqlSession
from dataspec.engines.statement_log import FIRST_ROWS, StatementLog
from dataspec.sql.rendering import RenderedStatement

log = logging.getLogger("attempt")


class RealEngine:
    """The calls of an Airflow hook that a session makes."""

    supports_autocommit = True

    def __init__(self, conn_type: str, place: str) -> None:
        self.conn_type = conn_type
        self._place = place

    def get_conn(self) -> Any:
        if self.conn_type == "postgres":
            return psycopg.connect(self._place)
        return pymysql.connect(host="127.0.0.1", port=int(self._place), user="root", database="test")

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        if self.conn_type == "postgres":
            conn.autocommit = autocommit
        else:
            conn.autocommit(autocommit)

    def get_autocommit(self, _conn: Any) -> bool:
        return True


def attempt(conn_type: str, place: str, run_id: str, statements: list[str]) -> None:
    """Run an attempt of the dataset ``shop.sales``."""
    engine = RealEngine(conn_type, place)
    leftovers = Leftovers(engine, AttemptMark("store", "shop.sales", run_id), log)
    session = SqlSession(engine, StatementLog(log), first_rows=FIRST_ROWS, prepare=leftovers.end)
    session.run(
        [
            RenderedStatement(f"query-{number}", sql, "query", False, None)
            for number, sql in enumerate(statements)
        ]
    )


if __name__ == "__main__":
    attempt(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
