"""ClickHouse: EXCHANGE TABLES with a copy that has the new rows.

A copy of the table, whose parts are links to those of the table, gets the staged rows in place of the old ones; then
EXCHANGE TABLES (https://clickhouse.com/docs/sql-reference/statements/exchange), which is atomic in databases of the
engines Atomic, Replicated and Shared (https://clickhouse.com/docs/engines/database-engines/atomic). Grants belong to
names, and so do views: they see the new table. Run in the tests, on ClickHouse's engine in a process (chDB).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from dataspec.sql.materialization.engine_sql import Sent
from dataspec.sql.materialization.engines.one_statement import OneStatementSql

if TYPE_CHECKING:
    from dataspec.sql.materialization.engine_sql import Act, Kind, Parts, TypeKinds

_MERGE_TREE = "engine = MergeTree order by tuple()"
"""The engine of a new table; a table that is made by hand keeps its own, with its order and partitions."""


class ClickHouseSql(OneStatementSql):
    """ClickHouse's SQL."""

    title = "ClickHouse"
    needs = "databases of the engine Atomic, Replicated or Shared, and tables of the family MergeTree."
    max_parts = 2
    publishes_copy = True
    type_kinds: ClassVar[TypeKinds] = {
        "date": re.compile(r"date(32)?|nullable\(date(32)?\)"),
        "instant": re.compile(r"datetime(64)?(\(.*\))?|nullable\(datetime(64)?(\(.*\))?\)"),
        "text": re.compile(r"(nullable\(|lowcardinality\()*string\)*"),
    }
    typed_literals = OneStatementSql.typed_literals | {"instant": "parseDateTime64BestEffort({})"}

    def same(self, name: str) -> str:
        """Return a column's name: ClickHouse tells cases apart."""
        return name

    def quoted(self, name: str) -> str:
        """Return a name in backticks."""
        escaped = name.replace("\\", "\\\\").replace("`", "\\`")
        return f"`{escaped}`"

    def locate(self, parts: Parts) -> str:
        """Return the query for the database."""
        database = self.literal(parts[-2]) if len(parts) > 1 else "currentDatabase()"
        return f"select {database}, (select count() from system.databases where name = {database}) > 0"

    def why_unfit(self, schema: Parts) -> str:
        """Return the query for the database's engine, unless it is one of those that exchange tables atomically."""
        return (
            "select concat('the database ', name, ' has the engine ', engine) from system.databases\n"
            f"where name = {self.literal(schema[0])} and engine not in ('Atomic', 'Replicated', 'Shared')"
        )

    def inspect(self, parts: Parts) -> str:
        """Return the query for kind, comments and columns; those that are computed can't be written and don't count."""
        database, name = map(self.literal, parts)
        return f"""\
select multiIf(t.engine like '%MergeTree', 'table', t.engine = 'View', 'view', concat(t.engine, ' table')),
  t.comment, c.name, c.type, c.comment
from system.tables t
left join system.columns c on c.database = t.database and c.table = t.name
where t.database = {database} and t.name = {name} and c.default_kind not in ('MATERIALIZED', 'ALIAS', 'EPHEMERAL')
order by c.position"""

    def leftovers(self, kind: Kind, schema: Parts, prefix: str) -> str:
        """Return the query for the names."""
        del kind
        database = self.literal(schema[0])
        return (
            "select name from system.tables\n"
            f"where database = {database} and startsWith(name, {self.literal(prefix)})"
        )

    def create_schema(self, schema: Parts) -> list[str]:
        """Return the statement that creates a database."""
        return [f"create database if not exists {self.named(schema)}"]

    def stage(self, kind: Kind, target: Parts, staging: Parts, query: str, *, mark: str) -> list[Sent | str]:
        """Return the statement that makes the staging table or view."""
        if kind == "view":
            return super().stage(kind, target, staging, query, mark=mark)
        created = f"create table {self.named(staging)} {_MERGE_TREE} as\n"
        return [Sent(f"{created}select * from (\n{query}\n) as query limit 0", query_line=3)]

    def publish(self, act: Act) -> list[str]:
        """Return the statements of the act."""
        if act.kind == "view":
            return [f"{self.created(act, replace=True)} as\n{act.query}"]
        target, staging = self.named(act.target), self.named(act.staging)
        if act.how == "create":
            return [self.comment("table", act.staging, act.comment), f"rename table {staging} to {target}"]
        if act.how == "swap":
            return [
                self.comment("table", act.staging, act.comment),
                f"exchange tables {staging} and {target}",
            ]
        exchange = f"exchange tables {self.named(_copy(act))} and {target}"
        return [*self.replace_rows(act), exchange, self.drop("table", _copy(act))]

    def replace_rows(self, act: Act) -> list[str]:
        """Return the statements that make the copy."""
        copy, columns = self.named(_copy(act)), self.listed(act.columns)
        target, staging = self.named(act.target), self.named(act.staging)
        kept = act.how != "replace_all"
        return [
            f"create table {copy} as {target}",
            self.comment("table", _copy(act), act.comment),
            *([f"alter table {copy} attach partition all from {target}"] if kept else []),
            *(self.add_column(_copy(act), column) for column in act.added),
            *self.delete(act),
            f"insert into {copy} ({columns})\nselect {columns} from {staging}",
        ]

    def delete(self, act: Act) -> list[str]:
        """Return the statement that deletes the rows to replace from the copy."""
        condition = act.condition
        if act.how == "merge":
            columns = self.listed(act.keys)
            condition = f"({columns}) in (select {columns} from {self.named(act.staging)})"
        if not condition:
            return []
        return [f"alter table {self.named(_copy(act))} delete where {condition} settings mutations_sync = 2"]

    def comment(self, kind: Kind, name: Parts, text: str) -> str:
        """Return the statement that sets the comment of a table."""
        return f"alter {kind} {self.named(name)} modify comment {self.literal(text)}"

    def comment_column(self, table: Parts, column: str, text: str) -> str:
        """Return the statement that sets the comment of a column."""
        return f"alter table {self.named(table)} comment column {self.quoted(column)} {self.literal(text)}"

    def grants(self, target: Parts) -> str:
        """Return the query for the grants on the table and on its columns."""
        database, name = map(self.literal, target)
        return (
            "select toString(access_type), coalesce(user_name, role_name), column, grant_option from system.grants\n"
            f"where database = {database} and table = {name} and is_partial_revoke = 0"
        )


def _copy(act: Act) -> Parts:
    return (*act.staging[:-1], f"{act.staging[-1]}_new")
