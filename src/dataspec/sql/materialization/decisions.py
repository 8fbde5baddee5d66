"""Decide what a run does with its table: whether it may, whether the rows fit, and which act publishes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dataspec.spec.materialization import (
    MergeForm,
    ReplacePartitionForm,
    TableForm,
    ViewForm,
)
from dataspec.sql.materialization.engine_sql import Act
from dataspec.sql.materialization.failure import MaterializationFailed
from dataspec.sql.materialization.partition_condition import NoConditionError, partition_condition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dataspec.spec.materialization import IncrementalForm
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.run_values import RunValues
    from dataspec.sql.materialization.engine_sql import Column, EngineSql, How, Kind, Parts, Relation

_BUILT_BY = re.compile(r"Built by the dataset (?P<name>\S+)\.\s*$")


class Decisions:
    """The decisions of one run.

    Args:
        spec: A spec with a materialization.
        engine: The engine's SQL.
        values: The values of the run.
        adopt: Whether the run takes over a table that the dataset has not built.
        replaces: Whether the staging table takes the place of the table, also where the columns are the same.
    """

    def __init__(
        self, spec: DatasetSpec, engine: EngineSql, values: RunValues, *, adopt: bool, replaces: bool
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._values = values
        self._adopt = adopt
        self.replaces = replaces
        self._staged: dict[str, Column] = {}
        self._telling: tuple[Column, ...] = ()
        """The columns by which the rows to replace are found."""
        self.form = spec.materialization or TableForm(type="table")
        self.kind: Kind = "view" if isinstance(self.form, ViewForm) else "table"
        self.condition = ""
        """The condition for the rows of the partition, for ``replace_partition``."""
        self._target_condition = ""
        self.keys: tuple[str, ...] = ()
        """The columns that identify a row, for ``merge``."""

    @property
    def comments_columns(self) -> bool:
        """Whether the run sets comments of columns."""
        return any(column.description for column in self._spec.columns)

    def parts_of(self, name: str) -> Parts:
        """Return the parts of a table's name as the engine stores them."""
        parts = tuple(map(self._engine.stored, name.split(".")))
        if reason := self._engine.why_no_name(parts):
            raise MaterializationFailed(f"'{name}' can't be the name of a table: {reason}")
        return parts

    def check_owner(self, found: Relation | None) -> None:
        """Check that the target is of the right kind, and that this dataset has built it or may take it over."""
        if found is None:
            return
        target, name = self._spec.target, self._spec.name
        if found.kind != self.kind:
            hint = "Drop it, or give another name under 'materialization', 'table'."
            raise MaterializationFailed(
                f"{target} is a {found.kind}, and the run builds a {self.kind}.", hint
            )
        builder = _BUILT_BY.search(found.comment or "")
        if self._adopt or (builder and builder["name"] == name):
            return
        who = f"the dataset {builder['name']} has built it" if builder else f"{name} has not built it"
        hint = f"To take it over, once: dli dataset run {name} --adopt."
        raise MaterializationFailed(f"There is a {found.kind} {target} already, and {who}.", hint)

    def take_staged(self, staged: Relation | None, *, must_have_partition: bool = True) -> None:
        """Take the columns of the query; find the partition column and the key among them.

        Args:
            staged: The staging table, or the table whose rows are checked.
            must_have_partition: Whether a run without a partition is refused where rows replace a partition.
        """
        engine = self._engine
        if staged and engine.needs and staged.kind != self.kind:
            raise MaterializationFailed(
                f"{engine.title} made a {staged.kind}; rows are published in {engine.needs}"
            )
        columns = staged.columns if staged else ()
        self._staged = {self._engine.same(column.name): column for column in columns}
        if isinstance(self.form, ReplacePartitionForm):
            self._telling = self._named("partition_column", [self.form.partition_column])
            if must_have_partition or self._values.partition is not None:
                self.condition = self._condition(*self._telling)
                self._target_condition = self._condition(*self._telling, alias="target")
        elif isinstance(self.form, MergeForm):
            self._telling = self._named("unique_key", self.form.unique_key)
            self.keys = tuple(column.name for column in self._telling)

    @property
    def staged_types(self) -> dict[str, str]:
        """The type of each column of the query, by its name."""
        return {column.name: column.type for column in self._staged.values()}

    def _condition(self, column: Column, *, alias: str = "") -> str:
        partition = self._values.partition
        if partition is None:
            hint = "Start it with an execution_date: -p execution_date=2024-01-15."
            raise MaterializationFailed("The run has no partition that its rows could replace.", hint)
        try:
            return partition_condition(self._engine, column, partition, self._values.grid.zone, alias=alias)
        except NoConditionError as error:
            raise MaterializationFailed(f"The rows can't replace those of a partition: {error}") from None

    def _named(self, key: str, names: Sequence[str]) -> tuple[Column, ...]:
        """Return the columns of the query that a key of the spec names, in any case of letters."""
        known = {column.name.lower(): column for column in self._staged.values()}
        for name in names:
            if name.lower() not in known:
                there = ", ".join(column.name for column in self._staged.values())
                raise MaterializationFailed(
                    f"The query has no column '{name}', which '{key}' names; it has {there}."
                )
        return tuple(known[name.lower()] for name in names)

    def check_counts(self, staged: int, outside: int, null_keys: int, keys_twice: int) -> None:
        """Check the counts of staged rows: all, those outside the partition, with a null key, keys of several."""
        keys = ", ".join(self.keys)
        if outside:
            partition = self._values.partition
            raise MaterializationFailed(
                f"{_rows(outside, 'is', 'are')} outside the partition {partition.name if partition else ''} that "
                f"the run builds, of {staged:,}: {self.condition} is not true.",
                "Limit the query to the partition.",
            )
        if null_keys:
            raise MaterializationFailed(
                f"{_rows(null_keys, 'has', 'have')} null in the unique_key ({keys}), of {staged:,}."
            )
        if keys_twice:
            values = f"{keys_twice:,} value{'' if keys_twice == 1 else 's'}"
            raise MaterializationFailed(
                f"The unique_key ({keys}) is not unique: the query has several rows for {values} of it."
            )

    def act(self, target: Parts, staging: Parts, found: Relation | None, *, query: str = "") -> Act:
        """Return the act that publishes the staged rows.

        Raises:
            MaterializationFailed: When the columns of the query are not those of the table.
        """
        how, columns, added = self._how(found)
        return Act(
            how=how,
            kind=self.kind,
            target=target,
            staging=staging,
            columns=columns,
            added=added,
            condition=self.condition,
            target_condition=self._target_condition,
            keys=tuple(column.name for column in self._telling),
            query=query,
            comment=self._comment(),
        )

    def swap(self, target: Parts, new: Parts, found: Relation | None, filled: Relation, *, mark: str) -> Act:
        """Return the act that puts the table that a full refresh has filled in the place of the target.

        Args:
            target: The target.
            new: The new table.
            found: The target as it is; None if it is not there.
            filled: The new table as it is.
            mark: What else the comment of the target says then.
        """
        columns = tuple(column.name for column in filled.columns)
        how: How = "swap" if found else "create"
        comment = self._comment(mark)
        return Act(how=how, kind=self.kind, target=target, staging=new, columns=columns, comment=comment)

    def _how(self, found: Relation | None) -> tuple[How, tuple[str, ...], tuple[Column, ...]]:
        staged = tuple(column.name for column in self._staged.values())
        if found is None:
            return "create", staged, ()
        if self.replaces:
            return "swap", staged, ()
        there = {self._engine.same(column.name): column for column in found.columns}
        if isinstance(self.form, ViewForm):
            begins = [*self._types(self._staged).items()][: len(there)] == [*self._types(there).items()]
            return ("redefine" if begins else "swap"), staged, ()
        if isinstance(self.form, TableForm):
            same = self._types(there) == self._types(self._staged)
            return (
                ("replace_all", tuple(column.name for column in found.columns), ())
                if same
                else ("swap", staged, ())
            )
        added = self._added(self.form, there)
        columns = (*found.columns, *added)
        return self.form.strategy, tuple(column.name for column in columns), added

    def _types(self, columns: dict[str, Column]) -> dict[str, str]:
        return {name: column.type for name, column in columns.items()}

    def _added(self, form: IncrementalForm, there: dict[str, Column]) -> tuple[Column, ...]:
        """Return the columns that an incremental table gets; check that the others are the same."""
        target = self._spec.target
        if missing := [column.name for name, column in there.items() if name not in self._staged]:
            raise MaterializationFailed(
                f"The query lacks {_columns(missing)} of {target}.",
                "Add it to the query, or drop it from the table." if len(missing) == 1 else "",
            )
        for name, column in there.items():
            if (given := self._staged[name].type) != column.type:
                hint = f"Cast it in the query: cast({column.name} as {column.type})."
                raise MaterializationFailed(
                    f"The column {column.name} of {target} is {column.type}, and {given} in the query.", hint
                )
        new = {name: column for name, column in self._staged.items() if name not in there}
        if new and form.on_schema_change == "fail":
            named = _columns([column.name for column in new.values()])
            hint = "Set 'on_schema_change' to append_columns or to ignore, or change the table."
            raise MaterializationFailed(f"The query has {named}, which {target} lacks.", hint)
        for column in self._telling:
            if self._engine.same(column.name) in new:
                raise MaterializationFailed(
                    f"{target} lacks the column {column.name}, which tells the rows to replace."
                )
        return tuple(new.values()) if form.on_schema_change == "append_columns" else ()

    def _comment(self, mark: str = "") -> str:
        """Return the comment of the target, with what else it says."""
        return "\n\n".join(
            filter(None, (self._spec.description, mark, f"Built by the dataset {self._spec.name}."))
        )

    def comments(self, act: Act, found: Relation | None, *, mark: str = "") -> Iterator[str]:
        """Yield the statements for the comments of the target, where they differ from what is there.

        Args:
            act: The act that publishes.
            found: The target before it.
            mark: What else the comment of the target says.
        """
        engine, spec = self._engine, self._spec
        new = act.how in {"create", "swap", "redefine"} or found is None
        text = self._comment(mark)
        if engine.transactional if new else found and found.comment != text:
            yield engine.comment(act.kind, act.target, text)
        if act.kind == "view" and not engine.transactional:
            return
        there = {} if new or found is None else {column.name: column.comment for column in found.columns}
        names = {engine.same(name): name for name in act.columns}
        for column in spec.columns:
            name = names.get(engine.same(engine.stored(column.name)))
            if name and column.description and there.get(name) != column.description:
                yield engine.comment_column(act.target, name, column.description)


def _rows(count: int, one: str, several: str) -> str:
    return f"{count:,} row {one}" if count == 1 else f"{count:,} rows {several}"


def _columns(names: Sequence[str]) -> str:
    return f"the column{'' if len(names) == 1 else 's'} {', '.join(names)}"
