"""Find the queries in one SQL statement, each with the table and the columns that it fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from dataspec.sql.lineage.tree_size import is_too_large

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class WrittenQuery:
    """A query whose rows a statement returns or stores."""

    query: exp.Query
    table: exp.Table | None = None
    """The table that its rows fill; None for rows that are returned."""
    names: tuple[str, ...] = ()
    """The columns that it fills, by position; empty if those of the query's own names."""
    by_name: bool = False
    """Whether its columns fill those of the same names."""
    creates: bool = False
    """Whether the statement makes the table."""


def written_queries(statement: exp.Expr) -> Iterator[WrittenQuery]:
    """Yield the queries of a statement: of a SELECT, INSERT, CREATE, MERGE or UPDATE; none of any other.

    A statement that is too large has none.
    """
    if is_too_large(statement):
        return
    if isinstance(statement, exp.Select) and isinstance(into := statement.args.get("into"), exp.Into):
        returned = statement.copy()
        returned.set("into", None)
        yield WrittenQuery(returned, into.this, creates=True)
    elif isinstance(statement, exp.Query):
        yield WrittenQuery(statement)
    elif isinstance(statement, exp.Insert | exp.Create) and isinstance(statement.expression, exp.Query):
        table, names = _target(statement.this)
        creates = isinstance(statement, exp.Create)
        query = _with_queries_of(statement, statement.expression)
        yield WrittenQuery(query, table, names, bool(statement.args.get("by_name")), creates)
    elif isinstance(statement, exp.Merge):
        yield from _merged(statement)
    elif isinstance(statement, exp.Update):
        yield from _updated(statement)


def defined_columns(statement: exp.Expr) -> tuple[exp.Table, tuple[str, ...]] | None:
    """Return the table and the columns of a CREATE TABLE without a query; None for any other statement."""
    if (
        not isinstance(statement, exp.Create)
        or statement.expression
        or not isinstance(statement.this, exp.Schema)
    ):
        return None
    table, names = _target(statement.this)
    return (table, names) if table is not None and names else None


def _target(target: exp.Expr) -> tuple[exp.Table | None, tuple[str, ...]]:
    """Return the table of a statement, and the columns listed after it."""
    names: tuple[str, ...] = ()
    if isinstance(target, exp.Schema):
        columns = [item for item in target.expressions if isinstance(item, exp.ColumnDef | exp.Identifier)]
        target, names = target.this, tuple(column.name for column in columns)
    return (target if isinstance(target, exp.Table) else None), names


def _with_queries_of(statement: exp.Expr, query: exp.Query) -> exp.Query:
    """Return a query with the WITH before its statement."""
    with_ = statement.args.get("with_")
    if not isinstance(with_, exp.With):
        return query
    query, around = query.copy(), with_.copy()
    if isinstance(own := query.args.get("with_"), exp.With):
        around.set("expressions", [*around.expressions, *own.expressions])
    query.set("with_", around)
    return query


def _merged(merge: exp.Merge) -> Iterator[WrittenQuery]:
    """Yield a query for each WHEN of a MERGE: an INSERT sees the source alone, an UPDATE the target as well."""
    table, source = merge.this, merge.args.get("using")
    if not isinstance(table, exp.Table) or not isinstance(source, exp.Table | exp.Subquery):
        return
    bare = _bare(table)
    for when in merge.find_all(exp.When):
        then = when.args.get("then")
        if isinstance(then, exp.Insert):
            select = _inserted(then)
            if select is not None:
                query = exp.select(*select).from_(source.copy())
                yield WrittenQuery(_with_queries_of(merge, query), bare, by_name=True)
        elif isinstance(then, exp.Update):
            assigned = list(_assigned(then))
            query = exp.select(*(assigned or [exp.Star()])).from_(source.copy())
            if assigned:
                query = query.join(table.copy(), join_type="cross")
            yield WrittenQuery(_with_queries_of(merge, query), bare, by_name=True)


def _inserted(insert: exp.Insert) -> Sequence[exp.Expr] | None:
    """Return the items that the INSERT of a MERGE selects from its source; None if they are not known."""
    columns, values = insert.this, insert.expression
    if not isinstance(values, exp.Tuple):
        return [exp.Star()] if isinstance(columns, exp.Star) else None
    if not isinstance(columns, exp.Tuple) or len(columns.expressions) != len(values.expressions):
        return None
    pairs = zip(columns.expressions, values.expressions, strict=True)
    return [exp.alias_(value.copy(), column.name, quoted=True) for column, value in pairs]


def _updated(update: exp.Update) -> Iterator[WrittenQuery]:
    table = update.this
    if not isinstance(table, exp.Table):
        return
    bare = _bare(table)
    query = exp.select(*_assigned(update)).from_(table.copy())
    if isinstance(others := update.args.get("from_"), exp.From):
        query = query.join(others.this.copy(), join_type="cross")
    yield WrittenQuery(_with_queries_of(update, query), bare, by_name=True)


def _assigned(update: exp.Update) -> Iterator[exp.Expr]:
    """Yield what an UPDATE assigns, under the names of the columns."""
    for assignment in update.expressions:
        if isinstance(assignment, exp.EQ) and isinstance(assignment.this, exp.Column):
            yield exp.alias_(assignment.expression.copy(), assignment.this.name, quoted=True)


def _bare(table: exp.Table) -> exp.Table:
    """Return a table without its alias."""
    bare = table.copy()
    bare.set("alias", None)
    return bare
