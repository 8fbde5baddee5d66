"""What a person sees while `basecamp dev` starts: a line for each thing done, on stderr."""

from __future__ import annotations

import time
from typing import TextIO

import click

_ERASE_LINE = "\r\x1b[2K"


class Progress:
    """Prints what was done and how long it took; on a terminal also what is waited for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()

    def say(self, text: str) -> None:
        """Print a line."""
        self._clear()
        click.echo(text, file=self._stream)

    def done(self, what: str, since: float) -> None:
        """Print that a thing is done; ``since`` is the monotonic time of its start."""
        self.say(f"  {what:<36} {time.monotonic() - since:6.1f} s")

    def waiting(self, what: str, since: float) -> None:
        """Show what is waited for, in a line that the next one replaces."""
        if self._live:
            text = f"  {what} … {time.monotonic() - since:.0f} s"
            click.echo(f"{_ERASE_LINE}{text}", file=self._stream, nl=False)

    def _clear(self) -> None:
        if self._live:
            click.echo(_ERASE_LINE, file=self._stream, nl=False)
