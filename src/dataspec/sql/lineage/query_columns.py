"""Find the input columns of each output column of one query, with sqlglot's resolver and lineage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.schema import MappingSchema

from dataspec.models import SourceColumn
from dataspec.problems import shortened
from dataspec.sql.lineage.statement_tables import is_table, table_name
from dataspec.sql.lineage.tree_size import TOO_LARGE, is_too_large
from dataspec.sql.lineage.unambiguous_query import MISSING, NO_PART, OPAQUE, RECURSIVE, is_star, unambiguous

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sqlglot.lineage import Node

MAX_NAME = 80
"""Maximum number of characters of an expression in place of a column's name."""
_PARTS = 3
"""Number of parts of a table's name with its schema and its catalog."""


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column that a query yields, and the columns that its values come from."""

    name: str
    sources: tuple[SourceColumn, ...] = ()
    unknown: str | None = None
    """Why there may be other input columns, as a sentence; None if all are known."""
    named: bool = True
    """Whether the SQL names it; the name of any other is its expression."""


@dataclass(frozen=True, slots=True)
class QueryColumns:
    """The columns of one query, in order."""

    columns: tuple[OutputColumn, ...] = ()
    unknown: str | None = None
    """Why there may be other columns, as a sentence; None if these are all."""


def query_columns(query: exp.Query, known: Mapping[str, Sequence[str]], dialect: str | None) -> QueryColumns:
    """Return the columns of a query, each with its input columns.

    Args:
        query: The query's syntax tree; it stays as it is.
        known: The columns of tables, by the table's name in lower case, as the SQL names it.
        dialect: The SQL's dialect, by sqlglot's name; None for generic SQL.
    """
    if is_too_large(query):
        return QueryColumns(unknown=TOO_LARGE)
    try:
        return _Query(query, known, dialect).columns()
    except RecursionError:
        return QueryColumns(unknown="The query is nested too deep.")
    except (SqlglotError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        return QueryColumns(unknown=f"The query can't be resolved: {reason}.")


class _Query:
    """A query whose columns are being resolved."""

    def __init__(self, query: exp.Query, known: Mapping[str, Sequence[str]], dialect: str | None) -> None:
        self._known = known
        self._dialect = Dialect.get_or_raise(f"{dialect or ''}, normalization_strategy=case_insensitive")
        self._schema = MappingSchema(_nested(known), dialect=self._dialect)
        self._written = _written_names(query, known)
        self._tree = unambiguous(query, self._schema)

    def columns(self) -> QueryColumns:
        """Return the columns of the query."""
        names: dict[str, tuple[str, bool]] = {}
        for number, output in enumerate(self._tree.selects):
            if not is_star(output):  # two outputs may have one name, by which sqlglot finds them
                names[f"dli_{number}"] = self._name(output)
                if isinstance(output, exp.Alias):
                    output.set("alias", exp.to_identifier(f"dli_{number}"))
                else:
                    output.replace(exp.alias_(output, f"dli_{number}"))
        scopes = list(traverse_scope(self._tree))
        found = self._lineage(scopes[-1])
        recursive = self._recursive(scopes)
        columns = [
            replace(_closed(self._output(name, found[alias]), recursive), named=named)
            for alias, (name, named) in names.items()
        ]
        stars = (self._output("*", node).unknown for alias, node in found.items() if alias not in names)
        return QueryColumns(tuple(columns), next(stars, None))

    def _lineage(self, scope: Scope) -> dict[str, Node]:
        """Return the lineage of a query's columns, by their names."""
        return lineage(
            None,
            self._tree,
            self._schema,
            dialect=self._dialect,
            scope=scope,
            trim_selects=False,
            copy=False,
        )

    def _recursive(self, scopes: Sequence[Scope]) -> dict[SourceColumn, OutputColumn]:
        """Return the columns of the recursive queries, by the columns of the tables in their places."""
        tables = {table.name for table in self._tree.find_all(exp.Table) if table.name.startswith(RECURSIVE)}
        columns: dict[SourceColumn, OutputColumn] = {}
        for scope in scopes if tables else ():
            for name, query in scope.cte_sources.items():
                table = RECURSIVE + name
                if table not in tables or not isinstance(query, Scope):
                    continue
                tables.remove(table)
                for column, node in self._lineage(query).items():
                    source = SourceColumn(table, self._written.get(column, column))
                    columns[source] = self._output(column, node)
        return columns

    def _name(self, output: exp.Expr) -> tuple[str, bool]:
        """Return an output's name as the user wrote it, or else its expression; and whether it has a name."""
        name = output.alias_or_name
        if not name.startswith("_col_"):
            return self._written.get(name, name), True
        value = (output.this if isinstance(output, exp.Alias) else output).copy()
        if value.find(exp.Query):
            return "(SELECT …)", False
        for column in value.find_all(exp.Column):
            column.replace(exp.column(self._written.get(column.name, column.name)))
        return shortened(value.sql(self._dialect, comments=False), MAX_NAME), False

    def _output(self, name: str, root: Node) -> OutputColumn:
        """Return an output with the columns at the ends of its lineage."""
        sources: set[SourceColumn] = set()
        reasons: set[str | None] = set()
        for node in root.walk():
            if isinstance(node.expression, exp.Table):
                reasons.add(self._take_column(node, node.expression, sources))
            else:
                reasons.add(_why_unknown(node))
        return OutputColumn(name, tuple(sorted(sources)), min(filter(None, reasons), default=None))

    def _take_column(self, node: Node, table: exp.Table, sources: set[SourceColumn]) -> str | None:
        """Note the column at an end of the lineage; return why it is not known."""
        if table.name == OPAQUE:
            return "The columns of a query in it are not known."
        if not is_table(table):
            return f"It comes from {table.this.sql(self._dialect)}, which is no table."
        name = ".".join(part for part in table_name(table).split(".") if part != NO_PART)
        written = self._written.get(name, name)
        if node.name.endswith("*"):  # all columns have quotes
            return f"The columns of {written} are not known."
        column = exp.to_column(node.name).name
        columns = self._known.get(name)
        if columns is not None and column not in map(str.lower, columns):
            return f"No column '{column}' of {written} is known."
        sources.add(SourceColumn(written, self._written.get(column, column)))
        return None


def _closed(output: OutputColumn, recursive: Mapping[SourceColumn, OutputColumn]) -> OutputColumn:
    """Return an output with the columns of tables alone, followed through recursive queries."""
    seen: set[SourceColumn] = set()
    following = list(output.sources)
    unknown = output.unknown
    while following:
        source = following.pop()
        if source not in seen and source.table.startswith(RECURSIVE):
            found = recursive.get(source) or OutputColumn("", unknown="A recursive query in it is not known.")
            following += found.sources
            unknown = unknown or found.unknown
        seen.add(source)
    sources = sorted(source for source in seen if not source.table.startswith(RECURSIVE))
    return OutputColumn(output.name, tuple(sources), unknown)


def _why_unknown(node: Node) -> str | None:
    """Return why a step of the lineage has no certain columns; None if it has, or is a constant."""
    found = node.expression
    if isinstance(found, exp.Placeholder):
        column = exp.to_column(node.name)
        if column.text("table") == MISSING:
            return f"No column '{column.name}' of a query in it is known."
        return f"It is not certain of which table '{column.name}' is a column."
    if isinstance(found, exp.Select | exp.SetOperation) or (
        isinstance(found, exp.Star) and not node.downstream
    ):
        return "The columns of a query in it are not known."
    if found.find(exp.Columns) is not None:
        return "The columns that COLUMNS selects are not known."
    if found.find(exp.TableColumn) is not None:
        return "It takes whole rows of a table."
    return None


def _nested(known: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the known columns as sqlglot's schema wants them: by catalog, schema and table."""
    nested: dict[str, Any] = {}
    for table, columns in known.items():
        parts = table.split(".")
        if len(parts) <= _PARTS:
            catalog, schema, name = [NO_PART] * (_PARTS - len(parts)) + parts
            found = nested.setdefault(catalog, {}).setdefault(schema, {})
            found[name] = {column.lower(): "unknown" for column in columns}
    return nested


def _written_names(query: exp.Query, known: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return names as the user wrote them, by their lower case, in which columns are resolved."""
    names: dict[str, str] = {}
    for node in query.find_all(exp.Identifier, exp.Table):
        name = table_name(node) if isinstance(node, exp.Table) else node.name
        names.setdefault(name.lower(), name)
    for columns in known.values():
        for column in columns:
            names.setdefault(column.lower(), column)
    return names
