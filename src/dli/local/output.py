"""Print a run on this machine: its progress, its rows as a table, JSON or CSV, and its summary."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from dataspec.engines.session import place_of
from dataspec.engines.statement_log import in_words
from dataspec.sql.checks.findings import SAMPLE_PREFIX
from dli.output.progress import StatusLine
from dli.output.tables import print_table, printable
from dli.session import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dataspec.engines.results import Result
    from dataspec.engines.session import SqlSession, StatementFailed
    from dataspec.sql.rendering import RenderedStatement
    from dli.local.project_run import Outcome, Step
    from dli.local.run import LocalRun, RunPlan
    from dli.session import Session

_CELL = 80
"""The longest cell of a table, in characters; JSON and CSV have the whole value."""
_DELAY_SECONDS = 0.5
"""Most runs end sooner; the line would only flicker."""
_TICK_SECONDS = 0.1
_WORDS: dict[Outcome, str] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "KILLED": "cancelled",
    "SKIPPED": "left out",
}


class StatementLines:
    """Print each statement with ``--verbose``; without it, only what goes wrong.

    Args:
        tell: Prints a message.
        verbose: Whether to print each statement.
        label: Text before each message, such as the dataset's name.
    """

    def __init__(self, tell: Callable[[str], None], *, verbose: bool, label: str = "") -> None:
        self._tell = tell
        self._verbose = verbose
        self._label = label

    def started(self, statement: RenderedStatement) -> None:
        """Print the statement as it is sent to the engine."""
        if self._verbose:
            self._tell(f"{self._label}{place_of(statement)}:\n{statement.shown}")

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:
        """Print the statement's duration and its result."""
        if self._verbose:
            self._tell(f"-- {self._label}{place_of(statement)}: {seconds:.2f} s, {_outcome(result)}\n")
        if statement.kind == "check" and statement.name.startswith(SAMPLE_PREFIX) and result.columns:
            self._tell(f"{self._label}{statement.name}, {in_words(result)}")

    def failed(self, failed: StatementFailed) -> None:
        """Print the engine's whole message."""
        if self._verbose:
            self._tell(f"{self._label}The engine's message:\n{failed.__cause__}")

    def passed_over(self, failed: StatementFailed) -> None:
        """Print that the run continues."""
        self._tell(
            f"Warning: {self._label}{printable(str(failed))} The run continues: continue_on_error is true."
        )

    def cancelling(self, how: str) -> None:
        """Print that the query is being cancelled."""
        self._tell(f"{self._label}Cancelling the query{f': {how}' if self._verbose else ' …'}")

    def not_cancelled(self, error: Exception) -> None:
        """Print why the query could not be cancelled."""
        self._tell(f"Warning: {self._label}The query could not be cancelled: {error}")


class RunProgress:
    """Show the running statements, their progress and the elapsed time on the last line of a terminal.

    Messages that are printed by :meth:`say`, from any thread, never share a line with it or with each other.
    """

    def __init__(self) -> None:
        self._line = StatusLine()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    @property
    def shown(self) -> bool:
        """Whether standard error can show the line."""
        return self._line.replaceable

    def say(self, message: str) -> None:
        """Print a message above the line."""
        with self._lock:
            self._line.clear()
            say(message)

    @contextmanager
    def showing(
        self, sessions: Callable[[], Sequence[tuple[str, SqlSession]]], count: Callable[[], str | None]
    ) -> Iterator[None]:
        """Show the line until the end of the context.

        Args:
            sessions: Returns the running sessions, with the dataset's name or an empty text.
            count: Returns how many datasets have ended; None for a single one.
        """
        thread = threading.Thread(target=self._draw, args=(sessions, count), name="dli-progress", daemon=True)
        if self.shown:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            if thread.is_alive():
                thread.join()

    def _draw(
        self, sessions: Callable[[], Sequence[tuple[str, SqlSession]]], count: Callable[[], str | None]
    ) -> None:
        if self._ended.wait(_DELAY_SECONDS):
            return
        while not self._ended.wait(_TICK_SECONDS):
            parts = [self._part(name, session) for name, session in sessions()]
            with self._lock:
                self._line.show(count(), *parts, self._line.elapsed())
        self._line.clear()

    def _part(self, name: str, session: SqlSession) -> str:
        current = session.current
        statement = f"statement '{current.name}'" if current else "connecting"
        share = session.progress()
        if share is None:
            return f"{name}: {statement}" if name else statement
        return f"{name} {share:.0%}" if name else f"{statement}  {self._line.bar(share)} {share:4.0%}"


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


def step_text(step: Step) -> str:
    """Return the outcome of one dataset of several."""
    if step.run is not None and step.outcome == "COMPLETED":
        return f"{_summary(step.run)}."
    reason = [step.error.text, *(step.error.detail or "").splitlines()] if step.error else []
    return "\n       ".join([" ".join([f"{step.name}: {step.outcome}.", *reason[:1]]), *reason[1:]])


def print_steps(session: Session, plans: Sequence[RunPlan], steps: Iterable[Step]) -> None:
    """Print the outcome of each dataset of several, and how many had each."""
    by_name = {step.name: step for step in steps}
    steps = [by_name[plan.spec.name] for plan in plans if plan.spec.name in by_name]
    counts = Counter(step.outcome for step in steps)
    say(f"{', '.join(f'{counts[outcome]:,} {word}' for outcome, word in _WORDS.items() if counts[outcome])}.")
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
        "checks": [asdict(check) for check in run.checks],
        "statements": [
            {"name": statement.name, "seconds": round(seconds, 3), "rows_written": result.affected}
            for statement, seconds, result in run.results
            if statement.origin is not None and statement.kind != "check"
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
