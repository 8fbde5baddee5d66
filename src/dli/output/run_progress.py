"""Following a run to its end, with its progress shown to whoever waits."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol, TypeVar

import click

from dataspec.models import Backfill, RunStatus, WorkflowRun
from dli.output.spinner import frames, lines_may_change
from dli.output.tables import printable
from dli.output.times import between, duration
from dli.session import INTERRUPTED, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dli.client.client import Client

T = TypeVar("T", WorkflowRun, Backfill)
T_contra = TypeVar("T_contra", WorkflowRun, Backfill, contravariant=True)


class Progress:
    """A run's state: one line that changes on a terminal, a line for each change elsewhere."""

    def __init__(self) -> None:
        self._terminal = lines_may_change()
        self._frames = frames()
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


class Shows(Protocol[T_contra]):
    """Shows how something is doing, while it is followed."""

    def show(self, item: T_contra) -> None:
        """Show how it is now."""
        ...

    def close(self) -> None:
        """Take away what changes."""
        ...


def wait_for(
    client: Client, run_id: str, *, timeout: float | None, dataset: str | None = None
) -> WorkflowRun:
    """Follow a run until it has finished, and return it as it ended.

    Ctrl-C and the timeout end the command with the run left as it is, and say so.
    """
    states = client.follow_run(run_id, dataset=dataset, timeout_seconds=timeout)
    return followed("run", run_id, states, Progress(), timeout)


def followed(
    kind: Literal["run", "backfill"],
    name: str,
    states: Iterator[T],
    progress: Shows[T],
    timeout: float | None,
) -> T:
    """Show each state of a run or a backfill, and return the one in which it ended.

    Ctrl-C and the timeout end the command with it left as it is, and say so.
    """
    state = None
    interrupted = False
    try:
        for state in states:
            progress.show(state)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.close()
    if interrupted:
        _leave(name, f"Interrupted; the {kind} goes on.", INTERRUPTED)
    if state is None or not state.status.finished:
        _leave(name, f"Error: The {kind} has not finished within {timeout:g} s; it keeps running.", 1)
    return state


def tell_end(run: WorkflowRun) -> None:
    """Say how a run ended, and end with exit status 1 unless it completed (specification 20.15)."""
    took = between(run.started_at, run.finished_at)
    say(f"Run {run.status.lower()} after {took}." if took else f"Run {run.status.lower()}.")
    if run.status is RunStatus.COMPLETED:
        return
    for line in filter(None, (run.error, run.note)):
        say(printable(line))
    say(f"Its log: dli workflow logs {run.run_id}")
    raise click.exceptions.Exit(1)


def _leave(name: str, reason: str, status: int) -> NoReturn:
    say(reason)
    say(f"Follow it with: dli workflow status {name} --wait")
    say(f"Stop it with:   dli workflow stop {name}")
    raise click.exceptions.Exit(status)


def _attempt(run: WorkflowRun) -> str:
    if run.attempts <= 1 or run.status.finished:
        return ""
    return (
        f" (attempt {run.attempts} of {run.max_attempts})"
        if run.max_attempts
        else f" (attempt {run.attempts})"
    )
