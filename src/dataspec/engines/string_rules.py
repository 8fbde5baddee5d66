"""Make a session read string literals by the rules by which values are written (specification 9.16).

Settings of a server, database, role or connection may change these rules. In PostgreSQL a backslash could then end
a string; in MySQL each backslash would be read as two.
"""

from __future__ import annotations

from typing import Any


def settle_string_rules(engine: Any, connection: Any, cursor: Any) -> None:
    """Set a session to its dialect's default rules for string literals.

    Args:
        engine: The creator of the connection, such as an Airflow hook.
        connection: The DB-API connection.
        cursor: The cursor on which the statements run.
    """
    settle = _BY_CONNECTION_TYPE.get(getattr(engine, "conn_type", None) or "")
    if settle is not None:
        settle(connection, cursor)


def _postgres(connection: Any, cursor: Any) -> None:
    # The server sends it with the connection: no query.
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
