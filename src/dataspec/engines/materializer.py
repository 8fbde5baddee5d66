"""Stage the rows of a run's query, check them, and publish them in one atomic act (docs/materialization.md).

Until the act nobody sees a new row: a run that fails, is stopped or is killed leaves the old ones.
"""

from __future__ import annotations

import hashlib
import uuid
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from dataspec.engines.materialization.attempt import Attempt
from dataspec.engines.materialization.new_table import NewTable
from dataspec.engines.session import StatementFailed
from dataspec.spec.full_refresh import why_no_full_refresh
from dataspec.spec.materialization import TableForm
from dataspec.sql.materialization.decisions import Decisions
from dataspec.sql.materialization.failure import MaterializationFailed
from dataspec.sql.materialization.grants import Grant, grant_changes, wanted_grants
from dataspec.sql.materialization.supported import engine_sql, why_unsupported
from dataspec.sql.rendering import RenderedStatement, uses_table_exists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dataspec.engines.session import Execute
    from dataspec.spec.full_refresh import FullRefresh
    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.run_values import RunValues
    from dataspec.sql.materialization.engine_sql import Act, EngineSql, Parts, Relation


class RowChecks(Protocol):
    """Checks rows before they are published."""

    def run(
        self,
        table: str,
        execute: Execute,
        *,
        columns: Mapping[str, str] = MappingProxyType({}),
        condition: str = "",
        published: bool = False,
    ) -> None:
        """Check the rows of a table, whose name is SQL, or those that meet a condition; raise for rows that may not be published."""
        ...


class Materializer:
    """Runs the query of one attempt: its rows become those of the dataset's table.

    Args:
        spec: A spec with a materialization.
        values: The values of the run.
        engine: The engine's SQL.
        adopt: Whether the run takes over a table that the dataset has not built.
        refresh: The run's part in a full refresh.
        checks: Checks the staged rows.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        values: RunValues,
        engine: EngineSql,
        *,
        adopt: bool = False,
        refresh: FullRefresh | None = None,
        checks: RowChecks | None = None,
    ) -> None:
        self._checks = checks
        self._spec = spec
        self._target = spec.target or spec.name
        self._engine = engine
        is_whole = refresh is not None and (refresh.is_whole or isinstance(spec.materialization, TableForm))
        self._decisions = Decisions(spec, engine, values, adopt=adopt, replaces=is_whole)
        self._new = NewTable(self._decisions, engine, name=spec.name, part=None if is_whole else refresh)
        self._id = uuid.uuid4().hex
        self.mark = f"dli attempt {self._id}"
        """The comment of the staging table, by which the attempt knows it as its own."""

    @classmethod
    def of(
        cls,
        spec: DatasetSpec,
        values: RunValues,
        dialect: str | None,
        *,
        adopt: bool = False,
        refresh: FullRefresh | None = None,
        checks: RowChecks | None = None,
    ) -> Materializer | None:
        """Return the materializer of a run; None for a spec without a materialization.

        Args:
            spec: The spec of the run.
            values: The values of the run.
            dialect: The dialect of the connection's type; None where it is not known.
            adopt: As for the class.
            refresh: As for the class.
            checks: As for the class.

        Raises:
            MaterializationFailed: When the run can't build the table anew, or it is not known how to publish rows on
                the engine.
        """
        by_backfill = refresh is not None and refresh.backfill is not None
        if refresh is not None and (why := why_no_full_refresh(spec, by_backfill=by_backfill)):
            raise MaterializationFailed(*why)
        if spec.materialization is None:
            return None
        engine = engine_sql(dialect, spec.execution.dialect)
        if engine is None:
            raise MaterializationFailed(why_unsupported(dialect or spec.execution.dialect or "this engine"))
        return cls(spec, values, engine, adopt=adopt, refresh=refresh, checks=checks)

    @property
    def name(self) -> str:
        """The name of the target, in the engine's quotes."""
        return self._engine.named(self._decisions.parts_of(self._target))

    def statements(
        self, render: Callable[..., list[RenderedStatement]], files: Mapping[str, str]
    ) -> list[RenderedStatement] | Callable[[Execute], list[RenderedStatement]]:
        """Return the statements; for SQL that uses ``table_exists``, a function that asks the engine first.

        Args:
            render: Renders the statements, given the table that they see.
            files: The text of each SQL file, by its path in the spec.
        """
        if not (self._new.is_filled or uses_table_exists(self._spec, files)):
            return render()

        def ask_and_render(execute: Execute) -> list[RenderedStatement]:
            attempt = Attempt.outside_a_run(self._engine, execute)
            target, found = self._find_target(attempt)
            return render(table=self._new.seen_by_sql(attempt, self._target, target, found))

        return ask_and_render

    def run(self, query: RenderedStatement, execute: Execute) -> None:
        """Stage, check and publish the rows of the query.

        Raises:
            MaterializationFailed: When the table is not the dataset's, or the rows don't fit it.
            ChecksFailed: When rows fail checks.
            StatementFailed: When the engine refused a statement.
        """
        attempt = Attempt(self._engine, query, execute)
        target, found = self._find_target(attempt)
        self._decisions.check_owner(found)
        if attempt.schema_is_missing:
            attempt.send("schema", self._engine.create_schema(target[:-1]))
        self._check_fitness(attempt, target[:-1])
        staging = self._staging_name(attempt, target)
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
        attempt = Attempt.outside_a_run(self._engine, execute)
        target, found = self._find_target(attempt)
        if found is None:
            hint = f"Build it: dli dataset run {self._spec.name}."
            raise MaterializationFailed(f"There is no {self._target} yet.", hint)
        self._decisions.take_staged(found, must_have_partition=False)
        if self._checks:
            self._checks.run(
                self._engine.named(target),
                execute,
                columns=self._decisions.staged_types,
                condition=self._decisions.condition,
                published=True,
            )

    def _find_target(self, attempt: Attempt) -> tuple[Parts, Relation | None]:
        """Return the full name of the target and what is there."""
        parts = self._decisions.parts_of(self._target)
        *schema, exists = attempt.ask(self._engine.locate(parts))[0]
        if None in schema:
            raise MaterializationFailed(
                f"'{self._target}' names no schema, and the connection has no default."
            )
        if exists is None:
            exists = attempt.ask(self._engine.find_schema(tuple(schema)), may_fail=True)
        target = (*schema, parts[-1])
        attempt.schema_is_missing = not exists
        return target, attempt.inspect(target) if exists else None

    def _check_fitness(self, attempt: Attempt, schema: Parts) -> None:
        """Check that the engine can publish tables of the schema atomically."""
        if (query := self._engine.why_unfit(schema)) and (reasons := attempt.ask(query)):
            raise MaterializationFailed(f"{reasons[0][0]}; rows are published in {self._engine.needs}")

    def _staging_name(self, attempt: Attempt, target: Parts) -> Parts:
        """Return the name of the staging table; if it is the attempt's own, drop those of earlier attempts."""
        name = f"__dli_{_digest(self._decisions.kind, *target)}"
        if not self._engine.own_staging:
            return (*target[:-1], name)
        staging = (*target[:-1], f"{name}_{self._id[:8]}")
        self._drop_others(attempt, staging)
        return staging

    def _drop_others(self, attempt: Attempt, staging: Parts) -> None:
        """Drop the staging tables of other attempts, which can't publish then."""
        *schema, own = staging
        kind, prefix = self._decisions.kind, own[:-8]
        rows = attempt.ask(self._engine.leftovers(kind, tuple(schema), prefix))
        names = [row[self._engine.name_column] for row in rows]
        attempt.send("stage", [self._engine.drop(kind, (*schema, name)) for name in names if name != own])

    def _stage(self, attempt: Attempt, target: Parts, staging: Parts, found: Relation | None) -> None:
        """Make the staging table, and fill it if its columns fit the target."""
        query, kind = attempt.query.sql, self._decisions.kind
        attempt.send("stage", self._engine.stage(kind, target, staging, query, mark=self.mark))
        attempt.has_staged = True
        self._decisions.take_staged(attempt.inspect(staging))
        goal, there = self._new.goal(attempt, target, found)
        act = self._decisions.act(goal, staging, there, query=query)
        if found is not None and (act.how == "swap" or goal != target):
            self._check_dependents(attempt, target)
        attempt.send("stage", self._engine.fill(kind, staging, query))

    def _check_dependents(self, attempt: Attempt, target: Parts) -> None:
        """Check that another table can take the place of the target, before any row is written."""
        query = self._engine.dependents(target)
        if query is not None and (found := attempt.ask(query)):
            raise MaterializationFailed(
                f"No new table can take the place of {self._target}: "
                f"{', '.join(name for (name,) in found)} would have to go with it.",
                "Drop what reads it, and create that again after the run.",
            )

    def _check(self, attempt: Attempt, staging: Parts) -> None:
        """Check the staged rows, which nobody else has seen."""
        condition, keys = self._decisions.condition, self._decisions.keys
        if condition or keys:
            counts = attempt.ask(self._engine.check(staging, condition=condition, keys=keys), "check")[0]
            self._decisions.check_counts(*map(int, counts))
        if self._checks:
            columns = self._decisions.staged_types
            self._checks.run(self._engine.named(staging), attempt.execute, columns=columns)

    def _publish(self, attempt: Attempt, target: Parts, staging: Parts) -> None:
        """Publish the staged rows, unless a later attempt has taken the staging table over."""
        engine = self._engine
        attempt.send("publish", engine.begin(target))
        if not self._is_current(attempt, staging):
            raise self._taken_over()
        if engine.publishes_copy:
            self._drop_others(attempt, staging)
        found = attempt.inspect(target, comments=self._decisions.comments_columns)
        self._decisions.check_owner(found)
        act = self._new.act(attempt, target, staging, found)
        if act is not None:
            before = self._grants(attempt, target) if act.how == "swap" and engine.transactional else None
            attempt.send("publish", engine.publish(act))
            attempt.has_staged = engine.transactional
            attempt.send("publish", self._decisions.comments(act, found, mark=self._new.mark))
            attempt.send("publish", self._grant_statements(attempt, act, before))
        staged = {staging, act.staging} if act else {staging}
        attempt.send("publish", engine.finish(self._decisions.kind, sorted(staged)))

    def _grant_statements(self, attempt: Attempt, act: Act, before: list[Grant] | None) -> Iterable[str]:
        """Return the statements that give a new table the grants of the old one, and set those of the spec."""
        form = self._decisions.form
        if self._engine.why_no_grants or not (before or form.grants):
            return []
        now = self._grants(attempt, act.target)
        wanted = wanted_grants(now if before is None else before, form.grants, act.columns)
        return grant_changes(self._engine, act.target, now, wanted)

    def _grants(self, attempt: Attempt, target: Parts) -> list[Grant]:
        return (
            [Grant(*row) for row in attempt.ask(self._engine.grants(target))]
            if not self._engine.why_no_grants
            else []
        )

    def _taken_over(self) -> MaterializationFailed:
        return MaterializationFailed(
            f"A later attempt of this dataset has begun to build {self._target}: this one has published nothing."
        )

    @contextmanager
    def _told_if_taken_over(self, attempt: Attempt, staging: Parts) -> Iterator[None]:
        """Say of a statement that failed for want of the staging table that a later attempt has taken it over."""
        try:
            yield
        except StatementFailed as failed:
            if attempt.has_staged and self._is_taken_over(attempt, staging):
                raise self._taken_over() from failed
            raise

    def _is_taken_over(self, attempt: Attempt, staging: Parts) -> bool:
        with suppress(StatementFailed):
            attempt.roll_back()
            return not self._is_current(attempt, staging)
        return False

    def _is_current(self, attempt: Attempt, staging: Parts) -> bool:
        """Return whether the staging table is there, and still this attempt's."""
        staged = attempt.inspect(staging)
        return staged is not None and (self._engine.own_staging or staged.comment == self.mark)


def _digest(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
