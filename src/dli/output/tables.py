"""Print tables: columns aligned, never cut in a pipe, folded only on a terminal that is too narrow."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_GAP = "   "
_COLOURS = {
    "active": "green",
    "COMPLETED": "green",
    "RUNNING": "cyan",
    "PENDING": "cyan",
    "paused": "yellow",
    "overridden": "bright_black",
    "KILLED": "yellow",
    "FAILED": "red",
    "invalid": "red",
}


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of text under titles, columns aligned, to standard output."""
    cells = [[printable(cell) for cell in row] for row in rows]
    terminal = terminal_width()
    if terminal is not None and any(display_width(line) > terminal for line in aligned(titles, cells)):
        widths = _folded_widths(titles, cells)
        # If even the folded table is too wide, the terminal wraps each row.
        if sum(widths) + len(_GAP) * len(widths) <= terminal:
            _print_folded(titles, cells, widths, terminal)
            return
    header, *body = aligned(titles, cells, paint=painted if in_colour() else str)
    click.echo("\n".join((click.style(header, bold=True) if in_colour() else header, *body)))


def aligned(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, paint: Callable[[str], str] = str
) -> list[str]:
    """Return the table's lines, each column as wide as its widest cell on a screen.

    ``paint`` may colour a cell, which does not change its width.
    """
    table = [list(titles), *map(list, rows)]
    widths = [max(map(display_width, column)) for column in zip(*table, strict=True)]
    return [
        _GAP.join(
            paint(cell) + " " * (width - display_width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in table
    ]


def display_width(text: str) -> int:
    """Return a text's width in terminal columns: two for a Korean letter."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in text)


def printable(text: str) -> str:
    """Return a text as one line, with control characters replaced by spaces."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)


def in_colour() -> bool:
    """Return whether standard output takes colours: a terminal, unless ``NO_COLOR`` is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def terminal_width() -> int | None:
    """Return the terminal's width in columns; None without a terminal."""
    if not sys.stdout.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except OSError:
        return None


def painted(cell: str) -> str:
    """Return a cell in the colour of its state, if it is one."""
    colour = _COLOURS.get(cell)
    return click.style(cell, fg=colour) if colour else cell


def _folded_widths(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the minimum width of each column; the first is not folded, since people copy it."""
    names, *others = zip(titles, *rows, strict=True)
    words = [[word for cell in column for word in cell.split()] for column in others]
    return [max(map(display_width, column)) for column in (names, *words)]


def _print_folded(
    titles: Sequence[str], rows: Sequence[Sequence[str]], widths: list[int], width: int
) -> None:
    """Print a table with folded cells, by rich, which is slow to load."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*titles, box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0))
    table.header_style = "bold" if in_colour() else ""
    for column, least in zip(table.columns, widths, strict=True):
        column.min_width, column.no_wrap = least, column is table.columns[0]
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console(width=width, highlight=False, color_system="auto" if in_colour() else None).print(table)


def pairs(lines: Iterable[tuple[str, str | None]]) -> str:
    """Return labels with their values, aligned; skip a value that is None or empty."""
    given = [(f"{label}:", value) for label, value in lines if value]
    width = max((len(label) for label, _ in given), default=0) + 2
    hanging = "\n" + " " * width
    return "\n".join(
        f"{label:<{width}}" + hanging.join(map(printable, value.splitlines())) for label, value in given
    )
