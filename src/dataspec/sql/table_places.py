"""Find where a SQL statement names tables, to put other names there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import SqlglotError

from dataspec.sql.lineage.statement_tables import access_of, table_name
from dataspec.sql.parser import parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sqlglot.expressions import Expr


@dataclass(frozen=True, slots=True)
class TablePlace:
    """Where a statement names a table that it reads."""

    table: str
    """The table's name in lower case."""
    start: int
    """The index of its first character."""
    end: int
    """The index after its last character."""
    called: str | None
    """What the rest of the statement calls the table; None for one with an alias of its own."""
    of_column: bool = False
    """Whether the name stands before a column, as in ``shop.orders.id``."""


@dataclass(frozen=True, slots=True)
class NamedTables:
    """The tables that a statement names."""

    reads: tuple[TablePlace, ...] = ()
    """Some of those that it reads, in order."""
    writes: tuple[str, ...] = ()
    """All that it creates, changes or drops, except temporary ones, as written."""


def named_tables(sql: str, dialect: str | None, wanted: Collection[str]) -> NamedTables:
    """Return where a statement names some tables, and what it writes; nothing for SQL that can't be parsed.

    Args:
        sql: One statement.
        dialect: Its dialect, by sqlglot's name; None for generic SQL.
        wanted: Names of tables that it may read, in lower case.
    """
    try:
        trees = parse(sql, dialect)
    except SqlglotError:
        return NamedTables()
    places: list[TablePlace] = []
    writes: list[str] = []
    for tree in trees:
        access = access_of(tree)
        temporary = {id(table) for table in access.temporary}
        writes += [table_name(one) for one in (*access.writes, *access.drops) if id(one) not in temporary]
        places += [*_of_tables(access.reads, wanted), *_of_columns(tree, wanted)]
    return NamedTables(tuple(sorted(places, key=lambda place: place.start)), tuple(writes))


def _of_tables(tables: Iterable[exp.Table], wanted: Collection[str]) -> Iterator[TablePlace]:
    for table in tables:
        if (name := table_name(table).lower()) in wanted:
            yield _place(name, table.parts, None if table.alias else table.name)


def _of_columns(tree: Expr, wanted: Collection[str]) -> Iterator[TablePlace]:
    """Yield the names of tables before columns; one of a table alone may be an alias, and stays."""
    for column in tree.find_all(exp.Column):
        above = column.parts[:-1]
        name = ".".join(part.name for part in above).lower()
        if len(above) > 1 and name in wanted:
            yield _place(name, above, above[-1].name, of_column=True)


def _place(name: str, parts: Sequence[Expr], called: str | None, *, of_column: bool = False) -> TablePlace:
    return TablePlace(name, parts[0].meta["start"], parts[-1].meta["end"] + 1, called, of_column)
