"""The SQL dialect of a connection, by the name that sqlglot has for it."""

from __future__ import annotations

from typing import NamedTuple

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
    """Whether somebody defined the connection; otherwise it is that of the engine by default."""


def dialect_of(connection_type: str | None) -> str | None:
    """Return the dialect of a connection type; None, generic SQL, for one that is not known."""
    return _BY_CONNECTION_TYPE.get(connection_type or "")
