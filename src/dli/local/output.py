"""Print a run on this machine: its progress, its rows as a table, JSON or CSV, and its summary."""

from __future__ import annotations

import json
import threading
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from dataspec.engines.session import place_of
from dli.output.progress import StatusLine
from dli.output.tables import print_table, printable
from dli.session import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from dataspec.engines.results import Result
    from dataspec.engines.session import SqlSession, StatementFailed
    from dataspec.sql.rendering import RenderedStatement
    from dli.local.project_run import Step
    from dli.local.run import LocalRun, RunPlan
    from dli.session import Session

_CELL = 80
"""The longest cell of a table, in characters; JSON and CSV have the whole value."""
_DELAY_SECONDS = 0.5
"""Most runs end sooner; the line would only flicker."""
_TICK_SECONDS = 0.1


class StatementLines:
    """Print each statement with ``--verbose``; without it, only what goes wrong."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose

    def started(self, statement: RenderedStatement) -> None:
        """Print the statement as it is sent to the engine."""
        if self._verbose:
            say(f"{place_of(statement)}:\n{statement.sql}")

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:
        """Print the statement's duration and its result."""
        if self._verbose:
            say(f"-- {place_of(statement)}: {seconds:.2f} s, {_outcome(result)}\n")

    def failed(self, failed: StatementFailed) -> None:
        """Print the engine's whole message."""
        if self._verbose:
            say(f"The engine's message:\n{failed.__cause__}")

    def passed_over(self, failed: StatementFailed) -> None:
        """Print that the run continues."""
        say(f"Warning: {printable(str(failed))} The run continues: continue_on_error is true.")

    def cancelling(self, how: str) -> None:
        """Print that the query is being cancelled."""
        say(f"Cancelling the query: {how}" if self._verbose else "Cancelling the query …")

    def not_cancelled(self, error: Exception) -> None:
        """Print why the query could not be cancelled."""
        say(f"Warning: The query could not be cancelled: {error}")


class StatementProgress:
    """Show the running statement, its progress and the elapsed time, while a run lasts.

    Args:
        session: The run's session.
        label: Text before the statement's name.
    """

    def __init__(self, session: SqlSession, label: str = "") -> None:
        self._session = session
        self._label = label
        self._line = StatusLine()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="dli-progress", daemon=True)

    @staticmethod
    def shown() -> bool:
        """Return whether standard error can show the line."""
        return StatusLine().replaceable

    def __enter__(self) -> Self:
        if self._line.replaceable:
            self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _draw(self) -> None:
        if self._ended.wait(_DELAY_SECONDS):
            return
        while not self._ended.wait(_TICK_SECONDS):
            current = self._session.current
            statement = f"statement '{current.name}'" if current else "connecting"
            self._line.show(f"{self._label}{statement}", self._share(), self._line.elapsed())
        self._line.clear()

    def _share(self) -> str | None:
        share = self._session.progress()
        return None if share is None else f"{self._line.bar(share)} {share:4.0%}"


def print_run(run: LocalRun, output: str) -> None:
    """Print a run's rows; as JSON, with the run's other fields."""
    if output == "json":
        from dli.client.protocol import encode

        click.echo(json.dumps(report(run), indent=2, ensure_ascii=False, default=encode))
    elif run.answer is not None and output == "csv":
        click.echo(_csv(run.answer), nl=False)
    elif run.answer is not None and run.answer.first_rows:
        print_table(run.answer.columns, [[_cell(value) for value in row] for row in run.answer.first_rows])


def print_summary(run: LocalRun) -> None:
    """Print how many rows a run wrote, how long it took, and on which engine."""
    answer = run.answer
    say(f"{_summary(run)} ({run.plan.engine.place}).")
    if answer is not None and answer.total > len(answer.first_rows) > 0:
        say(f"{len(answer.first_rows):,} of {answer.total:,} rows; --limit shows more.")


def print_dry_runs(session: Session, plans: Sequence[RunPlan]) -> None:
    """Print the dry runs of several datasets."""
    from dli.local.dry_run import describe, preview

    found = [preview(plan) for plan in plans]
    if session.format == "json":
        session.print_json(found)
    else:
        click.echo("\n\n\n".join(map(describe, found)))


def print_step(step: Step) -> None:
    """Print the outcome of one dataset of ``--all``."""
    if step.run is not None:
        say(f"{_summary(step.run)}.")
    elif step.error is not None:
        lines = [f"{step.name}: {step.outcome}. {step.error.text}", *(step.error.detail or "").splitlines()]
        say("\n       ".join(lines))


def print_steps(session: Session, steps: Sequence[Step]) -> None:
    """Print the outcome of each dataset of ``--all``."""
    if session.format == "json":
        session.print_json([_step(step) for step in steps])
        return
    print_table(("DATASET", "STATUS", "ROWS", "TOOK"), [_step_row(step) for step in steps])


def _summary(run: LocalRun) -> str:
    from dataspec.engines.statement_log import rows

    written = "" if run.rows_written is None else f"{rows(run.rows_written)} written, "
    return f"{run.plan.spec.name}: {written}{run.seconds:.2f} s"


def _step(step: Step) -> dict[str, Any]:
    error = "\n".join(filter(None, (step.error.text, step.error.detail))) if step.error else None
    known = {"dataset_name": step.name, "status": step.outcome, "error": error}
    return (
        known | {key: value for key, value in report(step.run).items() if key not in known}
        if step.run
        else known
    )


def report(run: LocalRun) -> dict[str, Any]:
    """Return a run's fields for JSON."""
    answer = run.answer
    return {
        "dataset_name": run.plan.spec.name,
        "partition": run.plan.partition,
        "parameters": run.plan.parameters,
        "connection": run.plan.spec.execution.connection,
        "seconds": round(run.seconds, 3),
        "rows_written": run.rows_written,
        "statements": [
            {"name": statement.name, "seconds": round(seconds, 3), "rows_written": result.affected}
            for statement, seconds, result in run.results
            if statement.origin is not None
        ],
        "columns": list(answer.columns) if answer else [],
        "rows": [_object(answer, row) for row in answer.first_rows] if answer else [],
    }


def _object(answer: Result, row: tuple[Any, ...]) -> dict[str, Any]:
    return {name: plain(value) for name, value in zip(answer.columns, row, strict=True)}


def plain(value: Any) -> Any:
    """Return an engine's value as JSON; text for a type that JSON lacks."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value)


def _csv(answer: Result) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(["" if value is None else _text(value) for value in row] for row in answer.first_rows)
    return text.getvalue()


def _text(value: Any) -> str:
    found = plain(value)
    if isinstance(found, bool):
        return "true" if found else "false"
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _cell(value: Any) -> str:
    text = "NULL" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def _outcome(result: Result) -> str:
    from dataspec.engines.statement_log import rows

    if result.affected is not None:
        return rows(result.affected)
    return f"{rows(result.total)} returned" if result.columns else "done"


def _step_row(step: Step) -> tuple[str, str, str, str]:
    """Return dataset, status, rows written, seconds."""
    run = step.run
    written = f"{run.rows_written:,}" if run and run.rows_written is not None else "-"
    return step.name, step.outcome, written, f"{run.seconds:.2f} s" if run else "-"
