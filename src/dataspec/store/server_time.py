"""The time of an S3 server's clock, by the ``Date`` of its responses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

CUT: Final = timedelta(seconds=1)
"""A ``Date`` is cut to the second."""


class ServerClock:
    """Estimates the server's time, and errs only to the past. Safe to share between threads.

    Each response bounds by how much the server's clock is ahead of this machine's; together they bound it ever more
    closely, until one of the clocks is set.
    """

    def __init__(self) -> None:
        self._ahead: tuple[timedelta, timedelta] | None = None

    def local(self) -> datetime:
        """Return this machine's time."""
        return datetime.now(UTC)

    def now(self) -> datetime:
        """Return the server's time at the earliest; this machine's before the first response."""
        return self.local() + (self._ahead[0] if self._ahead else timedelta())

    def learn(self, date: datetime, sent_at: datetime, answered_at: datetime) -> None:
        """Take the date of a response, with this machine's times before and after the request."""
        least, most = date - answered_at, date + CUT - sent_at
        if self._ahead is not None:
            lower, upper = max(least, self._ahead[0]), min(most, self._ahead[1])
            if lower <= upper:
                least, most = lower, upper
        self._ahead = least, most
