"""Datasets and their latest runs on the whole terminal, always up to date."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from dataspec.errors import InvalidUsage, Unavailable
from dataspec.models import RunStatus
from dli.commands.workflow import history
from dli.commands.workflow.list import TITLES, row
from dli.output.tables import aligned, in_colour, painted, printable
from dli.output.times import local

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dataspec.models import WorkflowInfo
    from dli.client.client import Client
    from dli.session import Session

RUNS_SHARE = 0.4
"""The share of the screen's lines that the runs get."""
OTHER_LINES = 6
"""Lines for the head, the titles and what is left out."""


def watch(session: Session, datasets: list[str] | None, seconds: float) -> None:
    """Show them until Ctrl-C. A server that does not answer is asked again: what was last known stays.

    Raises:
        InvalidUsage: When standard output is no terminal.
    """
    if not sys.stdout.isatty():
        raise InvalidUsage(
            "'dli workflow watch' needs a terminal.",
            detail="Use 'dli workflow list' and 'dli workflow history' in a script.",
        )
    console = Console(highlight=False, color_system="auto" if in_colour() else None)
    shown = Group()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            at = datetime.now(UTC)
            try:
                shown = _tables(session.client, datasets, console.height)
                head = f"{local(at)}, every {seconds:g} s; Ctrl-C ends"
            except Unavailable as error:
                head = f"{local(at)}: {printable(str(error))} What follows was known before."
            live.update(Group(_line(head), shown), refresh=True)
            time.sleep(seconds)


def _tables(client: Client, datasets: list[str] | None, height: int) -> Group:
    runs_shown = max(int((height - OTHER_LINES) * RUNS_SHARE), 1)
    workflows = sorted(client.list_workflows(dataset=datasets), key=_urgency)
    runs = client.list_runs(dataset=datasets, limit=runs_shown)
    titles, run_row = history.columns(runs)
    return Group(
        *_table(TITLES, map(row, workflows), height - OTHER_LINES - runs_shown),
        _line(""),
        *_table(titles, map(run_row, runs), runs_shown),
    )


def _urgency(workflow: WorkflowInfo) -> int:
    status = workflow.last_run.status if workflow.last_run else None
    if status is RunStatus.FAILED:
        return 0
    return 2 if status is None or status.finished else 1


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], lines: int) -> Iterable[Text]:
    """Yield the lines of a table, at most so many, and how many are left out."""
    cells = [[printable(cell) for cell in one] for one in rows]
    header, *body = aligned(titles, cells, paint=painted if in_colour() else str)
    yield _line(header, "bold")
    yield from map(_line, body[:lines])
    if len(body) > lines:
        yield _line(f"… and {len(body) - lines} more")


def _line(text: str, style: str = "") -> Text:
    line = Text.from_ansi(text, style=style)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
