"""A bound on log lines that callers cause, so that a flood of requests does not fill a disk."""

from __future__ import annotations

import logging
import threading
import time


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
