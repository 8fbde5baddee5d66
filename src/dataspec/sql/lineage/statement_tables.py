"""Find the tables that one SQL statement reads and writes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Sequence

_WRITING = (
    exp.Alter,
    exp.Copy,
    exp.Create,
    exp.Delete,
    exp.Drop,
    exp.Insert,
    exp.Into,
    exp.LoadData,
    exp.Merge,
    exp.TruncateTable,
    exp.Update,
)
"""Statements, and the clause INTO, that write the tables they name."""

_REVOKE = getattr(exp, "Revoke", exp.Grant)  # a command without tables in sqlglot 26
_ABOUT = (exp.Analyze, exp.Comment, exp.Describe, exp.Grant, _REVOKE, exp.Set, exp.Show, exp.Use)
"""Statements that name a table without reading or writing its rows."""

IDLE = (
    exp.Analyze,
    exp.Attach,
    exp.Comment,
    exp.Commit,
    exp.Detach,
    exp.Drop,
    exp.Pragma,
    exp.Rollback,
    exp.Set,
    exp.Transaction,
    exp.Use,
)
"""Statements that yield no rows and fill no table: allowed before and after a query, not as the query."""

_YIELDING = (exp.Describe, exp.Pivot, exp.Query, exp.Show, exp.Summarize, exp.Values)
"""Statements that return rows to the client."""

_IDLE_COMMANDS = {"LOAD", "RESET", "SET", "VACUUM"}
"""Statements like ``IDLE`` that sqlglot does not parse in some dialects."""
_RUNS = re.compile(
    r"\banalyze\b.*\b(create|delete|execute|insert|into|merge|update)\b", re.IGNORECASE | re.DOTALL
)
"""An EXPLAIN that runs a statement which may store rows."""

_HOLDERS = {"TABLE", "VIEW"}
"""Kinds of objects with rows; CREATE and DROP also take sequences, indexes and schemas."""

_FILE = re.compile(
    r"[/\\]|\.(arrow|avro|csv|db|feather|json|jsonl|ndjson|orc|parquet|tsv|txt|xlsx)(\.\w{2,4})?$",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Access:
    """The tables of one statement, as nodes of its syntax tree."""

    reads: list[exp.Table] = field(default_factory=list)
    writes: list[exp.Table] = field(default_factory=list)
    """Tables that it creates or changes."""
    drops: list[exp.Table] = field(default_factory=list)
    """Tables that no longer exist under this name after it."""
    temporary: list[exp.Table] = field(default_factory=list)
    """Temporary tables among ``writes``."""


def read_and_written(statement: exp.Expr) -> tuple[set[str], set[str]]:
    """Return the names of the tables that a statement reads, and of those that it creates, changes or drops."""
    access = access_of(statement)
    written = {table_name(table) for table in (*access.writes, *access.drops)}
    return {table_name(table) for table in access.reads}, written


def access_of(statement: exp.Expr) -> Access:
    """Return the tables that a statement reads and writes.

    Names of a ``with``, functions that return a table, and files (DuckDB reads
    ``'x.parquet'``) don't count.
    """
    access = Access()
    if isinstance(statement, _ABOUT):
        return access
    tables: list[exp.Table] = []
    for node in statement.walk():
        if isinstance(node, exp.Table):
            tables.append(node)
        elif isinstance(node, _WRITING):
            _take_targets(node, access)
    targets = {id(table) for table in (*access.writes, *access.drops)}
    scopes = _Scopes()
    access.reads = [
        table
        for table in tables
        if id(table) not in targets
        and is_table(table)
        and not _is_mentioned(table)
        and not scopes.hold(table)
    ]
    return access


def kind_of(tree: exp.Expr) -> str:
    """Return the kind of a statement as a user names it, such as ``DROP TABLE``."""
    kind = tree.args.get("kind")
    named = {"transaction": "BEGIN", "drop": f"DROP {kind}" if isinstance(kind, str) else "DROP"}
    return named.get(tree.key, tree.key.upper())


def is_select(trees: Sequence[exp.Expr]) -> bool:
    """Return whether SQL is one SELECT, also with WITH and set operations, that writes nothing."""
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        return False
    access = access_of(trees[0])
    return not (access.writes or access.drops)


def yields_rows(tree: exp.Expr) -> bool:
    """Return whether a statement that writes no table returns rows to the client.

    A SELECT that only calls functions of the user's may store rows in one of them.
    """
    if isinstance(tree, exp.Select) and tree.args.get("from_") is None:
        return tree.find(exp.Anonymous) is None
    is_values = isinstance(tree, exp.Anonymous) and tree.name.upper() == "VALUES"
    is_explain = command_of(tree) == "EXPLAIN" and not _RUNS.search(str(tree.expression))
    return is_values or is_explain or command_of(tree) == "SHOW" or isinstance(tree, _YIELDING)


def stores_nothing(tree: exp.Expr) -> bool:
    """Return whether a statement that writes no table and returns no rows stores none elsewhere either."""
    return isinstance(tree, (*IDLE, exp.Create, exp.Install)) or command_of(tree) in _IDLE_COMMANDS


def command_of(tree: exp.Expr) -> str | None:
    """Return the first word of a statement that sqlglot does not parse, in capitals; None for any other."""
    return str(tree.this).upper() if isinstance(tree, exp.Command) else None


def table_name(table: exp.Table) -> str:
    """Return a table's name as written, its parts joined by dots."""
    return ".".join(part.name for part in table.parts)


def is_table(table: exp.Table) -> bool:
    """Return whether a node is a table, and not a function or a file."""
    name = table.this
    return isinstance(name, exp.Identifier) and not (name.args.get("quoted") and _FILE.search(name.name))


def _take_targets(tree: exp.Expr, access: Access) -> None:
    if isinstance(tree, exp.Copy) and not tree.args.get("kind"):
        return  # COPY … TO a file
    if isinstance(tree, exp.Create | exp.Drop) and not _holds_rows(tree):
        return
    found = [table for table in map(_meant, _named_targets(tree)) if is_table(table)]
    if isinstance(tree, exp.Drop):
        access.drops += found
        return
    access.writes += found
    if _is_temporary(tree):
        access.temporary += found
    if isinstance(tree, exp.Alter):
        _take_renaming(tree, access)


def _take_renaming(tree: exp.Alter, access: Access) -> None:
    for action in tree.args.get("actions") or ():
        other = action.args.get("this")
        if isinstance(action, exp.SwapTable) and isinstance(other, exp.Table):
            access.writes.append(other)
        elif isinstance(action, exp.AlterRename) and isinstance(other, exp.Table):
            access.drops, access.writes = access.writes, [_beside(tree.this, other)]


def _beside(table: exp.Table, new: exp.Table) -> exp.Table:
    """Return a table's new name, in the old schema unless it has its own."""
    if new.db:
        return new
    return exp.Table(this=new.this.copy(), db=table.args.get("db"), catalog=table.args.get("catalog"))


def _named_targets(tree: exp.Expr) -> list[exp.Table]:
    several = tree.args.get("tables") or (tree.expressions if isinstance(tree, exp.TruncateTable) else [])
    found = [tree.args.get("this"), *several]
    bare = [target.this if isinstance(target, exp.Schema) else target for target in found]
    return [target for target in bare if isinstance(target, exp.Table)]


def _holds_rows(tree: exp.Expr) -> bool:
    kind = tree.args.get("kind")
    return (kind is None or str(kind).upper() in _HOLDERS) and not isinstance(
        tree.this, exp.UserDefinedFunction
    )


def _is_temporary(tree: exp.Expr) -> bool:
    properties = tree.args.get("properties")
    return bool(tree.args.get("temporary")) or (
        isinstance(properties, exp.Properties) and properties.find(exp.TemporaryProperty) is not None
    )


def _meant(table: exp.Table) -> exp.Table:
    """Return the table that an UPDATE or a DELETE names, also by its alias."""
    tree = table.parent
    if table.db or not isinstance(tree, exp.Update | exp.Delete):
        return table
    others = (other for other in tree.find_all(exp.Table) if other is not table and other.alias)
    return next((other for other in others if other.alias.lower() == table.name.lower()), table)


def _is_mentioned(table: exp.Table) -> bool:
    """Return whether a table is named without reading its rows: in a foreign key, an index or a new name."""
    parent = table.parent
    if isinstance(parent, exp.Schema):
        parent = parent.parent
    if isinstance(parent, exp.AlterRename | exp.Index | exp.Reference | exp.UserDefinedFunction):
        return True
    if isinstance(parent, exp.Update | exp.Delete | exp.Create | exp.Drop):
        return table.arg_key in {"this", "tables"}
    return False


@dataclass(frozen=True, slots=True)
class _Names:
    """The query names of one ``with``, each with its index, and the enclosing ones."""

    numbers: dict[str, int]
    seen: int
    """Number of visible names: a query of the ``with`` sees those before it, the main query all."""
    around: _Names | None

    def hold(self, name: str) -> bool:
        """Return whether a name is visible here or in an enclosing ``with``."""
        names: _Names | None = self
        while names is not None:
            if names.numbers.get(name, names.seen) < names.seen:
                return True
            names = names.around
        return False


class _Scopes:
    """The ``with`` names visible from each node of a statement; each node is visited once."""

    def __init__(self) -> None:
        self._names: dict[int, _Names | None] = {}
        self._numbers: dict[int, dict[str, int]] = {}

    def hold(self, table: exp.Table) -> bool:
        """Return whether a table's name is a visible ``with`` name."""
        if table.args.get("db"):
            return False
        names = self._around(table)
        return names is not None and names.hold(table.name.lower())

    def _around(self, node: exp.Expr) -> _Names | None:
        path: list[exp.Expr] = []
        at: exp.Expr | None = node
        while at is not None and id(at) not in self._names:
            path.append(at)
            at = at.parent
        names = self._names[id(at)] if at is not None else None
        for below in reversed(path):
            names = self._names[id(below)] = self._within(below, names)
        return names

    def _within(self, node: exp.Expr, names: _Names | None) -> _Names | None:
        """Return the names visible within a node, given the enclosing ones."""
        if isinstance(with_ := node.args.get("with_"), exp.With):
            numbers = self._numbered(with_)
            return _Names(numbers, len(with_.expressions), names)
        if isinstance(node, exp.CTE) and isinstance(node.parent, exp.With) and names is not None:
            numbers = self._numbered(node.parent)
            seen = len(node.parent.expressions) if node.parent.recursive else node.index or 0
            return _Names(numbers, seen, names.around)
        return names

    def _numbered(self, with_: exp.With) -> dict[str, int]:
        if id(with_) not in self._numbers:
            numbers: dict[str, int] = {}
            for number, query in enumerate(with_.expressions):
                numbers.setdefault(query.alias.lower(), number)
            self._numbers[id(with_)] = numbers
        return self._numbers[id(with_)]
