"""Rewrite a query so that sqlglot's lineage can't guess: each column with its table, each union by position.

What stays ambiguous gets one of the tables below, which no user's SQL has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.qualify_tables import qualify_tables
from sqlglot.optimizer.resolver import Resolver
from sqlglot.optimizer.scope import Scope, traverse_scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlglot.schema import MappingSchema

NO_PART = "dli_no_part"
"""Stands for a missing schema or catalog: sqlglot wants table names with equally many parts."""
UNCERTAIN = "dli_uncertain"
"""The table of a column that may be in several tables."""
MISSING = "dli_missing"
"""The table of a column that a query in FROM does not yield."""
OPAQUE = "dli_opaque"
"""The table in place of a query whose columns are not known."""
RECURSIVE = "dli_recursive_"
"""Begins the name of the table in place of a recursive query within itself."""


def unambiguous(query: exp.Query, schema: MappingSchema) -> exp.Query:
    """Return a copy of a query with all columns qualified and stars expanded, as far as this is certain.

    Args:
        query: The query.
        schema: The known columns, of tables with three parts; the recursive queries are added.

    Raises:
        SqlglotError: When sqlglot can't resolve it.
    """
    try:
        tree = _qualified(_prepared(query, schema), schema)
    except OptimizeError:  # a name that may be an alias, or a column of an outer query
        tree = _prepared(query, schema)
        _set_uncertain_apart(tree, schema)
        tree = _qualified(tree, schema)
    tree = _without_unknown_unions(tree)
    for scope in traverse_scope(tree):
        _qualify_only_table(scope, schema)
    for scope in traverse_scope(tree):
        _name_star_columns(scope)
    return tree


def is_star(projection: exp.Expr) -> bool:
    """Return whether an item of a SELECT stands for several columns, such as ``*`` and ``t.*``."""
    if isinstance(projection, exp.Column):
        return isinstance(projection.this, exp.Star)
    return isinstance(projection, exp.Star) or projection.find(exp.Columns) is not None


def _prepared(query: exp.Query, schema: MappingSchema) -> exp.Query:
    """Return a copy of a query with qualified tables, without the forms in which sqlglot would guess."""
    tree = normalize_identifiers(_without_brackets(query.copy()), dialect=schema.dialect)
    _hide_renamed_stars(tree, schema)
    for union in _unions(tree):
        _match_by_name(union)
    _end_recursion(tree, schema)
    return qualify_tables(tree, db=NO_PART, catalog=NO_PART, dialect=schema.dialect)


def _qualified(tree: exp.Query, schema: MappingSchema) -> exp.Query:
    return qualify(
        tree,
        dialect=schema.dialect,
        schema=schema,
        db=NO_PART,
        catalog=NO_PART,
        allow_partial_qualification=True,
        validate_qualify_columns=False,
    )


def _without_brackets(query: exp.Query) -> exp.Query:
    inner = query.unnest() if isinstance(query, exp.Subquery) else query
    if inner is query or not isinstance(inner, exp.Query):
        return query
    if (with_ := query.args.get("with_")) and not inner.args.get("with_"):
        inner.set("with_", with_)
    inner.pop()
    return inner


def _hide_renamed_stars(tree: exp.Query, schema: MappingSchema) -> None:
    """Make queries such as ``(select * from t) as s(a, b)`` opaque: sqlglot takes ``a`` for a column of ``t``."""
    for holder in tree.find_all(exp.CTE, exp.Subquery):
        body = holder.this
        if not holder.alias_column_names or not isinstance(body, exp.Query):
            continue
        tables = body.find_all(exp.Table)
        if any(map(is_star, body.selects)) and not all(_columns_of(table, schema) for table in tables):
            holder.set("this", _opaque())


def _columns_of(table: exp.Table, schema: MappingSchema) -> Sequence[str]:
    full = exp.table_(table.name, db=table.db or NO_PART, catalog=table.catalog or NO_PART)
    return schema.column_names(full)


def _opaque() -> exp.Select:
    return exp.select("*").from_(exp.to_table(OPAQUE))


def _end_recursion(tree: exp.Query, schema: MappingSchema) -> None:
    """Let each recursive query read a table in its own place: sqlglot follows it no further than its first part."""
    for with_ in tree.find_all(exp.With):
        for query in with_.expressions if with_.recursive else ():
            union = query.this
            if not isinstance(union, exp.SetOperation):
                continue
            name, columns = RECURSIVE + query.alias, query.alias_column_names or union.named_selects
            for table in union.expression.find_all(exp.Table):
                if table.name == query.alias and not table.db:
                    table.set("alias", table.args.get("alias") or exp.TableAlias(this=table.this.copy()))
                    table.set("this", exp.to_identifier(name))
            known = {} if "*" in columns else dict.fromkeys(columns, "unknown")
            schema.add_table(exp.table_(name, db=NO_PART, catalog=NO_PART), known, match_depth=False)
        with_.set("recursive", False)


def _unions(tree: exp.Query) -> Iterator[exp.SetOperation]:
    """Yield the set operations of a query, inner ones first."""
    yield from reversed(list(tree.find_all(exp.SetOperation)))


def _match_by_name(union: exp.SetOperation) -> bool:
    """Order the columns of a union by their positions; return whether each has its counterpart."""
    left, right = union.this.unnest(), union.expression.unnest()
    if union.side or union.kind or union.args.get("on"):
        return False
    if any(map(is_star, (*left.selects, *right.selects))):
        return False
    if not union.args.get("by_name"):
        return len(left.selects) == len(right.selects)
    names = list(dict.fromkeys([*left.named_selects, *right.named_selects]))
    for side in (left, right):
        if side.named_selects == names:
            continue
        if not isinstance(side, exp.Select):
            return False
        found = dict(zip(side.named_selects, side.selects, strict=True))
        side.set("expressions", [found.get(name) or exp.alias_(exp.null(), name) for name in names])
    union.set("by_name", None)
    return True


def _without_unknown_unions(tree: exp.Query) -> exp.Query:
    """Replace each union whose columns have no certain counterparts by an opaque query."""
    for union in _unions(tree):
        if not _match_by_name(union):
            if union is tree:
                return _opaque()
            union.replace(_opaque())
    return tree


def _set_uncertain_apart(tree: exp.Query, schema: MappingSchema) -> None:
    """Give each column that sqlglot refuses to resolve without more schemas a table that nobody knows."""
    for scope in traverse_scope(tree):
        if scope.is_udtf:
            _qualify_arguments(scope)
            continue
        resolver = Resolver(scope, schema)
        if not resolver.has_unknown_sources or not isinstance(scope.expression, exp.Select):
            continue
        aliases = {output.alias for output in scope.expression.selects if isinstance(output, exp.Alias)}
        for column in scope.columns:
            own = column.find_ancestor(exp.Alias, exp.Select)
            is_alias = column.name in aliases and not (own and own.alias == column.name)
            if column.table or not (is_alias or scope.can_be_correlated):
                continue
            if resolver.get_table(column) is None:
                alone = not is_alias and len(scope.selected_sources) == 1 and not _has_outer_tables(scope)
                table = next(iter(scope.selected_sources)) if alone else UNCERTAIN
                column.set("table", exp.to_identifier(table, quoted=True))


def _qualify_arguments(scope: Scope) -> None:
    """Qualify the columns in a function that yields rows, such as ``unnest(items)``, beside one table alone."""
    beside = scope.parent.selected_sources if scope.parent else {}
    tables = [
        name for name, (_, source) in beside.items() if not (isinstance(source, Scope) and source.is_udtf)
    ]
    alone = len(tables) == 1 and scope.expression.find(exp.Query) is None
    for column in scope.columns:
        if not column.table:
            table = tables[0] if alone else UNCERTAIN
            column.set("table", exp.to_identifier(table, quoted=True))


def _has_outer_tables(scope: Scope) -> bool:
    while scope.can_be_correlated and scope.parent:
        scope = scope.parent
        if scope.selected_sources:
            return True
    return False


def _qualify_only_table(scope: Scope, schema: MappingSchema) -> None:
    """Qualify the columns of a query in which they can be of one table alone, whose columns are not known."""
    if scope.pivots:
        return
    resolver = Resolver(scope, schema)
    columns = {name: resolver.get_source_columns(name) for name in scope.selected_sources}
    open_ended = [name for name, found in columns.items() if not found or "*" in found]
    certain = all(isinstance(scope.sources[name], Scope) for name in columns.keys() - set(open_ended))
    if len(open_ended) != 1 or not certain:
        return
    elsewhere = {column for found in columns.values() for column in found}
    for column in scope.unqualified_columns:
        if column.name not in elsewhere:
            column.set("table", exp.to_identifier(open_ended[0], quoted=True))


def _name_star_columns(scope: Scope) -> None:
    """Name the columns that a query takes from the ``*`` of another query, where one table alone can have them."""
    for column in scope.columns:
        source = scope.sources.get(column.table)
        if isinstance(source, Scope) and not _yields(source, column.name):
            column.set("table", exp.to_identifier(MISSING, quoted=True))


def _yields(scope: Scope, name: str) -> bool:
    """Return whether a query may yield a column; name the column where the query's one ``*`` yields it."""
    query = scope.expression
    if not isinstance(query, exp.Query) or name in query.named_selects:
        return True
    stars = [output for output in query.selects if is_star(output)]
    if not stars:
        return False
    is_part = not isinstance(query, exp.Select) or isinstance(query.parent, exp.SetOperation)
    if is_part or len(stars) > 1 or (table := _starred_table(stars[0], scope)) is None:
        return True
    source = scope.sources.get(table)
    if isinstance(source, Scope) and not _yields(source, name):
        return False
    query.select(exp.alias_(exp.column(name, table=table, quoted=True), name, quoted=True), copy=False)
    return True


def _starred_table(star: exp.Expr, scope: Scope) -> str | None:
    """Return the table of a plain ``*`` or ``t.*``; None for one of several tables, or with exceptions."""
    inner = star.this if isinstance(star, exp.Column) else star
    if any(inner.args.values()):
        return None
    if isinstance(star, exp.Column):
        return star.table
    (name, *others) = scope.selected_sources or ("",)
    return None if others else name or None
