"""DuckDB: one transaction, DDL included.

Two transactions that drop the same staging table conflict, and the later one fails
(https://duckdb.org/docs/stable/connect/concurrency): so an attempt whose staging table was taken over can't publish.
Run in the tests.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from dataspec.sql.materialization.engine_sql import EngineSql

if TYPE_CHECKING:
    from dataspec.sql.materialization.engine_sql import Parts, TypeKinds


class DuckDBSql(EngineSql):
    """DuckDB's SQL."""

    title = "DuckDB"
    why_no_grants = "DuckDB has no grants"
    type_kinds: ClassVar[TypeKinds] = {
        "date": re.compile("date"),
        "timestamp": re.compile("timestamp(_s|_ms|_ns)?"),
        "instant": re.compile("timestamp with time zone"),
        "text": re.compile("varchar"),
    }
    typed_literals = EngineSql.typed_literals | {"instant": "timestamptz {}"}

    def same(self, name: str) -> str:
        """Return a column's name in lower case: DuckDB compares names so."""
        return name.lower()

    def locate(self, parts: Parts) -> str:
        """Return the query for the schema; ``a.b`` is the table b of the database a if there is no schema a."""
        *above, _ = map(self.literal, parts)
        if not above:
            return "select current_database(), current_schema(), true"
        if len(above) > 1:
            catalog, schema = above
        else:
            (name,) = above
            attached = (
                f"(exists (select 1 from duckdb_databases() where lower(database_name) = lower({name}))\n"
                "  and not exists (select 1 from duckdb_schemas()\n"
                f"    where database_name = current_database() and lower(schema_name) = lower({name})))"
            )
            catalog = f"case when {attached} then {name} else current_database() end"
            schema = f"case when {attached} then 'main' else {name} end"
        return (
            f"select catalog, schema, exists (select 1 from duckdb_schemas()\n"
            "  where lower(database_name) = lower(catalog) and lower(schema_name) = lower(schema))\n"
            f"from (select {catalog} as catalog, {schema} as schema)"
        )

    def inspect(self, parts: Parts) -> str:
        """Return the query for kind, comments and columns."""
        catalog, schema, name = map(self.literal, parts)
        return f"""\
select r.kind, r.comment, c.column_name, c.data_type, c.comment
from (
  select 'table' as kind, table_oid as oid, database_name, schema_name, table_name as name, comment
  from duckdb_tables()
  union all
  select 'view', view_oid, database_name, schema_name, view_name, comment from duckdb_views()
) r
left join duckdb_columns() c
  on c.database_name = r.database_name and c.schema_name = r.schema_name and c.table_name = r.name
where lower(r.database_name) = lower({catalog}) and lower(r.schema_name) = lower({schema})
  and lower(r.name) = lower({name})
order by c.column_index"""
