"""Following a run to its end, with its progress shown to whoever waits."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from itertools import cycle
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

import click

from dataspec.workflows import RunStatus
from dli.session import INTERRUPTED, say
from dli.tables import printable
from dli.times import between, duration

if TYPE_CHECKING:
    from dataspec.workflows import WorkflowRun
    from dli.client import Client

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"


class Progress:
    """A run's state: one line that changes on a terminal, a line for each change elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        unicode = (sys.stderr.encoding or "").lower().startswith("utf")
        self._frames = cycle(_FRAMES if unicode else _PLAIN_FRAMES)
        self._began = monotonic()
        self._last = ""

    def show(self, run: WorkflowRun) -> None:
        """Show a run's state, and for how long it has been followed."""
        text = f"{run.status}{_attempt(run)}"
        if self._terminal:
            waited = duration(timedelta(seconds=monotonic() - self._began))
            click.echo(f"\r\x1b[2K{next(self._frames)} {text}  {waited}", err=True, nl=False)
        elif text != self._last and not run.status.finished:
            say(text)
        self._last = text

    def close(self) -> None:
        """Take the changing line away."""
        if self._terminal and self._last:
            click.echo("\r\x1b[2K", err=True, nl=False)


def wait_for(
    client: Client, run_id: str, *, timeout: float | None, dataset: str | None = None
) -> WorkflowRun:
    """Follow a run until it has finished, and return it as it ended.

    Ctrl-C and the timeout end the command with the run left as it is, and say so.
    """
    progress = Progress()
    run = None
    interrupted = False
    try:
        for run in client.follow_run(run_id, dataset=dataset, timeout_seconds=timeout):
            progress.show(run)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.close()
    if interrupted:
        _leave(run_id, "Interrupted; the run goes on.", INTERRUPTED)
    if run is None or not run.status.finished:
        _leave(run_id, f"Error: The run has not ended within {timeout:g} s; it goes on.", 1)
    return run


def tell_end(run: WorkflowRun) -> None:
    """Say how a run ended, and end with exit status 1 unless it completed (decisions 8)."""
    took = between(run.started_at, run.finished_at)
    say(f"Run {run.status.lower()} after {took}." if took else f"Run {run.status.lower()}.")
    if run.status is RunStatus.COMPLETED:
        return
    for line in filter(None, (run.error, run.note)):
        say(printable(line))
    say(f"Its log: dli workflow logs {run.run_id}")
    raise click.exceptions.Exit(1)


def _leave(run_id: str, reason: str, status: int) -> NoReturn:
    say(reason)
    say(f"Follow it with: dli workflow status {run_id} --wait")
    say(f"Stop it with:   dli workflow stop {run_id}")
    raise click.exceptions.Exit(status)


def _attempt(run: WorkflowRun) -> str:
    if run.attempts <= 1 or run.status.finished:
        return ""
    return (
        f" (attempt {run.attempts} of {run.max_attempts})"
        if run.max_attempts
        else f" (attempt {run.attempts})"
    )
