"""The rules by which a session reads strings: those by which values were written (specification 9.16).

A server, a database, a role or a connection may have others by its settings. In PostgreSQL a
backslash would end a string then; in MySQL each would be read as two.
"""

from __future__ import annotations

from typing import Any


def settle_string_rules(engine: Any, connection: Any, cursor: Any) -> None:
    """Have a session read strings as its dialect does by default.

    Args:
        engine: What made the connection: an Airflow hook, say.
        connection: The DB-API connection.
        cursor: The cursor on which the statements run.
    """
    settle = _BY_CONNECTION_TYPE.get(getattr(engine, "conn_type", None) or "")
    if settle is not None:
        settle(connection, cursor)


def _postgres(connection: Any, cursor: Any) -> None:
    # The server tells it when one connects; this asks nothing.
    if connection.info.parameter_status("standard_conforming_strings") == "off":
        cursor.execute("SET standard_conforming_strings = on")


def _mysql(_connection: Any, cursor: Any) -> None:
    cursor.execute("SELECT @@SESSION.sql_mode")
    modes = str(cursor.fetchone()[0]).split(",")
    if _NO_ESCAPES in modes:
        kept = ",".join(mode for mode in modes if mode != _NO_ESCAPES)
        cursor.execute(f"SET SESSION sql_mode = '{kept}'")


_NO_ESCAPES = "NO_BACKSLASH_ESCAPES"
_BY_CONNECTION_TYPE = {"postgres": _postgres, "mysql": _mysql}
