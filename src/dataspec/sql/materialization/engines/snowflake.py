"""Snowflake: a transaction of DML, or CREATE OR REPLACE.

DDL ends a transaction (https://docs.snowflake.com/en/sql-reference/transactions), so DELETE and INSERT alone are in
one. CREATE OR REPLACE drops the old object and makes the new one in one transaction, and COPY GRANTS keeps the grants
(https://docs.snowflake.com/en/sql-reference/sql/create-table). Parsed in the tests; has
run on the emulator fakesnow.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from dataspec.sql.materialization.engine_sql import PLAIN_NAME
from dataspec.sql.materialization.engines.one_statement import OneStatementSql

if TYPE_CHECKING:
    from dataspec.sql.materialization.engine_sql import Act, Kind, Parts, TypeKinds


class SnowflakeSql(OneStatementSql):
    """Snowflake's SQL."""

    title = "Snowflake"
    grantee_kinds = ("role", "user", "share", "database role", "application role")
    comment_clause = "comment = {}"
    replacing = "copy grants "
    type_kinds: ClassVar[TypeKinds] = {
        "date": re.compile("date"),
        "timestamp": re.compile("timestamp_ntz"),
        "instant": re.compile("timestamp_(tz|ltz)"),
        "text": re.compile("varchar"),
    }
    typed_literals: ClassVar = {
        "date": "to_date({}, 'YYYY-MM-DD')",
        "timestamp": "to_timestamp_ntz({}, 'YYYY-MM-DD HH24:MI:SS')",
        "instant": "to_timestamp_tz({}, 'YYYY-MM-DD HH24:MI:SSTZH:TZM')",
        "text": "{}",
    }

    def stored(self, name: str) -> str:
        """Return a part of a name in upper case, if it needs no quotes."""
        return name.upper() if PLAIN_NAME.fullmatch(name) else name

    def same(self, name: str) -> str:
        """Return a column's name: Snowflake tells cases apart."""
        return name

    def locate(self, parts: Parts) -> str:
        """Return the query for the schema in the list of its database."""
        schema = self.literal(parts[-2]) if len(parts) > 1 else "current_schema()"
        database = self.literal(parts[-3]) if len(parts) > 2 else "current_database()"  # noqa: PLR2004
        listed = f"{self.quoted(parts[-3])}.information_schema" if len(parts) > 2 else "information_schema"  # noqa: PLR2004
        return (
            f"select {database}, {schema}, count(*) > 0\nfrom {listed}.schemata where schema_name = {schema}"
        )

    def inspect(self, parts: Parts) -> str:
        """Return the query for kind, comments and columns; texts are compared without their length."""
        information = f"{self.quoted(parts[0])}.information_schema"
        return f"""\
select case t.table_type when 'BASE TABLE' then 'table' else lower(t.table_type) end, t.comment, c.column_name,
  case c.data_type when 'TEXT' then 'VARCHAR'
    when 'NUMBER' then concat('NUMBER(', c.numeric_precision, ', ', c.numeric_scale, ')') else c.data_type end,
  c.comment
from {information}.tables t
left join {information}.columns c on c.table_schema = t.table_schema and c.table_name = t.table_name
where t.table_schema = {self.literal(parts[1])} and t.table_name = {self.literal(parts[2])}
order by c.ordinal_position"""

    def leftovers(self, kind: Kind, schema: Parts, prefix: str) -> str:
        """Return the query for the names."""
        del kind
        return (
            f"select table_name from {self.quoted(schema[0])}.information_schema.tables\n"
            f"where table_schema = {self.literal(schema[1])} and startswith(table_name, {self.literal(prefix)})"
        )

    def replace_rows(self, act: Act) -> list[str]:
        """Return a transaction that deletes and inserts."""
        return [self.begins, *self.delete(act), *self.append(act), self.commits]

    def grantee(self, name: str) -> str:
        """Return a role, or what the first word says; ``public`` is the role that everybody has."""
        kinds = [kind for kind in self.grantee_kinds if name.lower().startswith(f"{kind} ")]
        kind = kinds[0] if kinds else "role"
        return f"{kind} {self.quoted(self.stored(name[len(kind) + 1 :] if kinds else name))}"

    def grants(self, target: Parts) -> str:
        """Return the query for the grants of roles, in lower case as in a spec; the owner's are left out."""
        return (
            "select privilege_type, case when grantee = upper(grantee) then lower(grantee) else grantee end,\n"
            f"  null, is_grantable = 'YES' from {self.quoted(target[0])}.information_schema.table_privileges\n"
            f"where table_schema = {self.literal(target[1])} and table_name = {self.literal(target[2])}\n"
            "  and granted_to = 'ROLE' and privilege_type <> 'OWNERSHIP'"
        )
