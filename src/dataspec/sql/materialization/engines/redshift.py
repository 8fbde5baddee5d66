"""Redshift: one transaction, DDL included, as on PostgreSQL.

Transactions are serializable, and a write waits for another one of the same table
(https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation.html). TRUNCATE would commit
(https://docs.aws.amazon.com/redshift/latest/dg/r_TRUNCATE.html). There are no advisory locks: each attempt has a
staging table of its own. Run on PostgreSQL, in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.sql.materialization.engine_sql import EngineSql
from dataspec.sql.materialization.engines.postgres import PostgresSql

if TYPE_CHECKING:
    from dataspec.sql.materialization.engine_sql import Act, Kind, Parts


class RedshiftSql(PostgresSql):
    """Redshift's SQL."""

    title = "Redshift"
    max_bytes = 127
    own_staging = True
    grantee_kinds = ("role", "group")

    def stored(self, name: str) -> str:
        """Return a part of a name in lower case, as Redshift does with every name."""
        return name.lower()

    def inspect(self, parts: Parts) -> str:
        """Return the query for kind, comments and columns."""
        return f"""\
select case c.relkind when 'r' then 'table' when 'v' then 'view' else 'index or sequence' end,
  d.description, a.attname, format_type(a.atttypid, a.atttypmod), e.description
from pg_catalog.pg_namespace n
join pg_catalog.pg_class c on c.relnamespace = n.oid
left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_catalog.pg_description d on d.objoid = c.oid and d.objsubid = 0
left join pg_catalog.pg_description e on e.objoid = c.oid and e.objsubid = a.attnum
where current_database() = {self.literal(parts[-3])} and n.nspname = {self.literal(parts[-2])}
  and c.relname = {self.literal(parts[-1])}
order by a.attnum"""

    def leftovers(self, kind: Kind, schema: Parts, prefix: str) -> str:
        """Return the query for the names."""
        del kind
        return (
            "select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace\n"
            f"where n.nspname = {self.literal(schema[-1])} and c.relkind in ('r', 'v')\n"
            f"  and substring(c.relname, 1, {len(prefix)}) = {self.literal(prefix)}"
        )

    def create_schema(self, schema: Parts) -> list[str]:
        """Return the statement that creates a schema."""
        return [f"create schema if not exists {self.quoted(schema[-1])}"]

    def begin(self, target: Parts) -> list[str]:
        """Start a transaction."""
        return EngineSql.begin(self, target)

    def publish(self, act: Act) -> list[str]:
        """Return the statements of the act; a view can't be renamed, and only one with the same columns replaced."""
        if act.kind == "table":
            return EngineSql.publish(self, act)
        target = self.named(act.target)
        old = [f"drop view {target}"] if act.how == "swap" else []
        return [*old, f"create or replace view {target} as\n{act.query}", self.drop("view", act.staging)]

    def delete(self, act: Act) -> list[str]:
        """Return the statement that deletes the rows to replace; Redshift's DELETE knows no alias."""
        if act.how != "merge":
            return super().delete(act)
        target, staging = self.named(act.target[-2:]), self.named(act.staging[-2:])
        keys = (f"{target}.{self.quoted(key)} = {staging}.{self.quoted(key)}" for key in act.keys)
        return [f"delete from {target} using {staging} where {' and '.join(keys)}"]

    def grants(self, target: Parts) -> str:
        """Return the query for the grants on a table or view; the session's own are left out."""
        return (
            "select privilege_type, case identity_type when 'role' then 'role ' when 'group' then 'group ' else '' end\n"
            "  || identity_name, null, admin_option\n"
            "from svv_relation_privileges\n"
            f"where namespace_name = {self.literal(target[-2])} and relation_name = {self.literal(target[-1])}\n"
            "  and identity_name <> current_user"
        )
