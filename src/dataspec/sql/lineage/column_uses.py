"""Find the columns that a dataset reads of the tables of others, and the columns that its own table surely has.

Both are read from the SQL alone, by sqlglot's scopes, so that the specs of a project can be compared with each other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, ScopeType, traverse_scope

from dataspec.problems import Problem
from dataspec.spec.materialization import TableForm, ViewForm
from dataspec.sql.lineage.dataset_lineage import names_by_parts, written_by
from dataspec.sql.lineage.statement_tables import access_of, is_table, table_name
from dataspec.sql.lineage.unambiguous_query import is_star
from dataspec.sql.lineage.written_queries import written_queries
from dataspec.sql.source_map import in_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.sql_texts import SqlPlaces
    from dataspec.sql.samples import SampledText

MAX_USES = 1_000
"""Maximum number of columns of one spec that are compared with those of other datasets."""
_OF_THE_ENGINE = {"ctid", "level", "oid", "rowid", "rownum", "tableoid", "xmax", "xmin"}
"""Columns that every table of some engine has, besides those that begin with an underscore."""


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """A column of a table that a dataset reads, with the place of its first use."""

    table: str
    column: str
    place: Problem
    """A problem without a message at that place."""


@dataclass(frozen=True, slots=True)
class BuiltTable:
    """A table that a run makes anew, with all its columns."""

    name: str
    columns: tuple[str, ...]


def column_uses(texts: Iterable[SampledText], places: SqlPlaces) -> tuple[ColumnUse, ...]:
    """Return the columns whose table the SQL names, or that can be of one table alone, without duplicates."""
    uses: dict[tuple[str, str], ColumnUse] = {}
    for text in texts:
        for way in text.all_ways:
            named = names_by_parts(way.names)
            for table, column in _columns(way.parsed.trees):
                key = table.lower(), column.name.lower()
                by_run = written_by(named, table) or written_by(named, column.name)
                if key not in uses and not by_run and len(uses) < MAX_USES:
                    uses[key] = ColumnUse(table, column.name, _place(column, way, places))
    return tuple(uses.values())


def built_table(spec: DatasetSpec, texts: Sequence[SampledText]) -> BuiltTable | None:
    """Return the table that a dataset's one query makes anew; None where its columns are not certain."""
    queries = [text for text in texts if text.text.kind == "query"]
    if len(queries) != 1 or queries[0].others or len(queries[0].parsed.trees) != 1 or queries[0].names:
        return None
    tree = queries[0].parsed.trees[0]
    found = next(written_queries(tree), None)
    if found is None or found.names or any(map(is_star, found.query.selects)):
        return None
    if found.table is not None:
        is_made = found.creates and not tree.args.get("exists")
        name = table_name(found.table) if is_made else None
    else:
        is_made = isinstance(spec.materialization, TableForm | ViewForm)
        name = spec.target if is_made else None
    columns = tuple(output.alias_or_name for output in found.query.selects)
    if name is None or not all(columns) or _is_written_elsewhere(texts):
        return None
    return BuiltTable(name, columns)


def _is_written_elsewhere(texts: Iterable[SampledText]) -> bool:
    """Return whether a statement beside the query writes a table, or can't be read."""
    others = [way for text in texts if text.text.kind != "query" for way in text.all_ways]
    trees = [tree for way in others for tree in way.parsed.trees]
    unread = any(way.unrendered or way.parsed.problem for way in others)
    return unread or any(isinstance(tree, exp.Command) or access_of(tree).writes for tree in trees)


def _columns(trees: Iterable[exp.Expr]) -> Iterator[tuple[str, exp.Column]]:
    """Yield the columns in the queries of statements, each with its table's name."""
    for tree in trees:
        for query in {id(found.query): found.query for found in written_queries(tree)}.values():
            try:
                for scope in traverse_scope(query):
                    yield from _columns_in(scope)
            except (SqlglotError, RecursionError):
                continue


def _columns_in(scope: Scope) -> Iterator[tuple[str, exp.Column]]:
    if scope.pivots or not isinstance(scope.expression, exp.Select):
        return
    aliases = Counter(output.alias.lower() for output in scope.expression.selects)
    tables = {name.lower(): source for name, source in scope.sources.items() if isinstance(source, exp.Table)}
    beside = [name.lower() for name in scope.selected_sources]
    is_closed = scope.scope_type is not ScopeType.SUBQUERY and not scope.can_be_correlated
    for column in scope.columns:
        name = column.name.lower()
        if not isinstance(column.this, exp.Identifier) or name in _OF_THE_ENGINE or name.startswith("_"):
            continue
        alias = column.table.lower()
        may_be_output = name in aliases and not (aliases[name] == 1 and _is_within(column, name, scope))
        if not alias and is_closed and len(beside) == 1 and not may_be_output and name != beside[0]:
            alias = beside[0]
        table = tables.get(alias)
        if table is not None and is_table(table) and not table.alias_column_names and not column.db:
            yield table_name(table), column


def _is_within(column: exp.Column, alias: str, scope: Scope) -> bool:
    """Return whether a column is a part of the output with an alias: it is not that output then."""
    node: exp.Expr = column
    while node.parent is not None and node.parent is not scope.expression:
        node = node.parent
    return isinstance(node, exp.Alias) and node.alias.lower() == alias


def _place(column: exp.Column, sampled: SampledText, places: SqlPlaces) -> Problem:
    meta = column.this.meta
    if not meta.get("line"):
        return places.placed(Problem("", "", 1, 1), sampled.text)
    line, at = in_template(sampled.text.sql, sampled.parsed.sql, meta["line"], meta["col"], column.name)
    return places.placed(Problem("", "", line, at), sampled.text)
