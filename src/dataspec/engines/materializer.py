"""Stage the rows of a run's query, check them, and publish them in one atomic act (docs/materialization.md).

Until the act nobody sees a new row: a run that fails, is stopped or is killed leaves the old ones.
"""

from __future__ import annotations

import hashlib
import uuid
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataspec.engines.session import StatementFailed
from dataspec.sql.materialization.decisions import Decisions
from dataspec.sql.materialization.engine_sql import Column, Relation, Sent
from dataspec.sql.materialization.failure import MaterializationFailed
from dataspec.sql.materialization.grants import Grant, grant_changes, wanted_grants
from dataspec.sql.materialization.supported import engine_sql, why_unsupported
from dataspec.sql.rendering import RenderedStatement, uses_table_exists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dataspec.engines.check_runner import CheckRunner
    from dataspec.engines.session import Execute
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.run_values import RunValues
    from dataspec.sql.materialization.engine_sql import Act, EngineSql, Parts

_MAX_DESCRIBED = 10_000
"""Maximum number of rows of a query about the engine's catalog, such as one for each column of a table."""


class Materializer:
    """Runs the query of one attempt: its rows become those of the dataset's table.

    Args:
        spec: A spec with a materialization.
        values: The values of the run.
        engine: The engine's SQL.
        adopt: Whether the run takes over a table that the dataset has not built.
        checks: Checks the staged rows.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        values: RunValues,
        engine: EngineSql,
        *,
        adopt: bool = False,
        checks: CheckRunner | None = None,
    ) -> None:
        self._checks = checks
        self._spec = spec
        self._target = spec.target or spec.name
        self._engine = engine
        self._decisions = Decisions(spec, engine, values, adopt=adopt)
        self._mark = f"dli attempt {uuid.uuid4()}"

    @classmethod
    def of(
        cls,
        spec: DatasetSpec,
        values: RunValues,
        dialect: str | None,
        *,
        adopt: bool = False,
        checks: CheckRunner | None = None,
    ) -> Materializer | None:
        """Return the materializer of a run; None for a spec without a materialization.

        Args:
            spec: The spec of the run.
            values: The values of the run.
            dialect: The dialect of the connection.
            adopt: As for the class.
            checks: As for the class.

        Raises:
            MaterializationFailed: When it is not known how to publish rows on the engine.
        """
        if spec.materialization is None:
            return None
        engine = engine_sql(dialect)
        if engine is None:
            raise MaterializationFailed(why_unsupported(dialect or "this engine"))
        return cls(spec, values, engine, adopt=adopt, checks=checks)

    @property
    def name(self) -> str:
        """The name of the target, in the engine's quotes."""
        return self._engine.named(self._decisions.parts_of(self._target))

    def statements(
        self, render: Callable[..., list[RenderedStatement]], files: Mapping[str, str]
    ) -> list[RenderedStatement] | Callable[[Execute], list[RenderedStatement]]:
        """Return the statements; for SQL that uses ``table_exists``, a function that asks the engine first.

        Args:
            render: Renders the statements, given ``table_exists``.
            files: The text of each SQL file, by its path in the spec.
        """
        if not uses_table_exists(self._spec, files):
            return render(table_exists=True)

        def ask_and_render(execute: Execute) -> list[RenderedStatement]:
            _, found = self._find_target(_Attempt.outside_a_run(self._engine, execute))
            return render(table_exists=found is not None)

        return ask_and_render

    def run(self, query: RenderedStatement, execute: Execute) -> None:
        """Stage, check and publish the rows of the query.

        Raises:
            MaterializationFailed: When the table is not the dataset's, or the rows don't fit it.
            ChecksFailed: When rows fail checks.
            StatementFailed: When the engine refused a statement.
        """
        attempt = _Attempt(self._engine, query, execute)
        target, found = self._find_target(attempt)
        self._decisions.check_owner(found)
        if attempt.schema_is_missing:
            attempt.send("schema", self._engine.create_schema(target[:-1]))
        staging = (*target[:-1], f"__dli_{_digest(self._decisions.kind, *target)}")
        with self._told_if_taken_over(attempt, staging):
            self._stage(attempt, target, staging, found)
            self._check(attempt, staging)
            self._publish(attempt, target, staging)

    def check_built(self, execute: Execute) -> None:
        """Check the rows that are in the table: those of the run's partition where a run replaces partitions.

        Raises:
            MaterializationFailed: When the table is not there, or lacks the partition column.
            ChecksFailed: When rows fail checks.
            StatementFailed: When the engine refused a statement.
        """
        attempt = _Attempt.outside_a_run(self._engine, execute)
        target, found = self._find_target(attempt)
        if found is None:
            hint = f"Build it: dli dataset run {self._spec.name}."
            raise MaterializationFailed(f"There is no {self._target} yet.", hint)
        self._decisions.take_staged(found, must_have_partition=False)
        rows, condition = self._engine.named(target), self._decisions.condition
        if condition:
            rows = f"(select * from {rows} where {condition})"  # noqa: S608 - a quoted name, bound values
        if self._checks:
            self._checks.run(rows, execute, columns=self._decisions.staged_types, published=True)

    def _find_target(self, attempt: _Attempt) -> tuple[Parts, Relation | None]:
        """Return the full name of the target and what is there."""
        parts = self._decisions.parts_of(self._target)
        *schema, exists = attempt.ask(self._engine.locate(parts))[0]
        if None in schema:
            raise MaterializationFailed(
                f"'{self._target}' names no schema, and the connection has no default."
            )
        target = (*schema, parts[-1])
        attempt.schema_is_missing = not exists
        return target, attempt.inspect(target) if exists else None

    def _stage(self, attempt: _Attempt, target: Parts, staging: Parts, found: Relation | None) -> None:
        """Make the staging table, and fill it if its columns fit the target."""
        query, kind = attempt.query.sql, self._decisions.kind
        attempt.send("stage", self._engine.stage(kind, target, staging, query, mark=self._mark))
        attempt.has_staged = True
        self._decisions.take_staged(attempt.inspect(staging))
        self._decisions.act(target, staging, found, query=query)
        attempt.send("stage", self._engine.fill(kind, staging, query))

    def _check(self, attempt: _Attempt, staging: Parts) -> None:
        """Check the staged rows, which nobody else has seen."""
        condition, keys = self._decisions.condition, self._decisions.keys
        if condition or keys:
            counts = attempt.ask(self._engine.check(staging, condition=condition, keys=keys), "check")[0]
            self._decisions.check_counts(*map(int, counts))
        if self._checks:
            columns = self._decisions.staged_types
            self._checks.run(self._engine.named(staging), attempt.execute, columns=columns)

    def _publish(self, attempt: _Attempt, target: Parts, staging: Parts) -> None:
        """Publish the staged rows, unless a later attempt has taken the staging table over."""
        engine = self._engine
        attempt.send("publish", engine.begin(target))
        staged = attempt.inspect(staging)
        if staged is None or staged.comment != self._mark:
            raise self._taken_over()
        found = attempt.inspect(target)
        self._decisions.check_owner(found)
        act = self._decisions.act(target, staging, found, query=attempt.query.sql)
        before = self._grants(attempt, target) if act.how == "swap" else None
        attempt.send("publish", engine.publish(act))
        attempt.send("publish", self._decisions.comments(act, found))
        attempt.send("publish", self._grant_statements(attempt, act, before))
        attempt.send("publish", engine.commit())

    def _grant_statements(self, attempt: _Attempt, act: Act, before: list[Grant] | None) -> Iterable[str]:
        """Return the statements that give a new table the grants of the old one, and set those of the spec."""
        form = self._decisions.form
        if not self._engine.has_grants or not (before or form.grants):
            return []
        now = self._grants(attempt, act.target)
        wanted = wanted_grants(now if before is None else before, form.grants, act.columns)
        return grant_changes(self._engine, act.target, now, wanted)

    def _grants(self, attempt: _Attempt, target: Parts) -> list[Grant]:
        return (
            [Grant(*row) for row in attempt.ask(self._engine.grants(target))]
            if self._engine.has_grants
            else []
        )

    def _taken_over(self) -> MaterializationFailed:
        return MaterializationFailed(
            f"A later attempt of this dataset has begun to build {self._target}: this one has published nothing."
        )

    @contextmanager
    def _told_if_taken_over(self, attempt: _Attempt, staging: Parts) -> Iterator[None]:
        """Say of a statement that failed for want of the staging table that a later attempt has taken it over."""
        try:
            yield
        except StatementFailed as failed:
            if attempt.has_staged and self._is_taken_over(attempt, staging):
                raise self._taken_over() from failed
            raise

    def _is_taken_over(self, attempt: _Attempt, staging: Parts) -> bool:
        with suppress(StatementFailed):
            attempt.roll_back()
            staged = attempt.inspect(staging)
            return staged is None or staged.comment != self._mark
        return False


class _Attempt:
    """Sends the statements of one attempt, each told to the session's listener."""

    def __init__(self, engine: EngineSql, query: RenderedStatement, execute: Execute) -> None:
        self._engine = engine
        self.execute = execute
        self._in_transaction = False
        self.query = query
        self.schema_is_missing = False
        """Whether the schema of the target has to be created."""
        self.has_staged = False
        """Whether the staging table has this attempt's mark, unless a later attempt has taken it over."""

    @classmethod
    def outside_a_run(cls, engine: EngineSql, execute: Execute) -> _Attempt:
        """Return an attempt that inspects alone, without a query."""
        nothing = RenderedStatement("inspect", "", "materialization", continue_on_error=False, file=None)
        return cls(engine, nothing, execute)

    def send(self, step: str, statements: Iterable[Sent | str]) -> None:
        """Run the statements of a step in order."""
        for one in statements:
            sent = one if isinstance(one, Sent) else Sent(one)
            if sent.sql == self._engine.begins:
                self._in_transaction = True
            self.execute(self._statement(step, sent))
            if sent.sql == self._engine.commits:
                self._in_transaction = False

    def ask(self, sql: str, step: str = "inspect") -> list[tuple[Any, ...]]:
        """Run a query about the engine's catalog or the staged rows; return its rows."""
        return list(self.execute(self._statement(step, Sent(sql)), keep=_MAX_DESCRIBED).first_rows)

    def inspect(self, name: Parts) -> Relation | None:
        """Return the table or view of a name; None if there is none."""
        rows = self.ask(self._engine.inspect(name))
        if not rows:
            return None
        columns = (Column(*row[2:]) for row in rows if row[2] is not None)
        return Relation(rows[0][0], tuple(columns), rows[0][1])

    def roll_back(self) -> None:
        """End the transaction in which a statement failed, if there is one."""
        if self._in_transaction:
            self._in_transaction = False
            self.send("roll back", [self._engine.rolls_back])

    def _statement(self, step: str, sent: Sent) -> RenderedStatement:
        if sent.query_line is None:
            return RenderedStatement(step, sent.sql, "materialization", continue_on_error=False, file=None)
        origin = self.query.origin
        placed = replace(origin, before=sent.query_line - 1) if origin else None
        return replace(self.query, sql=sent.sql, origin=placed)


def _digest(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
