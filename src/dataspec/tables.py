"""Which tables a SQL statement reads and writes."""

from __future__ import annotations

from sqlglot import exp

_WRITING = (
    exp.Alter,
    exp.Create,
    exp.Delete,
    exp.Drop,
    exp.Insert,
    exp.Merge,
    exp.TruncateTable,
    exp.Update,
)
"""Statements that name the table that they write."""


def read_and_written(statement: exp.Expr) -> tuple[set[str], set[str]]:
    """Return the names of the tables that a statement reads, and of those that it makes, changes or drops."""
    found = [target for tree in statement.find_all(*_WRITING) for target in targets(tree)]
    written = {id(target) for target in found}
    reads = {
        _name(table)
        for table in statement.find_all(exp.Table)
        if id(table) not in written and _is_named(table) and not _is_of_with(table)
    }
    return reads, {_name(target) for target in found}


def targets(tree: exp.Expr) -> list[exp.Table]:
    """Return the tables that a statement makes, changes or drops."""
    several = tree.args.get("tables") or (tree.expressions if isinstance(tree, exp.TruncateTable) else [])
    bare = [
        found.this if isinstance(found, exp.Schema) else found for found in (tree.args.get("this"), *several)
    ]
    return [table for table in bare if isinstance(table, exp.Table) and _is_named(table)]


def _is_named(table: exp.Table) -> bool:
    """Tell a table from a function that returns one."""
    return isinstance(table.this, exp.Identifier)


def _is_of_with(table: exp.Table) -> bool:
    """Say whether a name is that of a ``with`` around it; inside its own definition it is a table's, as a rule."""
    if table.db:
        return False
    inside: set[int] = set()
    parent = table.parent
    while parent is not None:
        inside.add(id(parent))
        with_ = parent.args.get("with_") or parent.args.get("with")
        if isinstance(with_, exp.With):
            for query in with_.expressions:
                own = id(query) in inside and not with_.recursive
                if query.alias.lower() == table.name.lower() and not own:
                    return True
        parent = parent.parent
    return False


def _name(table: exp.Table) -> str:
    return ".".join(part.name for part in table.parts)
