"""Log the events of a session: each statement, its duration and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataspec.engines.session import place_of

if TYPE_CHECKING:
    import logging

    from dataspec.engines.results import Result
    from dataspec.engines.session import StatementFailed
    from dataspec.sql.rendering import RenderedStatement

FIRST_ROWS = 10
_CELL = 60


class StatementLog:
    """Logs the events of a session."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def started(self, statement: RenderedStatement) -> None:
        """Log a statement as it is sent to the engine."""
        self._log.info("%s:\n%s", place_of(statement), statement.sql)

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:
        """Log the duration and the result."""
        self._log.info("'%s' took %.2f s: %s", statement.name, seconds, in_words(result))

    def failed(self, failed: StatementFailed) -> None:
        """Log the whole message of the engine."""
        self._log.error("The engine says:\n%s", failed.__cause__)

    def passed_over(self, failed: StatementFailed) -> None:
        """Log the error, and that the session goes on."""
        self._log.warning("%s. Going on: continue_on_error is true.", failed)

    def cancelling(self, how: str) -> None:
        """Log how the running query is being cancelled."""
        self._log.info("Cancelling the query on the engine: %s", how)

    def not_cancelled(self, error: Exception) -> None:
        """Log why the cancellation failed."""
        self._log.error("The query could not be cancelled", exc_info=error)


def in_words(result: Result) -> str:
    """Return a result as a few lines of text."""
    if result.affected is not None:
        return f"{rows(result.affected)} affected."
    if not result.columns:
        return "done."
    if not result.total:
        return "no rows."
    more = result.total > len(result.first_rows)
    head = f"{result.total:,} rows, of which the first:" if more else f"{rows(result.total)}:"
    return f"{head}\n{_table(result)}"


def rows(count: int) -> str:
    """Return a number of rows as text."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def _table(result: Result) -> str:
    lines = [result.columns, *([_cell(value) for value in row] for row in result.first_rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(result.columns))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(value: Any) -> str:
    text = "NULL" if value is None else str(value).replace("\n", " ")
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"
