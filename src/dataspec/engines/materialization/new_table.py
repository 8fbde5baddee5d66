"""Fill the new table of a full refresh, partition by partition, and put it in the place of the old one.

Until the last partition is in it, nobody needs to know of the new table: readers have the old one. Runs that build a
partition meanwhile write it into both, or it would be lost when the new table takes its place.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from dataspec.spec.materialization import IncrementalForm
from dataspec.sql.materialization.failure import MaterializationFailed
from dataspec.sql.rendering import THERE, RunTable

if TYPE_CHECKING:
    from dataspec.engines.materialization.attempt import Attempt
    from dataspec.spec.full_refresh import FullRefresh
    from dataspec.sql.materialization.decisions import Decisions
    from dataspec.sql.materialization.engine_sql import Act, EngineSql, Parts, Relation

NEW_TABLE = "__dli_new_"
"""The beginning of the name of a new table."""


def mark_of(part: FullRefresh) -> str:
    """Return what the comment of the new table says of the full refresh that fills it."""
    return f"Full refresh {part.backfill}."


class NewTable:
    """The new table of a dataset, of which there is at most one, as one run finds it.

    Args:
        decisions: The decisions of the run.
        engine: The engine's SQL.
        name: The dataset.
        part: The run's part in a full refresh of several runs; None for any other run.
    """

    def __init__(
        self, decisions: Decisions, engine: EngineSql, *, name: str, part: FullRefresh | None
    ) -> None:
        self._decisions = decisions
        self._engine = engine
        self._name = f"{NEW_TABLE}{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        self._part = part
        self.mark = mark_of(part) if part else ""
        """What the comment of the new table says; it stays there when the table has taken its place."""

    @property
    def is_filled(self) -> bool:
        """Whether the rows of the run go into it."""
        return self._part is not None

    def seen_by_sql(self, attempt: Attempt, written: str, target: Parts, found: Relation | None) -> RunTable:
        """Return the table that the SQL of the run sees.

        Args:
            attempt: Asks the engine.
            written: The target, as the spec writes it.
            target: The target's full name.
            found: The target as it is; None if it is not there.
        """
        goal, there = self.goal(attempt, target, found)
        exists = there is not None and not self._decisions.replaces
        if goal == target:
            return replace(THERE, exists=exists)
        new = ".".join((*written.split(".")[:-1], self._name))
        return RunTable(exists, name=new, published=None if self._part and self._part.ends else new)

    def goal(self, attempt: Attempt, target: Parts, found: Relation | None) -> tuple[Parts, Relation | None]:
        """Return the table that gets the rows of the run, and what is there.

        Raises:
            MaterializationFailed: When the partitions that the full refresh has built so far are gone.
        """
        part = self._part
        if part is None:
            return target, found
        new = (*target[:-1], self._name)
        if part.begins:
            return new, None
        there = attempt.inspect(new)
        if there is not None and there.comment == self.mark:
            return new, there
        if part.ends and found is not None and self.mark in (found.comment or ""):
            return target, found  # an earlier attempt of the last run has put it in place
        raise MaterializationFailed(
            f"The new table of the full refresh {part.backfill} is not there any more: another full refresh has "
            "begun, or a run with other columns has removed it.",
            "Start the full refresh again, without --resume.",
        )

    def act(self, attempt: Attempt, target: Parts, staging: Parts, found: Relation | None) -> Act | None:
        """Write the rows into the new table, if there is one; return the act that remains to be done on the target."""
        goal, there = self.goal(attempt, target, found)
        act = self._decisions.act(goal, staging, there, query=attempt.query.sql)
        if self._part is None:
            self._write_as_well(attempt, (*target[:-1], self._name), staging)
        if self._part is None or goal == target:
            return act
        if self._part.begins:
            attempt.send("publish", [self._engine.drop("table", goal)])
        attempt.send("publish", self._engine.publish(replace(act, comment=self.mark)))
        if self._part.begins and self._engine.transactional:
            attempt.send("publish", [self._engine.comment("table", goal, self.mark)])
        filled = attempt.inspect(goal) if self._part.ends else None
        return self._decisions.swap(target, goal, found, filled, mark=self.mark) if filled else None

    def _write_as_well(self, attempt: Attempt, new: Parts, staging: Parts) -> None:
        """Write the rows into the new table of a full refresh that is under way, as well as into the target.

        A new table that they don't fit is dropped: the full refresh then fails, and not this run.
        """
        is_incremental = isinstance(self._decisions.form, IncrementalForm)
        there = attempt.inspect(new) if is_incremental else None
        if there is None:
            return
        try:
            act = None if self._decisions.replaces else self._decisions.act(new, staging, there)
        except MaterializationFailed:
            act = None
        statements = (
            self._engine.publish(replace(act, keeps_staging=True, comment=there.comment or ""))
            if act
            else [self._engine.drop("table", new)]
        )
        attempt.send("publish", statements)
