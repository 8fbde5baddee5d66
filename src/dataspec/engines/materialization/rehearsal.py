"""Preview a run with the statements that would stage, check and publish its rows, without an engine.

The materializer itself runs, on answers that an engine would give if the table were there with the query's columns.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from dataspec.engines.check_runner import CheckRunner
from dataspec.engines.materialization.new_table import NEW_TABLE, mark_of
from dataspec.engines.materializer import Materializer
from dataspec.engines.results import Result
from dataspec.spec.materialization import MergeForm, ReplacePartitionForm, ViewForm
from dataspec.sql.checks.findings import SAMPLE_PREFIX, ChecksFailed
from dataspec.sql.materialization.engine_sql import Column, Relation
from dataspec.sql.materialization.failure import MaterializationFailed
from dataspec.sql.materialization.supported import engine_sql
from dataspec.sql.preview import preview_sql
from dataspec.sql.rendering import RenderedStatement, render_statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from dataspec.engines.session import Execute
    from dataspec.spec.full_refresh import FullRefresh
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.run_values import RunValues
    from dataspec.sql.materialization.engine_sql import EngineSql, Parts
    from dataspec.sql.preview import SqlPreview

_COUNTS = 4
"""Number of counts that the engine's own check of staged rows returns."""
_STAGING = re.compile(r"(?P<name>__dli_(?:new_)?)[0-9a-f]{16}(?P<attempt>_[0-9a-f]{8})?")
_INSTANTS = ("timestamp with time zone",)
_SAME_TYPES = {
    "timestamp": ("timestamp without time zone", "timestamp_ntz", "datetime"),
    "datetime": ("timestamp", "timestamp without time zone"),
    "timestamptz": ("timestamp with time zone", "timestamp_tz"),
    "timestamp with time zone": ("timestamp_tz", "timestamp"),
    "text": ("varchar", "character varying", "string"),
    "string": ("varchar", "text"),
    "varchar": ("character varying", "text", "string"),
}
"""How engines describe the types that a ``schema`` may name for a partition column."""
_UNKNOWN = "…"
"""Stands for the columns of a query that are not known without the engine."""
_PLACE = "?"
"""Stands for the database or the schema that the connection has by default."""


def preview_run(
    spec: DatasetSpec,
    files: Mapping[str, str],
    values: RunValues,
    *,
    yaml: bytes,
    file: str,
    dialect: str | None = None,
    refresh: FullRefresh | None = None,
) -> SqlPreview:
    """Preview a run like :func:`~dataspec.sql.preview.preview_sql`, with what publishes its rows.

    Args:
        spec: The spec.
        files: The text of each SQL file, by its path in the spec.
        values: The values of the run.
        yaml: The spec's YAML, for places of SQL in it.
        file: The YAML file's name.
        dialect: The connection's dialect, where it is known.
        refresh: The run's part in a full refresh.

    Raises:
        InvalidTemplate: As :func:`~dataspec.sql.preview.preview_sql`.
    """
    found = preview_sql(spec, files, values.template, yaml=yaml, file=file, dialect=dialect)
    engine = engine_sql(dialect, spec.execution.dialect)
    if spec.materialization is None or engine is None:
        return found
    written = spec.execution.dialect or dialect
    rendered = render_statements(
        spec, files, values.template, dialect=written, file=file, yaml=yaml, connected=dialect
    )
    query = next(statement for statement in rendered if statement.kind == "query")
    checks = CheckRunner.of(
        spec, files, values.template, dialect=written, file=file, yaml=yaml, connected=dialect
    )
    rehearsal = _Rehearsal(spec, engine, values, columns=found.columns, refresh=refresh, checks=checks)
    return replace(found, publishing=rehearsal.run(query), warnings=[*found.warnings, *rehearsal.warnings])


class _Rehearsal:
    """Records the statements of a run, and answers its questions as an engine would."""

    def __init__(
        self,
        spec: DatasetSpec,
        engine: EngineSql,
        values: RunValues,
        *,
        columns: Sequence[str],
        refresh: FullRefresh | None,
        checks: CheckRunner | None,
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._refresh = refresh
        self._columns = list(_columns(spec, engine, columns, values))
        self._sent: list[str] = []
        rehearsed = _RehearsedChecks(checks) if checks else None
        self.materializer = Materializer(spec, values, engine, refresh=refresh, checks=rehearsed)
        self.warnings: list[str] = []

    def run(self, query: RenderedStatement) -> list[str]:
        """Return the statements that stage, check and publish the rows; without those after a refusal."""
        try:
            self.materializer.run(query, self._execute)
        except MaterializationFailed as failed:
            self.warnings.append(f"The run would fail. {failed}")
        return [self._without_defaults(sql) for sql in self._sent]

    def _execute(self, statement: RenderedStatement, *, keep: int | None = None) -> Result:
        """Record a statement; answer it if it is a question."""
        del keep  # an argument of what it stands for
        if statement.name == "inspect":
            return Result(first_rows=tuple(self._inspected(statement.sql)))
        if statement.kind == "check" and statement.sql.endswith("where 1 = 0"):
            return Result(columns=tuple(column.name for column in self._columns))
        if not statement.name.startswith(SAMPLE_PREFIX):
            self._sent.append(statement.sql)
        is_spec_check = statement.kind == "check"
        counts = len(self._spec.checks) + 1 if is_spec_check else _COUNTS
        return Result(first_rows=((0,) * counts,))

    def _inspected(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a question about the catalog: the table is there, and has the query's columns."""
        parts = tuple(map(self._engine.stored, (self._spec.target or self._spec.name).split(".")))
        schema = (*[_PLACE] * (self._engine.max_parts - len(parts)), *parts[:-1])
        target = (*schema, parts[-1])
        if sql == self._engine.locate(parts):
            yield (*schema, True)
        elif self._asks_about(target, sql):
            yield from self._described(f"Built by the dataset {self._spec.name}.")
        elif NEW_TABLE in sql:
            if self._refresh and not self._refresh.begins:
                yield from self._described(mark_of(self._refresh))
        elif (staging := _STAGING.search(sql)) and self._asks_about((*schema, staging[0]), sql):
            yield from self._described(self.materializer.mark)

    def _asks_about(self, name: Parts, sql: str) -> bool:
        return sql in {self._engine.inspect(name), *self._engine.inspect_quickly(name)}

    def _described(self, comment: str) -> list[tuple[Any, ...]]:
        kind = "view" if isinstance(self._spec.materialization, ViewForm) else "table"
        return self._engine.described(Relation(kind, tuple(self._columns), comment))

    def _without_defaults(self, sql: str) -> str:
        """Return a statement without the parts of names that the connection has by default."""
        shown = sql.replace(self._engine.quoted(_PLACE) + ".", "")
        shown = shown.replace(self.materializer.mark, "dli attempt <id>")
        return _STAGING.sub(
            lambda found: f"{found['name']}<hash>" + ("_<attempt>" if found["attempt"] else ""), shown
        )


class _RehearsedChecks:
    """Runs checks of which none finds anything."""

    def __init__(self, checks: CheckRunner) -> None:
        self._checks = checks

    def run(
        self,
        table: str,
        execute: Execute,
        *,
        columns: Mapping[str, str] = MappingProxyType({}),
        condition: str = "",
        published: bool = False,
    ) -> None:
        """Send the statements of the checks; assumed columns are not compared with those of ``schema``."""
        del columns
        with suppress(ChecksFailed):  # row_count, for which there are no rows
            self._checks.run(table, execute, condition=condition, published=published)


def _columns(
    spec: DatasetSpec, engine: EngineSql, found: Sequence[str], values: RunValues
) -> Iterator[Column]:
    """Yield the columns of the query: those of ``schema``, else those that the SQL names."""
    types = {column.name: column.type or "" for column in spec.columns} or dict.fromkeys(
        found or [_UNKNOWN], ""
    )
    form = spec.materialization
    needed = form.unique_key if isinstance(form, MergeForm) else []
    if isinstance(form, ReplacePartitionForm):
        needed = [form.partition_column]
    known = {name.lower() for name in types}
    types |= dict.fromkeys((name for name in needed if name.lower() not in known), "")
    for name, written in types.items():
        is_telling = isinstance(form, ReplacePartitionForm) and name.lower() == form.partition_column.lower()
        yield Column(engine.stored(name), _type(engine, written, values) if is_telling else written)


def _type(engine: EngineSql, written: str, values: RunValues) -> str:
    """Return the type of the partition column as the engine writes it; for an unknown one, that of the partition."""
    has_dates = values.partition is not None and bool(values.partition.dates)
    names = [written.lower()] if written else ["date"] if has_dates else list(_INSTANTS)
    for name in names:
        for candidate in (name, *_SAME_TYPES.get(name, ())):
            if engine.kind_of(Column("", candidate)):
                return candidate
    return names[0]
