"""Following a backfill to its end, and showing how far it is."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from dataspec.models import RunStatus
from dli.output.run_progress import followed
from dli.output.tables import pairs, printable
from dli.output.times import between, duration, local
from dli.session import say

if TYPE_CHECKING:
    from dataspec.models import Backfill
    from dli.client.client import Client

BAR_WIDTH = 24
USUAL_WIDTH = 80
MOST_DATES_NAMED = 10


class Progress:
    """How far a backfill is: a bar that fills on a terminal, a line for each change elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        unicode = (sys.stderr.encoding or "").lower().startswith("utf")
        self._full, self._empty = ("█", "░") if unicode else ("#", "-")
        self._last = ""

    def show(self, backfill: Backfill) -> None:
        """Show how many dates are through, the present one, and the time left."""
        through = backfill.dates_done + len(backfill.failed_dates)
        text = f"{through} of {backfill.dates_total} dates"
        doing = backfill.note or backfill.current_date
        if self._terminal:
            filled = BAR_WIDTH * through // backfill.dates_total
            bar = self._full * filled + self._empty * (BAR_WIDTH - filled)
            line = "  ".join(filter(None, (bar, text, doing, self._left(backfill, through))))
            click.echo(f"\r\x1b[2K{printable(line)[: _columns() - 1]}", err=True, nl=False)
        elif (told := f"{text}  {doing}") != self._last and not backfill.status.finished:
            say(printable(told))
            self._last = told

    def close(self) -> None:
        """Take the changing line away."""
        if self._terminal:
            click.echo("\r\x1b[2K", err=True, nl=False)

    @staticmethod
    def _left(backfill: Backfill, through: int) -> str | None:
        """Return the time left, if the dates to come take as long as those that are through."""
        if not through or backfill.note:
            return None
        taken = datetime.now(UTC) - backfill.created_at
        return f"{duration(taken / through * (backfill.dates_total - through))} left"


def wait_for(client: Client, backfill_id: str, *, timeout: float | None) -> Backfill:
    """Follow a backfill until it has ended, and return it as it ended.

    Ctrl-C and the timeout end the command with the backfill left as it is, and say so.
    """
    states = client.follow_backfill(backfill_id, timeout_seconds=timeout)
    return followed("backfill", backfill_id, states, Progress(), timeout)


def tell_end(backfill: Backfill) -> None:
    """Say how a backfill ended, and end with exit status 1 unless it completed (specification 20.15)."""
    took = between(backfill.created_at, backfill.finished_at)
    built = f"{backfill.dates_done} of {backfill.dates_total} dates built"
    say(f"Backfill {backfill.status.lower()} after {took}: {built}.")
    if backfill.status is RunStatus.COMPLETED:
        return
    for line in filter(None, (backfill.error, backfill.note)):
        say(printable(line))
    for day in backfill.failed_dates[:MOST_DATES_NAMED]:
        say(f"Its log: dli workflow logs {backfill.backfill_id}_{day.replace('-', '')}")
    raise click.exceptions.Exit(1)


def described(backfill: Backfill) -> str:
    """Return what is known of a backfill, a line each."""
    options = {
        "dates of the schedule": backfill.every == "schedule",
        "last date first": backfill.reverse,
        "goes on after a failure": backfill.keep_going,
    }
    parameters = (f"{key}={value}" for key, value in backfill.parameters.items())
    return pairs(
        [
            ("Backfill", backfill.backfill_id),
            ("Dataset", backfill.dataset_name),
            ("Status", str(backfill.status)),
            ("Range", f"{backfill.start} to {backfill.end}"),
            ("Options", ", ".join(words for words, given in options.items() if given)),
            ("Dates", f"{backfill.dates_done} of {backfill.dates_total} built"),
            ("Present", backfill.current_date),
            ("Run", backfill.current_run_id),
            ("Failed", ", ".join(backfill.failed_dates)),
            ("Parameters", "\n".join(parameters)),
            ("Requested by", backfill.requested_by),
            ("Created", local(backfill.created_at)),
            ("Finished", local(backfill.finished_at)),
            ("Took", between(backfill.created_at, backfill.finished_at)),
            ("Error", backfill.error),
            ("Note", backfill.note),
        ]
    )


def _columns() -> int:
    """Return the width of the terminal that the bar is drawn on, which a longer line would break."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or USUAL_WIDTH
    except OSError:
        return USUAL_WIDTH
