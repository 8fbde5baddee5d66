"""Log the events of a session: each statement, its duration and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataspec.engines.session import place_of

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Mapping

    from dataspec.engines.results import Result
    from dataspec.engines.session import StatementFailed
    from dataspec.models import CheckResult
    from dataspec.spec.model import DatasetSpec
    from dataspec.sql.rendering import RenderedStatement

FIRST_ROWS = 10
_CELL = 60


class StatementLog:
    """Logs the events of a session."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._query_yielded = False
        """Whether the query returned rows."""
        self.rows: int | None = None
        """How many rows the query has written; None while the engine has not said."""

    def started(self, statement: RenderedStatement) -> None:
        """Log a statement as it is sent to the engine."""
        self._log.info("%s:\n%s", place_of(statement), statement.shown)

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:
        """Log the duration and the result."""
        self._query_yielded |= statement.kind == "query" and bool(result.columns)
        if statement.kind == "query" and result.affected is not None:
            self.rows = (self.rows or 0) + result.affected
        self._log.info("'%s' took %.2f s: %s", statement.name, seconds, in_words(result))

    def check_results(self, results: Iterable[CheckResult]) -> None:
        """Log a warning for each check that has found something and does not fail the run."""
        for result in results:
            if result.status == "warned":
                self._log.warning("%s", result.message)

    def failed(self, failed: StatementFailed) -> None:
        """Log the whole message of the engine."""
        self._log.error("The engine says:\n%s", failed.__cause__)

    def passed_over(self, failed: StatementFailed) -> None:
        """Log the error, and that the session goes on."""
        if failed.statement.kind == "materialization":  # a query about what need not be there
            self._log.info("%s. Going on: it need not be there.", failed)
        else:
            self._log.warning("%s. Going on: continue_on_error is true.", failed)

    def check_stored(self, spec: DatasetSpec, files: Mapping[str, str], dialect: str | None) -> None:
        """Log a warning if the rows of the query were stored nowhere (specification 10.14).

        Args:
            spec: The spec that has run.
            files: The text of each SQL file, by its path in the spec.
            dialect: The connection's dialect, where it is known.
        """
        if not self._query_yielded:
            return
        # Imported here: a SQL parser takes 0.3 s to load, and most queries return no rows.
        from dataspec.sql.lineage.dataset_lineage import lineage_of

        try:
            for warning in lineage_of(spec, files, dialect=dialect).warnings:
                self._log.warning("%s", warning)
        except Exception:  # noqa: BLE001 - a run that has succeeded stays so, whatever its SQL does to the parser
            self._log.info("It is not known whether the rows are stored.", exc_info=True)

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
