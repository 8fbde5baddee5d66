"""The server's log: its lines as text or JSON, with the id of their request, and a bound on those that callers cause."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from basecamp.shared.request_facts import REQUEST_ID

LogFormat = Literal["text", "json"]

LINES_PER_SECOND = {
    "basecamp.requests": 100,
    "uvicorn.error": 10,
    "basecamp.server.connections": 1,
    "asyncio": 10,
}
"""Lines that the log takes of what callers cause, so that a flood of requests does not fill a disk."""

_NOISY = ("httpx", "httpcore", "uvicorn.error", "urllib3", "slack_sdk")
_TEXT = "%(asctime)s %(levelname)-7s %(message)s%(in_request)s"
_FIELDS = {"asctime": "time", "levelname": "level", "name": "logger"}


def configure_logging(level: str, form: LogFormat = "text") -> None:
    """Log to stderr, and limit the lines that callers cause.

    Args:
        level: The lowest level of a line, in small letters.
        form: ``json``: an object in each line, with ``time``, ``level``, ``logger``, ``message``, ``request_id``
            within a request, ``exc_info`` for an exception, and the facts of a request's line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_request_id)
    handler.setFormatter(_json() if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for logger, lines in LINES_PER_SECOND.items():
        logging.getLogger(logger).addFilter(LineLimit(lines))


def _json() -> logging.Formatter:
    formatter = JsonFormatter(
        ["message", *_FIELDS],
        rename_fields=_FIELDS,
        reserved_attrs=[*RESERVED_ATTRS, "in_request"],
        json_ensure_ascii=False,
    )
    formatter.converter = time.gmtime
    formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03d+00:00"
    return formatter


def _add_request_id(record: logging.LogRecord) -> bool:
    """Add the id of the request in which a line was written; this thread may work for none."""
    if (request_id := REQUEST_ID.get()) is None:
        record.in_request = ""
    else:
        record.request_id, record.in_request = request_id, f" [{request_id}]"
    return True


class LineLimit(logging.Filter):
    """Passes a number of records in each second; the next one says how many were left out.

    Args:
        per_second: The number of records.
    """

    def __init__(self, per_second: int) -> None:
        super().__init__()
        self._per_second = per_second
        self._lock = threading.Lock()
        self._second = 0
        self._passed = 0
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._passed = second, 0
            if self._passed >= self._per_second:
                self._left_out += 1
                return False
            self._passed += 1
            left_out, self._left_out = self._left_out, 0
        if left_out:
            record.msg, record.args = (
                f"{record.getMessage()} ({left_out:,} lines before it were left out)",
                (),
            )
        return True
