"""An engine that is not there: it answers what a materialization asks of its catalog, and keeps what it is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dataspec.engines.check_runner import CheckRunner
from dataspec.engines.materialization.new_table import NEW_TABLE, mark_of
from dataspec.engines.materializer import Materializer
from dataspec.engines.results import Result
from dataspec.spec.full_refresh import FullRefresh
from dataspec.spec.parse import parse_spec
from dataspec.spec.run_values import resolve_run
from dataspec.sql.materialization.engine_sql import Column, Relation
from dataspec.sql.materialization.supported import engine_sql
from dataspec.sql.rendering import RenderedStatement, render_statements

TYPES = {
    "bigquery": ("DATE", "INT64", "STRING"),
    "clickhouse": ("Date", "Int64", "String"),
    "databricks": ("date", "bigint", "string"),
    "redshift": ("date", "bigint", "character varying(10)"),
    "snowflake": ("DATE", "NUMBER(38, 0)", "VARCHAR"),
    "spark": ("date", "bigint", "string"),
    "trino": ("date", "bigint", "varchar"),
}
"""How each engine writes the types of the columns day, id and name."""

PARAMETERS = "parameters: [{name: execution_date, type: date}]\n"
_ASKED_FOR_THE_SCHEMA = frozenset({"bigquery", "databricks", "spark"})
_CHECK = re.compile(r"check_\d+")


class ScriptedEngine:
    """Answers the statements of one run of shop.orders, whose query has the columns day, id and name.

    Args:
        dialect: The engine.
        there: The columns of the table that is there, of day, id and name; none if there is no table.
        kind: The kind of what is there, as the engine says it.
        builder: The dataset that has built it.
        new: The full refresh that has built partitions in a new table; None if there is no new table.
    """

    def __init__(
        self,
        dialect: str,
        there: Sequence[str] = (),
        *,
        kind: str = "table",
        builder: str = "shop.orders",
        new: FullRefresh | None = None,
    ) -> None:
        engine = engine_sql(dialect)
        assert engine is not None
        self.engine = engine
        self.dialect = dialect
        self.sent: list[RenderedStatement] = []
        self.format = ""
        """The format of Spark's tables, if not Delta."""
        self.has_schema = True
        self.overtaken = False
        """Whether a later attempt drops the staging table before the act."""
        names = [*map(engine.stored, ("day", "id", "name"))]
        self._columns = dict(zip(("day", "id", "name"), zip(names, TYPES[dialect], strict=True), strict=True))
        self._there = there
        self._kind_of_staging = "table"
        self._kind = kind
        self._new = new
        self._comment = f"Built by the dataset {builder}."
        self._schema = ("lake", "shop")[-engine.max_parts + 1 :]
        self._target = (*map(engine.stored, self._schema), engine.stored("orders"))

    def run(self, form: str, more: str = "", *, refresh: FullRefresh | None = None) -> list[str]:
        """Run the dataset once; return the SQL that the engine was sent."""
        yaml = (
            "name: shop.orders\ntype: Dataset\nowner: e@example.com\n"
            f"query_statement: select day, id, name from shop.clicks\nmaterialization: {form}\n"
            f"{'' if form == 'view' else PARAMETERS}{more}"
        )
        self._kind_of_staging = "view" if form == "view" else "table"
        spec = parse_spec(yaml.encode(), file="dataset.yaml")
        values = resolve_run(spec, {} if form == "view" else {"execution_date": "2024-01-15"})
        checks = CheckRunner.of(spec, {}, values.template, dialect=self.dialect, file="dataset.yaml")
        runner = Materializer.of(spec, values, self.dialect, refresh=refresh, checks=checks)
        assert runner is not None
        (query,) = render_statements(spec, {}, values.template, dialect=self.dialect, file="dataset.yaml")
        runner.run(query, self.execute)
        return [statement.sql for statement in self.sent]

    def execute(self, statement: RenderedStatement, *, keep: int | None = None) -> Result:
        """Answer a statement."""
        self.sent.append(statement)
        rows = self.answer(statement.sql)
        if statement.kind == "check":
            columns = tuple(name for name, _ in self._columns.values())
            counts = (
                5 if f"count(*) as {name}" in statement.sql else 0 for name in _CHECK.findall(statement.sql)
            )
            return Result(columns, ((5, *counts),), 1)
        return Result(("x",), tuple(rows[:keep]), len(rows))

    def answer(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a question about the catalog, or of the count of staged rows."""
        engine = self.engine
        if " as staged, " in sql:
            return [(5, 0, 0, 0)]
        if sql == engine.locate((engine.stored("shop"), engine.stored("orders"))):
            return [(*self._target[:-1], None if self.dialect in _ASKED_FOR_THE_SCHEMA else self.has_schema)]
        if self.dialect in _ASKED_FOR_THE_SCHEMA and sql == engine.find_schema(self._target[:-1]):
            return [(1,)] if self.has_schema else []  # the session goes on after its failure
        if sql == engine.inspect(self._target):
            return self._described(self._there, self._kind) if self._there else []
        if sql.startswith(engine.inspect((*self._target[:-1], "__dli_")).partition("__dli_")[0]):
            if NEW_TABLE in sql:
                columns = [*self._columns]
                return self._described(columns, "table", mark_of(self._new)) if self._new else []
            gone = self.overtaken and [one.sql for one in self.sent].count(sql) > 1
            return [] if gone else self._described([*self._columns], self._kind_of_staging)
        if "like '" in sql or "starts" in sql or "substring" in sql:
            rows: list[tuple[Any, ...]] = [("__dli_old", "__dli_old", False)]
            return rows
        return []

    def _described(
        self, columns: Sequence[str], kind: str, comment: str | None = None
    ) -> list[tuple[Any, ...]]:
        found = (Column(*self._columns[name]) for name in columns)
        rows = self.engine.described(Relation(kind, tuple(found), comment or self._comment))
        return [
            (row[0], self.format, *row[2:]) if self.format and row[0] == "Provider" else row for row in rows
        ]
