"""Find the columns of the table that a dataset builds, each with its input columns in the tables that it reads.

The statements are followed in their order, so that a staging table of the dataset's own leads to the tables behind
it. Like the lineage of tables, columns are read from the SQL rendered with sample values, through all branches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from dataspec.spec.materialization import IncrementalForm
from dataspec.sql.lineage.dataset_lineage import (
    HARMLESS_COMMANDS,
    ends_alike,
    names_by_parts,
    written_by,
)
from dataspec.sql.lineage.query_columns import OutputColumn, QueryColumns, query_columns
from dataspec.sql.lineage.statement_tables import command_of, table_name
from dataspec.sql.lineage.tree_size import TOO_LARGE, is_too_large
from dataspec.sql.lineage.written_queries import defined_columns, written_queries
from dataspec.sql.samples import SAMPLE_TEXT, sampled_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dataspec.models import SourceColumn
    from dataspec.spec.model import DatasetSpec
    from dataspec.sql.lineage.dataset_lineage import Parts
    from dataspec.sql.lineage.written_queries import WrittenQuery
    from dataspec.sql.samples import SampledText
    from dataspec.sql.values.binding import WrittenName


@dataclass(frozen=True, slots=True)
class ColumnLineage:
    """The columns of the table that a dataset builds."""

    columns: tuple[OutputColumn, ...] = ()
    unknown: str | None = None
    """Why there may be other columns, as a sentence; None if these are all."""
    table: str | None = None
    """The table; None for rows that are not stored, or a name that a run alone tells."""
    whole: bool = False
    """Whether the table has no other columns than those that the dataset fills."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of all columns of the table, in order; None if there may be others."""
        is_known = self.whole and self.unknown is None and all(column.named for column in self.columns)
        return tuple(column.name for column in self.columns) if is_known else None


def column_lineage_of(
    spec: DatasetSpec,
    files: Mapping[str, str],
    known: Mapping[str, Sequence[str]],
    *,
    dialect: str | None = None,
) -> ColumnLineage:
    """Return the columns that a dataset builds; SQL with errors makes them unknown, and raises nothing.

    Args:
        spec: The spec.
        files: The text of each SQL file, by its path in the spec.
        known: The columns of tables that it reads, by the table's name in lower case, as the SQL names it.
        dialect: The connection's dialect, where it is known; the spec's own takes precedence.
    """
    dataset = _Dataset(spec, known, spec.execution.dialect or dialect)
    for text in sampled_texts(spec, files, dialect):
        for way in text.all_ways:
            dataset.take(way)
    return dataset.lineage()


@dataclass(slots=True)
class _OwnTable:
    """A table that the dataset has written so far."""

    name: str | None
    columns: dict[str, OutputColumn]
    """By their names in lower case."""
    unknown: str | None = None
    whole: bool = False
    """Whether it has no other columns than these."""
    created: bool = False
    """Whether the run makes it, so that it holds no earlier rows."""

    def add(self, found: QueryColumns) -> None:
        """Add the columns of a further query, or of another branch of it."""
        self.unknown = self.unknown or found.unknown
        for column in found.columns:
            key = column.name.lower()
            before = self.columns.get(key, OutputColumn(column.name))
            sources = tuple(sorted({*before.sources, *column.sources}))
            unknown = before.unknown or column.unknown
            self.columns[key] = OutputColumn(before.name, sources, unknown, column.named)


class _Dataset:
    """Collects the columns of the tables that one run writes, statement by statement."""

    def __init__(self, spec: DatasetSpec, known: Mapping[str, Sequence[str]], dialect: str | None) -> None:
        self._spec = spec
        self._name = spec.target or spec.name
        self._known = known
        self._dialect = dialect
        self._own: dict[str, _OwnTable] = {}
        self._built: str | None = None
        """The table that the dataset's query fills, in lower case."""
        self._unknown: str | None = None
        self._named: Mapping[Parts, tuple[int, WrittenName]] = {}
        """The names in the current text that depend on values of the run."""

    def take(self, sampled: SampledText) -> None:
        """Follow the statements of one text."""
        if (problem := sampled.unrendered or sampled.parsed.problem) is not None:
            self._unknown = self._unknown or f"A statement can't be read: {problem.message}"
        self._named = names_by_parts(sampled.names)
        for tree in sampled.parsed.trees:
            self._take_tree(tree, sampled)

    def lineage(self) -> ColumnLineage:
        """Return the columns of the table of the dataset's name, else of the one that its query fills."""
        named = next((name for name in self._own if ends_alike(name, self._name)), None)
        built = self._own.get(named or self._built or "")
        if built is None:
            return ColumnLineage(unknown=self._unknown or "The query yields no rows whose columns are known.")
        columns = tuple(built.columns.values())
        return ColumnLineage(columns, self._unknown or built.unknown, built.name, built.whole)

    def _take_tree(self, tree: exp.Expr, sampled: SampledText) -> None:
        command = command_of(tree)
        if command and command not in HARMLESS_COMMANDS:
            self._unknown = self._unknown or f"What {command} reads and writes is not known."
        elif isinstance(tree, exp.Drop) and isinstance(tree.this, exp.Table):
            self._own.pop(_key(tree.this), None)
        elif isinstance(tree, exp.Alter) and isinstance(tree.this, exp.Table):
            self._alter(tree, tree.this)
        elif (defined := defined_columns(tree)) is not None:
            table, names = defined
            columns = {name.lower(): OutputColumn(name) for name in names}
            own = _OwnTable(table_name(table), columns, whole=True, created=True)
            self._own.setdefault(_key(table), own)
        if is_too_large(tree):
            self._unknown = self._unknown or TOO_LARGE
        for found in written_queries(tree):
            self._take_query(found, sampled)

    def _alter(self, tree: exp.Alter, table: exp.Table) -> None:
        """Follow a table to its new name; any other change makes its columns unknown."""
        for action in tree.args.get("actions") or ():
            own = self._own.get(_key(table))
            if own is None:
                return
            new = action.this if isinstance(action, exp.AlterRename) else None
            if isinstance(new, exp.Table):
                name = table_name(new) if new.db else ".".join((*table_name(table).split(".")[:-1], new.name))
                self._own[name.lower()] = replace(self._own.pop(_key(table)), name=name)
                self._built = name.lower() if self._built == _key(table) else self._built
            else:
                own.unknown = own.unknown or "ALTER TABLE changes its columns."

    def _take_query(self, found: WrittenQuery, sampled: SampledText) -> None:
        is_query = sampled.text.kind == "query"
        if found.table is None and not is_query:
            return
        name = table_name(found.table) if found.table is not None else self._spec.target
        key = (name or self._name).lower()
        if is_query:
            self._built = key
        if name is not None and written_by(self._named, name) is not None:
            name = None
        columns = self._resolved(found)
        own, new = self._own.get(key), self._filled(name, found)
        if own is None or (new.created and not sampled.values):
            self._own[key] = own = new
        elif not (found.names or found.by_name):
            columns = _renamed(columns, tuple(column.name for column in own.columns.values()))
        own.add(columns)

    def _filled(self, name: str | None, found: WrittenQuery) -> _OwnTable:
        """Return the table that a query fills, without columns."""
        form = self._spec.materialization if found.table is None else None
        if isinstance(form, IncrementalForm):
            return _OwnTable(name, {}, whole=form.on_schema_change != "ignore")
        if form is not None:
            return _OwnTable(name, {}, whole=True, created=True)
        whole = found.creates or not (found.names or found.by_name)
        return _OwnTable(name, {}, whole=whole, created=found.creates)

    def _resolved(self, found: WrittenQuery) -> QueryColumns:
        """Return the columns that a query fills, with the tables behind the dataset's own."""
        complete = {key: table for key, table in self._own.items() if table.whole and table.unknown is None}
        own = {key: [column.name for column in table.columns.values()] for key, table in complete.items()}
        columns = query_columns(found.query, {**self._known, **own}, self._dialect)
        behind = tuple(self._behind(column) for column in columns.columns)
        named = QueryColumns(behind, columns.unknown)
        return _filling(named, found.names) if found.names else named

    def _behind(self, column: OutputColumn) -> OutputColumn:
        """Return a column with the columns behind those of own tables, and without names that a run alone tells."""
        sources: set[SourceColumn] = set()
        unknown = column.unknown
        for source in column.sources:
            own = self._own.get(source.table.lower())
            through = own.columns.get(source.column.lower()) if own else None
            if through is not None:
                sources.update(through.sources)
                unknown = unknown or through.unknown
            elif own is not None and own.created:
                unknown = unknown or own.unknown or f"No column '{source.column}' of {source.table} is known."
            elif (reason := self._told_by_run(source)) is not None:
                unknown = unknown or reason
            else:
                sources.add(source)
        name, named = column.name, column.named
        if written_by(self._named, name) is not None:
            name, named, unknown = (
                name.replace(SAMPLE_TEXT, "…"),
                False,
                unknown or "A run alone tells its name.",
            )
        return OutputColumn(name, tuple(sorted(sources)), unknown, named)

    def _told_by_run(self, source: SourceColumn) -> str | None:
        if written_by(self._named, source.table) is not None:
            return "A run alone tells which table it reads."
        if written_by(self._named, source.column) is not None:
            return "A run alone tells which column it reads."
        return None


def _filling(columns: QueryColumns, names: Sequence[str]) -> QueryColumns:
    """Return the columns of a query under the names of the columns that it fills."""
    if columns.unknown is None and len(names) == len(columns.columns):
        return _renamed(columns, names)
    reason = columns.unknown or f"The query yields {len(columns.columns)} columns for {len(names)}."
    return QueryColumns(tuple(OutputColumn(name, unknown=reason) for name in names))


def _renamed(columns: QueryColumns, names: Sequence[str]) -> QueryColumns:
    """Return columns under other names, by position; under their own if there are not as many."""
    if columns.unknown is not None or len(names) != len(columns.columns):
        return columns
    pairs = zip(columns.columns, names, strict=True)
    return QueryColumns(tuple(replace(column, name=name, named=True) for column, name in pairs))


def _key(table: exp.Table) -> str:
    return table_name(table).lower()
