"""Find an engine's SQL for materializations by its dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.sql.materialization.engines.bigquery import BigQuerySql
from dataspec.sql.materialization.engines.clickhouse import ClickHouseSql
from dataspec.sql.materialization.engines.databricks import DatabricksSql
from dataspec.sql.materialization.engines.duckdb import DuckDBSql
from dataspec.sql.materialization.engines.postgres import PostgresSql
from dataspec.sql.materialization.engines.redshift import RedshiftSql
from dataspec.sql.materialization.engines.snowflake import SnowflakeSql
from dataspec.sql.materialization.engines.spark import SparkSql
from dataspec.sql.materialization.engines.trino import TrinoSql
from dataspec.sql.template.render import render

if TYPE_CHECKING:
    from dataspec.sql.materialization.engine_sql import EngineSql

ENGINES: dict[str, type[EngineSql]] = {
    "bigquery": BigQuerySql,
    "clickhouse": ClickHouseSql,
    "databricks": DatabricksSql,
    "duckdb": DuckDBSql,
    "postgres": PostgresSql,
    "redshift": RedshiftSql,
    "snowflake": SnowflakeSql,
    "spark": SparkSql,
    "trino": TrinoSql,
}
"""The engines with an atomic act, by sqlglot's name of their dialect."""


_REACHED_AS: dict[str, frozenset[str]] = {
    "hive": frozenset({"databricks", "spark"}),
    "postgres": frozenset({"redshift"}),
}
"""The engines that a connection of another engine's type may lead to, by the dialect of that type."""


def engine_sql(
    connected: str | None, named: str | None = None, *, unsettled: bool = False
) -> EngineSql | None:
    """Return the SQL of an engine; None for an engine that has no atomic act, or is not known.

    Args:
        connected: The dialect of the connection's type, by sqlglot's name; None where it is not known.
        named: The dialect that the spec names: a connection of PostgreSQL's type may lead to Redshift.
        unsettled: Whether a session setting may change how the engine reads strings.
    """
    dialect = named if connected is None or named in _REACHED_AS.get(connected, ()) else connected
    found = ENGINES.get(dialect or "")

    def literal(text: str) -> str:
        return render("'{{ text }}'", {"text": text}, dialect=dialect, file="", unsettled=unsettled).sql

    return found(literal) if found else None


def why_unsupported(dialect: str) -> str:
    """Return why a materialization is refused on an engine."""
    known = ", ".join(sorted(engine.title for engine in ENGINES.values()))
    return (
        f"no materialization on {dialect}: it is not known how to publish rows there in one atomic act. "
        f"It works on: {known}."
    )
