"""The sign of life on a line of standard error that changes."""

from __future__ import annotations

import os
import sys
from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"


def lines_may_change() -> bool:
    """Whether standard error takes a line that changes."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def shows_unicode() -> bool:
    """Whether standard error takes any letter."""
    return (sys.stderr.encoding or "").lower().startswith("utf")


def frames() -> Iterator[str]:
    """Return what stands before the line, one after the other, without an end."""
    return cycle(_FRAMES if shows_unicode() else _PLAIN_FRAMES)
