"""SQL dialects: the names that sqlglot knows, and the dialect of each type of connection."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from dataspec.errors import InvalidUsage
from dataspec.problems import nearest

_BY_CONNECTION_TYPE = {
    "athena": "athena",
    "aws": "athena",
    "clickhouse": "clickhouse",
    "databricks": "databricks",
    "databricks_sql": "databricks",
    "doris": "doris",
    "drill": "drill",
    "duckdb": "duckdb",
    "exasol": "exasol",
    "gcpbigquery": "bigquery",
    "hive_cli": "hive",
    "hiveserver2": "hive",
    "impala": "hive",
    "mssql": "tsql",
    "mysql": "mysql",
    "oracle": "oracle",
    "postgres": "postgres",
    "presto": "presto",
    "redshift": "redshift",
    "snowflake": "snowflake",
    "spark": "spark",
    "sqlite": "sqlite",
    "starrocks": "starrocks",
    "teradata": "teradata",
    "trino": "trino",
}


class ConnectionDialect(NamedTuple):
    """The dialect of a connection, by sqlglot's name."""

    name: str
    defined: bool = True
    """False where the connection is not defined: the dialect is then the default engine's."""


def dialect_of_connection(connection_type: str | None) -> str | None:
    """Return the dialect of a connection type; None, which means generic SQL, for an unknown type."""
    return _BY_CONNECTION_TYPE.get(connection_type or "")


@cache
def known_dialects() -> tuple[str, ...]:
    """Return the names of all dialects; the first call loads sqlglot."""
    from sqlglot.dialects.dialect import Dialects

    return tuple(dialect.value for dialect in Dialects if dialect.value)


def check_dialect(name: str) -> str:
    """Return a dialect's name in lower case.

    Raises:
        InvalidUsage: When the dialect is unknown; names the nearest one, or all of them.
    """
    if name.lower() in known_dialects():
        return name.lower()
    raise unknown_dialect(name)


def unknown_dialect(name: str) -> InvalidUsage:
    """Return the error for a name that is no dialect."""
    hint = nearest(name, known_dialects()) or f"Known: {', '.join(known_dialects())}."
    return InvalidUsage(f"'{name}' is not a SQL dialect that is known here.", detail=hint)
