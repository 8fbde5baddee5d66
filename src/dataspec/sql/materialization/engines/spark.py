"""Spark with tables of Iceberg or Delta Lake: one MERGE, or INSERT INTO … REPLACE WHERE for a whole table.

Both make one snapshot of an Iceberg table (https://iceberg.apache.org/docs/latest/spark-writes/) and one version of a
Delta table (https://docs.delta.io/latest/delta-update.html); so does CREATE OR REPLACE TABLE AS. Other formats have no
atomic writes. Parsed in the tests; has run on Sail, with Delta tables.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from dataspec.sql.materialization.engine_sql import Column, Relation
from dataspec.sql.materialization.engines.one_statement import OneStatementSql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dataspec.sql.materialization.engine_sql import Act, Kind, Parts, TypeKinds


class SparkSql(OneStatementSql):
    """Spark's SQL."""

    title = "Spark"
    needs = (
        "tables of Iceberg or Delta Lake: set spark.sql.sources.default, or name a catalog that makes them."
    )
    formats: ClassVar[frozenset[str]] = frozenset({"iceberg", "delta"})
    """The formats of tables with atomic writes."""
    why_no_grants = "Spark has no grants"
    name_column = 1
    fails_without_table = True
    type_kinds: ClassVar[TypeKinds] = {
        "date": re.compile("date"),
        "timestamp": re.compile("timestamp_ntz"),
        "instant": re.compile("timestamp"),
        "text": re.compile(r"string|(var)?char\(\d+\)"),
    }
    typed_literals = OneStatementSql.typed_literals | {
        "timestamp": "timestamp_ntz {}",
        "instant": "timestamp {}",
    }

    def stored(self, name: str) -> str:
        """Return a part of a name in lower case, as catalogs store it."""
        return name.lower()

    def quoted(self, name: str) -> str:
        """Return a name in backticks."""
        escaped = name.replace("`", "``")
        return f"`{escaped}`"

    def locate(self, parts: Parts) -> str:
        """Return the query for catalog and schema; only a statement about the schema tells whether it exists."""
        schema = self.literal(parts[-2]) if len(parts) > 1 else "current_schema()"
        catalog = self.literal(parts[-3]) if len(parts) > 2 else "current_catalog()"  # noqa: PLR2004
        return f"select {catalog}, {schema}, cast(null as boolean)"

    def find_schema(self, schema: Parts) -> str:
        """Return a statement about the schema."""
        return f"describe schema {self.named(schema)}"

    def inspect(self, parts: Parts) -> str:
        """Return the statement that describes a table or view."""
        return f"describe table extended {self.named(parts)}"

    def relation(self, rows: Sequence[tuple[Any, ...]]) -> Relation | None:
        """Return what the statement describes: rows of columns, then titles and rows of properties."""
        if not rows:
            return None
        last = next(
            (index for index, row in enumerate(rows) if not row[0] or row[0].startswith("#")), len(rows)
        )
        properties = {str(name).strip().lower(): value for name, value, *_ in rows[last:] if value}
        provider = str(properties.get("provider", "")).lower()
        kind = "table" if provider in self.formats else f"{provider} table".strip()
        if str(properties.get("type", "")).upper() == "VIEW":
            kind = "view"
        columns = tuple(Column(name, type_, comment or None) for name, type_, comment, *_ in rows[:last])
        return Relation(kind, columns, properties.get("comment"))

    def described(self, relation: Relation) -> list[tuple[Any, ...]]:
        """Return rows of the statement that describe a table or view."""
        columns = ((column.name, column.type, column.comment) for column in relation.columns)
        kind, (provider, *_) = relation.kind, sorted(self.formats)
        properties = (("Comment", relation.comment, ""), ("Provider", provider, ""), ("Type", kind, ""))
        return [*columns, ("", "", ""), ("# Detailed Table Information", "", ""), *properties]

    def leftovers(self, kind: Kind, schema: Parts, prefix: str) -> str:
        """Return the statement that lists the names."""
        return f"show {kind}s in {self.named(schema)} like {self.literal(prefix + '*')}"

    def replace_rows(self, act: Act) -> list[str]:
        """Return the MERGE; for a whole table, the INSERT that replaces all rows."""
        if act.how == "merge":
            return [self.merge_by_key(act)]
        return [
            self.merge_replaced(act) if act.how == "replace_partition" else self.replace_where(act, "true")
        ]

    def replace_where(self, act: Act, condition: str) -> str:
        """Return the INSERT that replaces the rows for which a condition is true; it matches columns by position."""
        staged = f"select {self.listed(act.columns)} from {self.named(act.staging)}"
        return f"insert into {self.named(act.target)} replace where {condition}\n{staged}"

    def add_column(self, target: Parts, column: Column) -> str:
        """Return the statement that adds a column to a table."""
        return f"alter table {self.named(target)} add columns ({self.quoted(column.name)} {column.type})"

    def comment_column(self, table: Parts, column: str, text: str) -> str:
        """Return the statement that sets the comment of a column."""
        return (
            f"alter table {self.named(table)} alter column {self.quoted(column)} comment {self.literal(text)}"
        )
