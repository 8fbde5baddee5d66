"""Trino with the connectors of Iceberg and Delta Lake: one MERGE.

MERGE (https://trino.io/docs/current/sql/merge.html) writes one snapshot of an Iceberg table
(https://trino.io/docs/current/connector/iceberg.html) and one version of a Delta table
(https://trino.io/docs/current/connector/delta-lake.html); so does CREATE OR REPLACE TABLE AS. The writes of other
connectors, such as Hive's, are not atomic. Parsed in the tests; its MERGE runs on DuckDB.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from dataspec.sql.materialization.engines.one_statement import OneStatementSql

if TYPE_CHECKING:
    from dataspec.sql.materialization.engine_sql import Act, Kind, Parts, TypeKinds

_PRECISION = r"(\(\d+\))?"


class TrinoSql(OneStatementSql):
    """Trino's SQL."""

    title = "Trino"
    needs = "catalogs of Iceberg or Delta Lake alone."
    grantee_kinds = ("user", "role")
    type_kinds: ClassVar[TypeKinds] = {
        "date": re.compile("date"),
        "timestamp": re.compile(rf"timestamp{_PRECISION}"),
        "instant": re.compile(rf"timestamp{_PRECISION} with time zone"),
        "text": re.compile(rf"(var)?char{_PRECISION}"),
    }
    typed_literals = OneStatementSql.typed_literals | {"instant": "cast({} as timestamp(6) with time zone)"}

    def stored(self, name: str) -> str:
        """Return a part of a name in lower case, as Trino does with every name."""
        return name.lower()

    def locate(self, parts: Parts) -> str:
        """Return the query for the schema in the catalog's own list."""
        schema = self.literal(parts[-2]) if len(parts) > 1 else "current_schema"
        catalog = self.literal(parts[-3]) if len(parts) > 2 else "current_catalog"  # noqa: PLR2004
        return (
            f"select {catalog}, {schema}, exists (\n"
            f"  select 1 from system.jdbc.schemas where table_catalog = {catalog} and table_schem = {schema})"
        )

    def why_unfit(self, schema: Parts) -> str:
        """Return the query for the connector, unless it is one of those with atomic writes."""
        catalog = self.literal(schema[0])
        return (
            "select concat('the catalog ', catalog_name, ' has the connector ', connector_name)\n"
            f"from system.metadata.catalogs where catalog_name = {catalog}\n"
            "  and connector_name not in ('iceberg', 'delta_lake')"
        )

    def inspect(self, parts: Parts) -> str:
        """Return the query for kind, comments and columns."""
        catalog, schema, table = map(self.literal, parts)
        information = f"{self.quoted(parts[0])}.information_schema"
        return f"""\
select case t.table_type when 'BASE TABLE' then 'table' else lower(t.table_type) end,
  r.comment, c.column_name, c.data_type, c.comment
from {information}.tables t
left join {information}.columns c on c.table_schema = t.table_schema and c.table_name = t.table_name
left join system.metadata.table_comments r
  on r.catalog_name = {catalog} and r.schema_name = t.table_schema and r.table_name = t.table_name
where t.table_schema = {schema} and t.table_name = {table}
order by c.ordinal_position"""

    def leftovers(self, kind: Kind, schema: Parts, prefix: str) -> str:
        """Return the query for the names."""
        del kind
        return (
            f"select table_name from {self.quoted(schema[0])}.information_schema.tables\n"
            f"where table_schema = {self.literal(schema[1])} and starts_with(table_name, {self.literal(prefix)})"
        )

    def replace_rows(self, act: Act) -> list[str]:
        """Return the MERGE."""
        return [self.merge_by_key(act) if act.how == "merge" else self.merge_replaced(act)]

    def grants(self, target: Parts) -> str:
        """Return the query for the grants, of which Trino has none on columns."""
        return (
            "select privilege_type, concat(lower(grantee_type), ' ', grantee), null, is_grantable = 'YES'\n"
            f"from {self.quoted(target[0])}.information_schema.table_privileges\n"
            f"where table_schema = {self.literal(target[1])} and table_name = {self.literal(target[2])}\n"
            "  and grantee <> current_user"
        )
