"""Send the statements by which one attempt publishes its rows, and ask the engine what is there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataspec.sql.materialization.engine_sql import Sent
from dataspec.sql.rendering import RenderedStatement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dataspec.engines.session import Execute
    from dataspec.sql.materialization.engine_sql import EngineSql, Parts, Relation

_MAX_DESCRIBED = 10_000
"""Maximum number of rows of a query about the engine's catalog, such as one for each column of a table."""


class Attempt:
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
    def outside_a_run(cls, engine: EngineSql, execute: Execute) -> Attempt:
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

    def ask(self, sql: str, step: str = "inspect", *, may_fail: bool = False) -> list[tuple[Any, ...]]:
        """Run a query about the engine's catalog or the staged rows; return its rows, none if it may fail and does."""
        statement = replace(self._statement(step, Sent(sql)), continue_on_error=may_fail)
        return list(self.execute(statement, keep=_MAX_DESCRIBED).first_rows)

    def inspect(self, name: Parts, *, comments: bool = False) -> Relation | None:
        """Return the table or view of a name; None if there is none.

        Args:
            name: Its parts.
            comments: Whether the comments of its columns are needed; else the quickest queries are taken.
        """
        engine = self._engine
        if comments or not (quickly := engine.inspect_quickly(name)):
            return engine.relation(self.ask(engine.inspect(name), may_fail=engine.fails_without_table))
        of_table, of_columns = quickly
        found = self.ask(of_table)
        return engine.relation([(*found[0][:2], None, None, None), *self.ask(of_columns)]) if found else None

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
