"""Follow a run or a backfill to its end, and show its progress on standard error (specification 20.15)."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from itertools import cycle
from time import monotonic
from typing import TYPE_CHECKING, Literal, NoReturn, TypeVar

import click

from dataspec.models import Backfill, RunStatus, WorkflowRun
from dli.output.tables import pairs, printable
from dli.output.times import between, duration, local
from dli.session import INTERRUPTED, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dli.client.client import Client

T = TypeVar("T", WorkflowRun, Backfill)

BAR_WIDTH = 24
DEFAULT_COLUMNS = 80
MAX_LOGS_NAMED = 10


class StatusLine:
    """A line that is replaced while something runs; without a terminal, a new line for each change."""

    def __init__(self) -> None:
        self.replaceable = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        unicode = (sys.stderr.encoding or "").lower().startswith("utf")
        self._full, self._empty = ("█", "░") if unicode else ("#", ".")
        self._spinner = cycle("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if unicode else "|/-\\")
        self._began = monotonic()
        self._last: str | None = None

    def show(self, *parts: str | None) -> None:
        """Replace the line by a spinner and the parts, cut at the terminal's width."""
        line = f"{next(self._spinner)} {'  '.join(filter(None, parts))}"
        click.echo(f"\r\x1b[2K{printable(line)[: _columns() - 1]}", err=True, nl=False)

    def log(self, text: str) -> None:
        """Print a line, unless it is the last one again."""
        if text != self._last:
            say(printable(text))
        self._last = text

    def bar(self, share: float) -> str:
        """Return a bar that is filled up to a share between 0 and 1."""
        full = int(BAR_WIDTH * share)
        return self._full * full + self._empty * (BAR_WIDTH - full)

    def elapsed(self) -> str:
        """Return the time since the line was made."""
        return duration(timedelta(seconds=monotonic() - self._began))

    def clear(self) -> None:
        """Erase the line."""
        if self.replaceable:
            click.echo("\r\x1b[2K", err=True, nl=False)


def wait_for_run(
    client: Client, run_id: str, *, timeout: float | None, dataset: str | None = None
) -> WorkflowRun:
    """Follow a run until it has finished, and return it.

    Ctrl-C and the timeout end the command; the run continues.
    """
    states = client.follow_run(run_id, dataset=dataset, timeout_seconds=timeout)
    return _follow("run", run_id, states, _show_run, timeout)


def wait_for_backfill(client: Client, backfill_id: str, *, timeout: float | None) -> Backfill:
    """Follow a backfill until it has ended, and return it.

    Ctrl-C and the timeout end the command; the backfill continues.
    """
    states = client.follow_backfill(backfill_id, timeout_seconds=timeout)
    return _follow("backfill", backfill_id, states, _show_backfill, timeout)


def report_run_end(run: WorkflowRun) -> None:
    """Print how a run ended; exit with status 1 unless it completed."""
    took = between(run.started_at, run.finished_at)
    say(f"Run {run.status.lower()} after {took}." if took else f"Run {run.status.lower()}.")
    _exit_unless_completed(run, [run.run_id])


def report_backfill_end(backfill: Backfill) -> None:
    """Print how a backfill ended; exit with status 1 unless it completed."""
    took = between(backfill.created_at, backfill.finished_at)
    built = f"{backfill.dates_done} of {backfill.dates_total} {backfill.unit} built"
    say(f"Backfill {backfill.status.lower()} after {took}: {built}.")
    _exit_unless_completed(backfill, [one.run_id for one in backfill.failed[:MAX_LOGS_NAMED]])


def describe_backfill(backfill: Backfill) -> str:
    """Return a backfill's fields, one per line."""
    options = {
        "every day": backfill.every == "day",
        "last date first": backfill.reverse,
        "keep going after a failure": backfill.keep_going,
    }
    parameters = (f"{key}={value}" for key, value in backfill.parameters.items())
    running = backfill.current_partitions
    return pairs(
        [
            ("Backfill", backfill.backfill_id),
            ("Dataset", backfill.dataset_name),
            ("Chain", ", ".join(backfill.datasets) if backfill.is_chain else None),
            ("Status", str(backfill.status)),
            ("Range", " to ".join(backfill.span)),
            ("Options", ", ".join(option for option, given in options.items() if given)),
            (backfill.unit.capitalize(), f"{backfill.dates_done} of {backfill.dates_total} built"),
            ("Left out", f"{backfill.already_built:,} built before" if backfill.already_built else None),
            ("Current date" if backfill.unit == "dates" else "Current", backfill.current),
            ("Run", "\n".join(one.run_id for one in running) or backfill.current_run_id),
            ("Failed", ", ".join(map(backfill.named, backfill.failed))),
            ("Not built", _not_built(backfill)),
            ("Parameters", "\n".join(parameters)),
            ("Requested by", backfill.requested_by),
            ("Created", local(backfill.created_at)),
            ("Finished", local(backfill.finished_at)),
            ("Took", between(backfill.created_at, backfill.finished_at)),
            ("Error", backfill.error),
            ("Note", backfill.note),
        ]
    )


def _follow(
    kind: Literal["run", "backfill"],
    name: str,
    states: Iterator[T],
    show: Callable[[T, StatusLine], None],
    timeout: float | None,
) -> T:
    state = None
    interrupted = False
    line = StatusLine()
    try:
        for state in states:
            show(state, line)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        line.clear()
    if interrupted:
        _leave(name, f"Interrupted. The {kind} keeps running.", INTERRUPTED)
    if state is None or not state.status.finished:
        _leave(name, f"Error: The {kind} has not finished within {timeout:g} s; it keeps running.", 1)
    return state


def _leave(name: str, reason: str, status: int) -> NoReturn:
    say(reason)
    say(f"Follow it with: dli workflow status {name} --wait")
    say(f"Stop it with:   dli workflow stop {name}")
    raise click.exceptions.Exit(status)


def _show_run(run: WorkflowRun, line: StatusLine) -> None:
    attempt = ""
    if run.attempts > 1 and not run.status.finished:
        total = f" of {run.max_attempts}" if run.max_attempts else ""
        attempt = f" (attempt {run.attempts}{total})"
    if line.replaceable:
        line.show(f"{run.status}{attempt}", line.elapsed())
    elif not run.status.finished:
        line.log(f"{run.status}{attempt}")


def _show_backfill(backfill: Backfill, line: StatusLine) -> None:
    finished = backfill.dates_done + len(backfill.failed_dates) + len(backfill.not_built)
    count = f"{finished} of {backfill.dates_total} {backfill.unit}"
    current = backfill.note or backfill.current
    if line.replaceable:
        bar = line.bar(finished / backfill.dates_total)
        line.show(bar, count, current, _time_left(backfill, finished))
    elif not backfill.status.finished:
        line.log(f"{count}  {current}")


def _not_built(backfill: Backfill) -> str | None:
    """Return what a chain has left out; of one dataset the range says it."""
    return "\n".join(map(backfill.named, backfill.not_built)) if backfill.is_chain else None


def _time_left(backfill: Backfill, finished: int) -> str | None:
    """Return the time that the remaining dates take at the average of the finished ones."""
    if not finished or backfill.note:
        return None
    taken = datetime.now(UTC) - backfill.created_at
    return f"{duration(taken / finished * (backfill.dates_total - finished))} left"


def _exit_unless_completed(ended: WorkflowRun | Backfill, run_ids: list[str]) -> None:
    if ended.status is RunStatus.COMPLETED:
        return
    for line in filter(None, (ended.error, ended.note)):
        say(printable(line))
    for run_id in run_ids:
        say(f"Its log: dli workflow logs {run_id}")
    raise click.exceptions.Exit(1)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or DEFAULT_COLUMNS
    except OSError:
        return DEFAULT_COLUMNS
