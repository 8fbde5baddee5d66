"""Bound what refused requests write: an entry each for known callers, one a minute for all unknown ones."""

from __future__ import annotations

import threading
from collections import Counter

from basecamp.access.attempts import AttemptLimit
from basecamp.access.audit.log import AuditLog
from basecamp.access.audit.records import Actor, Target
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock
from dataspec.errors import TooManyRequests, Unauthorized

MINUTE = 60.0
RETRY_SECONDS = 10.0
ENTRIES_A_MINUTE = 10
"""Maximum number of entries for the refused requests of one caller; further ones are counted only."""
MAX_COUNTED = 20
"""Maximum number of reasons, and of addresses, that are counted each by itself."""
OTHERS = "others"
UNKNOWN_CALLERS = "unknown callers"


class RefusedRequests:
    """Counts refused requests, and stores the counts once a minute. Safe to share between threads.

    Args:
        audit: The audit log.
        clock: The clock.
    """

    def __init__(self, audit: AuditLog, clock: Clock) -> None:
        self._audit = audit
        self._limit = AttemptLimit(ENTRIES_A_MINUTE, MINUTE, clock.monotonic)
        self._lock = threading.Lock()
        self._reasons: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self.loop = BackgroundLoop("count of refused requests", self.turn, retry_seconds=RETRY_SECONDS)

    def takes(self, actor: Actor) -> bool:
        """Return whether a refused request of a known caller gets an entry of its own; count it if not."""
        try:
            self._limit.count(actor.identity or actor.name)
        except TooManyRequests:
            self.count(actor.address, f"{actor.name} has not the role")
            return False
        return True

    def count(self, address: str, reason: str) -> None:
        """Count a request without an entry of its own."""
        with self._lock:
            for counts, name in ((self._reasons, reason), (self._addresses, address)):
                counts[name if name in counts or len(counts) < MAX_COUNTED else OTHERS] += 1

    def turn(self) -> float:
        """Store what was counted since the last time, if anything was; return the seconds until the next time.

        Raises:
            StoreUnreachable: When the store does not answer; the counts are kept.
        """
        with self._lock:
            reasons, addresses = self._reasons.copy(), self._addresses.copy()
        if reasons:
            told = Unauthorized(f"{_listed(reasons)}; from {_listed(addresses)}")
            self._audit.record(
                Actor(name=UNKNOWN_CALLERS, method="none"),
                "refused requests",
                Target(),
                status=told.http_status,
                error=told,
                count=reasons.total(),
            )
            with self._lock:
                self._reasons, self._addresses = self._reasons - reasons, self._addresses - addresses
        return MINUTE


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name.rstrip('.')} ({count})" for name, count in counts.most_common())
