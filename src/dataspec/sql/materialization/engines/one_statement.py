"""Engines without transactions of DDL and DML: the act is one statement.

Each attempt has a staging table of its own, which the next attempt drops: an act whose staging table is gone fails.
A new table or view gets its comment in the act, since the comment says which dataset has built it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from dataspec.sql.materialization.engine_sql import EngineSql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dataspec.sql.materialization.engine_sql import Act, Kind, Parts


class OneStatementSql(EngineSql):
    """The SQL of an engine whose act is one statement."""

    transactional = False
    own_staging = True
    comment_clause: ClassVar[str] = "comment {}"
    """How a statement that creates a table or view gives it a comment."""
    replacing: ClassVar[str] = ""
    """What a statement says that replaces a table or view, to keep its grants."""

    def same(self, name: str) -> str:
        """Return a column's name in lower case, as most of these engines compare names."""
        return name.lower()

    def begin(self, target: Parts) -> list[str]:
        """Return nothing: there is no transaction."""
        del target
        return []

    def commit(self) -> list[str]:
        """Return nothing: each statement is committed."""
        return []

    def publish(self, act: Act) -> list[str]:
        """Return the act, after the statements that add columns."""
        if act.kind == "view":
            return [f"{self.created(act, replace=True)} as\n{act.query}"]
        if act.how in {"create", "swap"}:
            columns, staging = self.listed(act.columns), self.named(act.staging)
            return [f"{self.created(act, replace=act.how == 'swap')} as\nselect {columns} from {staging}"]
        added = (self.add_column(act.target, column) for column in act.added)
        return [*added, *(self.append(act) if act.how == "append" else self.replace_rows(act))]

    def created(self, act: Act, *, replace: bool) -> str:
        """Return the beginning of the statement that creates or replaces the target."""
        create, keep = ("create or replace", self.replacing) if replace else ("create", "")
        comment = self.comment_clause.format(self.literal(act.comment))
        return f"{create} {act.kind} {self.named(act.target)} {keep}{comment}"

    def append(self, act: Act) -> list[str]:
        """Return the statement that adds the staged rows."""
        columns = self.listed(act.columns)
        return [
            f"insert into {self.named(act.target)} ({columns})\nselect {columns} from {self.named(act.staging)}"
        ]

    @abstractmethod
    def replace_rows(self, act: Act) -> list[str]:
        """Return the statement that replaces rows of the target by the staged ones."""

    def finish(self, kind: Kind, staged: Sequence[Parts]) -> list[str]:
        """Return the statements that drop the tables whose rows were published."""
        return [self.drop(kind, name) for name in staged]

    def merge_by_key(self, act: Act) -> str:
        """Return a MERGE that updates the rows with the key of a staged one, and inserts the others."""
        others = [self.quoted(name) for name in act.columns if name.lower() not in map(str.lower, act.keys)]
        keys = " and ".join(f"target.{self.quoted(key)} = staged.{self.quoted(key)}" for key in act.keys)
        update = ", ".join(f"{name} = staged.{name}" for name in others)
        updated = f"when matched then update set {update}\n" if others else ""
        return f"{self.merge(act, self.staged(act), keys)}\n{updated}{self.inserted(act)}"

    def merge_replaced(self, act: Act) -> str:
        """Return a MERGE that deletes the rows to replace and inserts the staged ones.

        Its source has the staged rows, and for each value of the partition column a row that marks what goes; of a
        whole table, a row for those with null in the first column and one for the others. So the rows of the target
        are found by an equality, which engines join by, and each of them once.
        """
        nulls = "".join(f", null as {self.quoted(name)}" for name in act.columns)
        if act.how == "replace_partition":
            (key,) = act.keys
            replaced = f"target.{self.quoted(key)} = staged.dli_replaced and {act.target_condition}"
            distinct = f"select distinct {self.quoted(key)} as dli_replaced from {self.named(act.target)}"
            marks = f"select dli_replaced{nulls} from ({distinct} where {act.condition}) as old"
        else:
            replaced = f"(target.{self.quoted(act.columns[0])} is null) = staged.dli_replaced"
            marks = f"select true as dli_replaced{nulls} union all select false{nulls}"
        staged = f"select null as dli_replaced, {self.listed(act.columns)} from {self.named(act.staging)}"
        return (
            f"{self.merge(act, f'({staged} union all {marks})', replaced)}\n"
            f"when matched then delete\n{self.inserted(act, ' and staged.dli_replaced is null')}"
        )

    def merge(self, act: Act, source: str, on: str) -> str:
        """Return the beginning of a MERGE."""
        return f"merge into {self.named(act.target)} as target\nusing {source} as staged\non {on}"

    def staged(self, act: Act) -> str:
        """Return the staged rows as the source of a MERGE."""
        return f"(select {self.listed(act.columns)} from {self.named(act.staging)})"

    def inserted(self, act: Act, condition: str = "") -> str:
        """Return the clause of a MERGE that inserts the staged rows."""
        values = ", ".join(f"staged.{self.quoted(name)}" for name in act.columns)
        return f"when not matched{condition} then insert ({self.listed(act.columns)})\nvalues ({values})"
