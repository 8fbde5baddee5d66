"""What a run on this machine leaves on standard output: its rows, as a table, JSON or CSV."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from dli.output.tables import print_table
from dli.session import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dataspec.engines.results import Result
    from dli.local.project_run import Step
    from dli.local.run import LocalRun, Plan
    from dli.session import Session

_CELL = 80
"""The longest cell of a table, in letters; JSON and CSV have all of it."""


def print_run(run: LocalRun, output: str) -> None:
    """Print a run's rows; of JSON, what else is known of it as well."""
    if output == "json":
        click.echo(json.dumps(report(run), indent=2, ensure_ascii=False))
    elif run.answer is not None and output == "csv":
        click.echo(_csv(run.answer), nl=False)
    elif run.answer is not None and run.answer.first_rows:
        print_table(run.answer.columns, [[_cell(value) for value in row] for row in run.answer.first_rows])


def tell_run(run: LocalRun) -> None:
    """Say how many rows a run wrote, how long it took, and where."""
    answer = run.answer
    say(f"{_summary(run)} ({run.plan.engine.place}).")
    if answer is not None and answer.total > len(answer.first_rows) > 0:
        say(f"{len(answer.first_rows):,} of {answer.total:,} rows; --limit shows more.")


def print_previews(session: Session, plans: Sequence[Plan]) -> None:
    """Print what the runs of several datasets would do."""
    from dli.local.preview import described, preview

    found = [preview(plan) for plan in plans]
    if session.format == "json":
        session.print_json(found)
    else:
        click.echo("\n\n\n".join(map(described, found)))


def tell_step(step: Step) -> None:
    """Say what became of one dataset of many."""
    if step.run is not None:
        say(f"{_summary(step.run)}.")
    elif step.error is not None:
        lines = [f"{step.name}: {step.outcome}. {step.error.text}", *(step.error.detail or "").splitlines()]
        say("\n       ".join(lines))


def print_steps(session: Session, steps: Sequence[Step]) -> None:
    """Print what became of each dataset of many."""
    if session.format == "json":
        session.print_json([_step(step) for step in steps])
        return
    from dli.local.project_run import rows_of

    print_table(("DATASET", "STATUS", "ROWS", "TOOK"), rows_of(steps))


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
    """Return what is known of a run, for JSON."""
    answer = run.answer
    return {
        "dataset_name": run.plan.spec.name,
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
    """Return a value of an engine's as JSON has it; what JSON has no word for, as text."""
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
