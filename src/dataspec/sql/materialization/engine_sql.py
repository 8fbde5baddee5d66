"""Define the SQL that an engine gets for a materialization; each engine's module says what differs there.

The materializer (:mod:`dataspec.engines.materializer`) asks for the SQL of one step after the other. A new engine is
a subclass of :class:`EngineSql` in :mod:`dataspec.sql.materialization.engines`, listed in
:mod:`dataspec.sql.materialization.supported`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Parts: TypeAlias = "tuple[str, ...]"
"""The parts of a table's name, as the engine stores them."""
TypeKind: TypeAlias = Literal["date", "timestamp", "instant", "text"]
"""The types that a partition column may have: a date, a time without and with time zone, text."""
TypeKinds: TypeAlias = "dict[TypeKind, re.Pattern[str]]"
Kind: TypeAlias = Literal["table", "view"]
How: TypeAlias = Literal["create", "swap", "redefine", "replace_all", "replace_partition", "merge", "append"]
"""What an act does: put the staging table or view where nothing is, or in the place of the old one; give a view
another query; change the rows of a table."""

PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
"""A name that needs no quotes, so an engine may store it in another case."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, as the engine describes it."""

    name: str
    type: str
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view, as the engine describes it."""

    kind: str
    """``table``, ``view``, or the engine's name of another kind."""
    columns: tuple[Column, ...]
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """One SQL statement for the engine."""

    sql: str
    query_line: int | None = None
    """The line on which the user's query begins, from 1; None for SQL without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What is published: the rows of the staging table, and what becomes of those of the target."""

    how: How
    kind: Kind
    target: Parts
    staging: Parts
    columns: tuple[str, ...]
    """The columns that are written, as the target names them."""
    added: tuple[Column, ...] = ()
    """The columns of the query that the target gets first."""
    condition: str = ""
    """For ``replace_partition``: the SQL condition of the rows that go."""
    target_condition: str = ""
    """The same, of the columns of a table with the alias ``target``."""
    keys: tuple[str, ...] = ()
    """The columns that tell the rows to replace: the partition column, or the unique key."""
    query: str = ""
    """The query of a view."""
    comment: str = ""
    """The comment that a new table or view gets."""
    keeps_staging: bool = False
    """Whether the staging table stays, for another act."""


class EngineSql(ABC):
    """The SQL of one engine.

    Args:
        literal: Returns a text as a string literal, bound as any value of a template is.
    """

    title: ClassVar[str]
    """The engine's name for messages."""
    max_parts: ClassVar[int] = 3
    """Maximum number of parts of a table's name."""
    max_bytes: ClassVar[int | None] = None
    """Maximum length of a part in bytes, for an engine that cuts longer ones without an error."""
    needs: ClassVar[str] = ""
    """What a table needs on an engine on which only some tables can be published atomically."""
    why_no_grants: ClassVar[str] = ""
    """Why the engine has no grants; empty if it has."""
    grantee_kinds: ClassVar[tuple[str, ...]] = ()
    """The words that may come before the name of a grantee, such as ``role``."""
    transactional: ClassVar[bool] = True
    """Whether DDL and DML are published in one transaction."""
    own_staging: ClassVar[bool] = False
    """Whether each attempt has a staging table with a name of its own, which is then its mark."""
    publishes_copy: ClassVar[bool] = False
    """Whether an act publishes a copy of the table: no other attempt may have one when it is made."""
    name_column: ClassVar[int] = 0
    """The column of the names in the rows of :meth:`leftovers`."""
    fails_without_table: ClassVar[bool] = False
    """Whether the query of :meth:`inspect` fails if there is no table."""
    begins: ClassVar[str] = "begin"
    commits: ClassVar[str] = "commit"
    rolls_back: ClassVar[str] = "rollback"
    """The statements of a transaction; empty for an engine whose act is one statement."""
    type_kinds: ClassVar[TypeKinds]
    """How the engine writes the types that a partition column may have, in lower case."""
    typed_literals: ClassVar[dict[TypeKind, str]] = {
        "date": "date {}",
        "timestamp": "timestamp {}",
        "instant": "timestamp with time zone {}",
        "text": "{}",
    }
    """How a literal of each type is written."""

    def __init__(self, literal: Callable[[str], str]) -> None:
        self.literal = literal

    def why_no_name(self, parts: Parts) -> str | None:
        """Return why the engine can't have a table of this name."""
        if len(parts) > self.max_parts:
            return f"{self.title} has names of at most {self.max_parts} parts."
        for part in parts if self.max_bytes else ():
            if len(part.encode()) > (self.max_bytes or 0):
                return f"{self.title} cuts '{part}' after {self.max_bytes} bytes."
        return None

    def stored(self, name: str) -> str:
        """Return a part of a name as the engine stores it when a user writes it without quotes."""
        return name

    def same(self, name: str) -> str:
        """Return a column's name as it is compared: equal for two names that the engine does not tell apart."""
        return name

    def quoted(self, name: str) -> str:
        """Return a name in the engine's quotes."""
        return '"' + name.replace('"', '""') + '"'

    def named(self, parts: Parts) -> str:
        """Return the name of a table in the engine's quotes."""
        return ".".join(map(self.quoted, parts))

    def listed(self, names: Sequence[str]) -> str:
        """Return names of columns with commas between."""
        return ", ".join(map(self.quoted, names))

    @abstractmethod
    def locate(self, parts: Parts) -> str:
        """Return a query for one row: the schema's full name, part by part, and whether the schema exists.

        That is null on an engine where only :meth:`find_schema` tells.
        """

    def find_schema(self, schema: Parts) -> str:
        """Return a query that fails if a schema is missing."""
        raise NotImplementedError

    def why_unfit(self, schema: Parts) -> str:
        """Return a query whose row says why no table of a schema can be published atomically; no query if all can."""
        del schema  # for engines on which it matters
        return ""

    @abstractmethod
    def inspect(self, parts: Parts) -> str:
        """Return a query for a row per column: the table's kind and comment; name, type and comment of the column.

        No row comes back if there is neither a table nor a view; a row with a null name for one without columns.
        """

    def inspect_quickly(self, parts: Parts) -> Sequence[str]:
        """Return two queries that together are quicker than :meth:`inspect`, if the engine has such.

        Their rows begin like those of :meth:`inspect`. The first tells the kind and the comment alone, the second the
        names and types of the columns of a table or view that is there.
        """
        del parts  # for engines that have such
        return ()

    def relation(self, rows: Sequence[tuple[Any, ...]]) -> Relation | None:
        """Return the table or view that the rows of :meth:`inspect` describe."""
        if not rows:
            return None
        columns = (Column(*row[2:]) for row in rows if row[2] is not None)
        return Relation(rows[0][0], tuple(columns), rows[0][1])

    def described(self, relation: Relation) -> list[tuple[Any, ...]]:
        """Return rows of :meth:`inspect` that describe a table or view."""
        columns = ((column.name, column.type, column.comment) for column in relation.columns)
        return [(relation.kind, relation.comment, *column) for column in columns]

    def leftovers(self, kind: Kind, schema: Parts, prefix: str) -> str:
        """Return a query for the names of the staging tables or views of all attempts, in :attr:`name_column`."""
        raise NotImplementedError

    def kind_of(self, column: Column) -> TypeKind | None:
        """Return the kind of a partition column's type; None for a type that can't be one."""
        text = column.type.lower()
        return next((kind for kind, types in self.type_kinds.items() if types.fullmatch(text)), None)

    def create_schema(self, schema: Parts) -> list[str]:
        """Return the statements that create a missing schema."""
        return [f"create schema if not exists {self.named(schema)}"]

    def stage(self, kind: Kind, target: Parts, staging: Parts, query: str, *, mark: str) -> list[Sent | str]:
        """Return the statements that make the staging table or view.

        If attempts share its name, what an earlier one left is dropped, and the comment is the attempt's mark: no
        staging table is ever seen without its mark.
        """
        created = f"create {kind} {self.named(staging)} as\n"
        # Not "with no data", which DuckDB before 1.3 reads and ignores.
        empty = Sent(f"{created}select * from (\n{query}\n) as query limit 0", query_line=3)
        made = Sent(f"{created}{query}", query_line=2) if kind == "view" else empty
        if self.own_staging:
            return [made]
        return [
            *self.begin(target),
            self.drop(kind, staging),
            made,
            self.comment(kind, staging, mark),
            *self.commit(),
        ]

    def fill(self, kind: Kind, staging: Parts, query: str) -> list[Sent | str]:
        """Return the statement that writes the rows of the query into the staging table."""
        return [] if kind == "view" else [Sent(f"insert into {self.named(staging)}\n{query}", query_line=2)]

    def check(self, staging: Parts, *, condition: str = "", keys: Sequence[str] = ()) -> str:
        """Return a query for one row of counts: rows; rows outside a condition; rows with a null key; keys twice."""
        outside = f"count(case when {condition} then null else 1 end)" if condition else "0"
        nulls = " or ".join(f"{self.quoted(key)} is null" for key in keys)
        name, columns = self.named(staging), self.listed(keys)
        twice = f"select 1 as n from {name} group by {columns} having count(*) > 1" if keys else ""
        return (
            f"select count(*) as staged, {outside} as outside,\n"
            f"  {f'count(case when {nulls} then 1 end)' if keys else '0'} as null_keys,\n"
            f"  {f'(select count(*) from ({twice}) as twice)' if keys else '0'} as keys_twice\n"
            f"from {name}"
        )

    def drop(self, kind: Kind, name: Parts) -> str:
        """Return the statement that drops a table or view, if it is there."""
        return f"drop {kind} if exists {self.named(name)}"

    def begin(self, target: Parts) -> list[str]:
        """Return the statements before the act, which hold back other acts on the target where the engine can."""
        del target  # for engines that can
        return [self.begins]

    def commit(self) -> list[str]:
        """Return the statements that end the act."""
        return [self.commits]

    def publish(self, act: Act) -> list[str]:
        """Return the statements of the act; the staging table is gone after it."""
        target, staging = self.named(act.target), self.named(act.staging)
        if act.how in {"create", "swap"}:
            old = [f"drop {act.kind} {target}"] if act.how == "swap" else []
            return [*old, f"alter {act.kind} {staging} rename to {self.quoted(act.target[-1])}"]
        if act.how == "redefine":
            return [f"create or replace view {target} as\n{act.query}", f"drop view {staging}"]
        columns = self.listed(act.columns)
        return [
            *(self.add_column(act.target, column) for column in act.added),
            *self.delete(act),
            f"insert into {target} ({columns})\nselect {columns} from {staging}",
            *([] if act.keeps_staging else [f"drop table {staging}"]),
        ]

    def delete(self, act: Act) -> list[str]:
        """Return the statement that deletes the rows that the act replaces; none if it only adds."""
        target = self.named(act.target)
        if act.how == "replace_all":
            return [f"delete from {target}"]
        if act.how == "replace_partition":
            return [f"delete from {target} where {act.condition}"]
        if act.how == "merge":
            keys = " and ".join(f"new.{self.quoted(key)} = old.{self.quoted(key)}" for key in act.keys)
            staged = f"select 1 from {self.named(act.staging)} as new where {keys}"
            return [f"delete from {target} as old where exists ({staged})"]
        return []

    def add_column(self, target: Parts, column: Column) -> str:
        """Return the statement that adds a column to a table."""
        return f"alter table {self.named(target)} add column {self.quoted(column.name)} {column.type}"

    def dependents(self, target: Parts) -> str | None:
        """Return a query for the names of views that don't let a table be dropped; None if the engine lets it."""
        del target  # for engines that don't
        return None

    def grants(self, target: Parts) -> str:
        """Return a query for a row per grant: privilege, grantee, column or null, whether it can be passed on."""
        raise NotImplementedError

    def finish(self, kind: Kind, staged: Sequence[Parts]) -> list[str]:
        """Return the statements after the act, its comments and grants.

        Args:
            kind: What the dataset builds.
            staged: The tables whose rows were published.
        """
        del kind, staged  # for engines on which they are still there
        return self.commit()

    def grantee(self, name: str) -> str:
        """Return the name of a role or user; ``public`` means everybody."""
        kind, _, rest = name.partition(" ")
        if rest and kind.lower() in self.grantee_kinds:
            return f"{kind.lower()} {self.quoted(rest)}"
        return name if name.lower() == "public" else self.quoted(name)

    def comment(self, kind: Kind, name: Parts, text: str) -> str:
        """Return the statement that sets the comment of a table or view."""
        return f"comment on {kind} {self.named(name)} is {self.literal(text)}"

    def comment_column(self, table: Parts, column: str, text: str) -> str:
        """Return the statement that sets the comment of a column."""
        return f"comment on column {self.named(table)}.{self.quoted(column)} is {self.literal(text)}"
