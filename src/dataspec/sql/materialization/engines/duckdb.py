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
    from collections.abc import Sequence

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
            found = f"lower(database_name) = lower({catalog}) and lower(schema_name) = lower({schema})"
            return f"select {catalog}, {schema}, coalesce(bool_or({found}), false)\nfrom duckdb_schemas()"
        (name,) = above
        return f"""\
select case when is_database then {name} else current_database() end,
  case when is_database then 'main' else {name} end,
  is_database or is_schema
from (
  select coalesce(bool_or(is_own and lower(schema_name) = lower({name})), false) as is_schema,
    not is_schema and coalesce(bool_or(lower(database_name) = lower({name})), false) as is_database
  from (select *, database_name = current_database() as is_own from duckdb_schemas())
)"""

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

    def inspect_quickly(self, parts: Parts) -> Sequence[str]:
        """Return the queries; ``duckdb_columns`` reads every column of the database, and DESCRIBE those of one table."""
        catalog, schema, name = map(self.literal, parts)
        within = f"lower(database_name) = lower({catalog}) and lower(schema_name) = lower({schema})"
        tables = f"select 'table', comment from duckdb_tables() where {within} and lower(table_name) = lower({name})"
        views = (
            f"select 'view', comment from duckdb_views() where {within} and lower(view_name) = lower({name})"
        )
        columns = f"select null, null, column_name, column_type, null from (describe {self.named(parts)})"
        return f"{tables}\nunion all\n{views}", columns
