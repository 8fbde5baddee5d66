"""Databricks: INSERT INTO … REPLACE WHERE, or one MERGE.

Both are atomic on Delta tables (https://docs.databricks.com/en/delta/selective-overwrite.html and
https://docs.databricks.com/en/sql/language-manual/delta-merge-into.html). CREATE OR REPLACE TABLE keeps history and
grants (https://docs.databricks.com/en/sql/language-manual/sql-ref-syntax-ddl-create-table-using.html). Parsed in the
tests, not run on Databricks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.sql.materialization.engines.spark import SparkSql

if TYPE_CHECKING:
    from dataspec.sql.materialization.engine_sql import Act, Parts


class DatabricksSql(SparkSql):
    """Databricks' SQL."""

    title = "Databricks"
    needs = "Delta tables alone."
    formats = frozenset({"delta"})
    why_no_grants = ""

    def replace_rows(self, act: Act) -> list[str]:
        """Return the INSERT that replaces the rows of the partition or of the table, or the MERGE."""
        return [
            self.merge_by_key(act) if act.how == "merge" else self.replace_where(act, act.condition or "true")
        ]

    def grants(self, target: Parts) -> str:
        """Return the query for the grants on the table itself, which Unity Catalog has."""
        return (
            "select privilege_type, grantee, null, is_grantable = 'YES'\n"
            f"from {self.quoted(target[0])}.information_schema.table_privileges\n"
            f"where table_schema = {self.literal(target[1])} and table_name = {self.literal(target[2])}\n"
            "  and inherited_from = 'NONE' and grantee <> current_user()"
        )
