"""Captures Apprise's log.

Apprise reports only whether a message was accepted; the reason is in its log, which may also contain
secret addresses. The log is therefore captured in the sending thread and shown nowhere else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import apprise

_LOGGER = logging.getLogger("apprise")
_EXCEPTION_PREFIX = "Socket Exception: "
"""Apprise's prefix for the text of an exception."""


def is_apprise_url(url: str) -> bool:
    """Say whether Apprise supports a URL."""
    with captured_log():
        return apprise.Apprise.instantiate(url, suppress_exceptions=True) is not None


def failure_reason(lines: list[str]) -> str:
    """Return the reason of a failure from captured lines: the last warning, and the exception behind it."""
    causes = [line.removeprefix(_EXCEPTION_PREFIX) for line in lines if line.startswith(_EXCEPTION_PREFIX)]
    warnings = [line for line in lines if not line.startswith(_EXCEPTION_PREFIX)]
    parts = dict.fromkeys(part.strip(" .") for part in (*warnings[-1:], *causes[-1:]))
    return " ".join(": ".join(parts).split()) or "the service did not accept the message"


class _CaptureFilter(logging.Filter):
    """Collects the warnings and exceptions of the threads that capture; passes no record on."""

    def __init__(self) -> None:
        super().__init__()
        self.captured = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        lines: list[str] | None = getattr(self.captured, "lines", None)
        line = record.getMessage()
        if lines is not None and (record.levelno >= logging.WARNING or line.startswith(_EXCEPTION_PREFIX)):
            lines.append(line)
        return False


_FILTER = _CaptureFilter()
_LOGGER.addFilter(_FILTER)
_LOGGER.setLevel(logging.DEBUG)


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """Yield the lines that Apprise logs in this thread."""
    lines: list[str] = []
    _FILTER.captured.lines = lines
    try:
        yield lines
    finally:
        _FILTER.captured.lines = None
