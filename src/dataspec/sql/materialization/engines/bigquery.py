"""BigQuery: one MERGE on a condition that is never true, which deletes the old rows and inserts the new ones.

MERGE is atomic, and a constant false condition is run without a join
(https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#merge_statement). CREATE OR REPLACE TABLE is
one job, and the table has its old rows until the job is done
(https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language#create_table_statement). Parsed
in the tests, not run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from dataspec.sql.materialization.engine_sql import Sent
from dataspec.sql.materialization.engines.one_statement import OneStatementSql

if TYPE_CHECKING:
    from dataspec.sql.materialization.engine_sql import Act, Kind, Parts, TypeKinds


class BigQuerySql(OneStatementSql):
    """BigQuery's SQL."""

    title = "BigQuery"
    why_no_grants = "BigQuery gives access by IAM"
    comment_clause = "options (description = {})"
    type_kinds: ClassVar[TypeKinds] = {
        "date": re.compile("date"),
        "timestamp": re.compile("datetime"),
        "instant": re.compile("timestamp"),
        "text": re.compile(r"string(\(\d+\))?"),
    }
    typed_literals = OneStatementSql.typed_literals | {"timestamp": "datetime {}", "instant": "timestamp {}"}

    def quoted(self, name: str) -> str:
        """Return a name in backticks."""
        escaped = name.replace("\\", "\\\\").replace("`", "\\`")
        return f"`{escaped}`"

    def locate(self, parts: Parts) -> str:
        """Return the query for project and dataset; only a query of the dataset itself tells whether it exists."""
        dataset = self.literal(parts[-2]) if len(parts) > 1 else "@@dataset_id"
        project = self.literal(parts[-3]) if len(parts) > 2 else "@@project_id"  # noqa: PLR2004
        return f"select {project}, {dataset}, cast(null as bool)"

    def find_schema(self, schema: Parts) -> str:
        """Return a query about the dataset's tables."""
        return f"select count(*) from {self._described_in(schema, 'TABLES')}"

    def inspect(self, parts: Parts) -> str:
        """Return the query for kind, comments and columns; a description is kept as a literal."""
        schema, name = parts[:-1], self.literal(parts[-1])
        return f"""\
select case t.table_type when 'BASE TABLE' then 'table' else lower(t.table_type) end,
  coalesce(json_value(safe.parse_json(o.option_value)), trim(o.option_value, '"')),
  c.column_name, c.data_type, p.description
from {self._described_in(schema, "TABLES")} t
left join {self._described_in(schema, "TABLE_OPTIONS")} o
  on o.table_name = t.table_name and o.option_name = 'description'
left join {self._described_in(schema, "COLUMNS")} c on c.table_name = t.table_name
left join {self._described_in(schema, "COLUMN_FIELD_PATHS")} p
  on p.table_name = c.table_name and p.field_path = c.column_name
where t.table_name = {name}
order by c.ordinal_position"""

    def leftovers(self, kind: Kind, schema: Parts, prefix: str) -> str:
        """Return the query for the names."""
        del kind
        return (
            f"select table_name from {self._described_in(schema, 'TABLES')}\n"
            f"where starts_with(table_name, {self.literal(prefix)})"
        )

    def _described_in(self, schema: Parts, view: str) -> str:
        return f"{self.named(schema)}.INFORMATION_SCHEMA.{view}"

    def stage(self, kind: Kind, target: Parts, staging: Parts, query: str, *, mark: str) -> list[Sent | str]:
        """Return the statement that makes the staging table with its rows: LIMIT 0 costs as much as all of them."""
        del target, mark
        return [Sent(f"create {kind} {self.named(staging)} as\n{query}", query_line=2)]

    def fill(self, kind: Kind, staging: Parts, query: str) -> list[Sent | str]:
        """Return nothing: the staging table has its rows."""
        del kind, staging, query
        return []

    def replace_rows(self, act: Act) -> list[str]:
        """Return the MERGE."""
        if act.how == "merge":
            return [self.merge_by_key(act)]
        condition = f" and {act.target_condition}" if act.target_condition else ""
        deleted = f"when not matched by source{condition} then delete"
        return [f"{self.merge(act, self.staged(act), 'false')}\n{deleted}\n{self.inserted(act)}"]

    def comment(self, kind: Kind, name: Parts, text: str) -> str:
        """Return the statement that sets the description of a table or view."""
        return f"alter {kind} {self.named(name)} set options (description = {self.literal(text)})"

    def comment_column(self, table: Parts, column: str, text: str) -> str:
        """Return the statement that sets the description of a column."""
        options = f"set options (description = {self.literal(text)})"
        return f"alter table {self.named(table)} alter column {self.quoted(column)} {options}"
