"""What somebody sees of a run on this machine while it goes on: on standard error."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from dataspec.engines.session import place_of
from dli.output.spinner import frames, lines_may_change, shows_unicode
from dli.output.tables import printable
from dli.output.times import duration
from dli.session import say

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from dataspec.engines.results import Result
    from dataspec.engines.session import SqlSession, StatementFailed
    from dataspec.sql.rendering import RenderedStatement

_LATE_SECONDS = 0.5
"""Before this, most runs are over: nothing flickers."""
_TICK_SECONDS = 0.1
_BAR = 20


class StatementLines:
    """Tells of each statement in lines, with ``--verbose``; without it, of what goes wrong alone."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose

    def started(self, statement: RenderedStatement) -> None:
        """Show the statement as it goes to the engine."""
        if self._verbose:
            say(f"{place_of(statement)}:\n{statement.sql}")

    def ended(self, statement: RenderedStatement, seconds: float, result: Result) -> None:
        """Show how long it took and what it did."""
        if self._verbose:
            say(f"-- {place_of(statement)}: {seconds:.2f} s, {_told(result)}\n")

    def failed(self, failed: StatementFailed) -> None:
        """Show all that the engine says."""
        if self._verbose:
            say(f"The engine says:\n{failed.__cause__}")

    def passed_over(self, failed: StatementFailed) -> None:
        """Show that the run goes on."""
        say(f"Warning: {printable(str(failed))} Going on: continue_on_error is true.")

    def cancelling(self, how: str) -> None:
        """Show that the query is being cancelled."""
        say(f"Cancelling the query: {how}" if self._verbose else "Cancelling the query …")

    def not_cancelled(self, error: Exception) -> None:
        """Show why that failed."""
        say(f"Warning: the query could not be cancelled: {error}")


class ProgressLine:
    """One line that changes while a run goes on: which statement runs, how far it is, and for how long.

    Args:
        session: The run's session.
        label: What stands before it.
    """

    def __init__(self, session: SqlSession, label: str = "") -> None:
        self._session = session
        self._label = label
        self._frames = frames()
        self._full, self._empty = ("█", "░") if shows_unicode() else ("#", ".")
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="dli-progress", daemon=True)

    def __enter__(self) -> Self:
        if lines_may_change():
            self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _draw(self) -> None:
        if self._over.wait(_LATE_SECONDS):
            return
        while not self._over.wait(_TICK_SECONDS):
            click.echo(f"\r\x1b[2K{self._line()}", err=True, nl=False)
        click.echo("\r\x1b[2K", err=True, nl=False)

    def _line(self) -> str:
        current = self._session.current
        what = f"statement '{current.name}'" if current else "connecting"
        took = duration(timedelta(seconds=time.monotonic() - self._began))
        return f"{next(self._frames)} {self._label}{what}{self._share()}  {took}"

    def _share(self) -> str:
        share = self._session.progress()
        if share is None:
            return ""
        full = round(share * _BAR)
        return f"  {self._full * full}{self._empty * (_BAR - full)} {share:4.0%}"


def _told(result: Result) -> str:
    if result.affected is not None:
        return f"{result.affected:,} rows"
    return f"{result.total:,} rows answered" if result.columns else "done"
