"""The periodic look at the store (specification 6.4), and the one that somebody asks for now."""

from __future__ import annotations

import logging

from basecamp.datasets.takeovers import Takeovers
from basecamp.shared.clock import Clock
from basecamp.shared.lease import Lease
from basecamp.sync.ledger_update import LedgerUpdater
from basecamp.workflows.rows import Workflows
from dataspec.errors import AirflowUnreachable, DliError, Unavailable
from dataspec.models import SyncReport

log = logging.getLogger(__name__)

RETIRED_INTERVAL_SECONDS = 60.0
"""How often to look while a removed dataset's runs come to their end."""


class PeriodicCheck:
    """Checks the store again and again, on one replica at a time.

    What is effective never waits for it: every answer is made from the store as it is.
    """

    def __init__(
        self,
        ledger: LedgerUpdater,
        workflows: Workflows,
        takeovers: Takeovers,
        lease: Lease,
        clock: Clock,
        *,
        interval_seconds: float,
    ) -> None:
        self._takeovers = takeovers
        self._ledger = ledger
        self._workflows = workflows
        self._lease = lease
        self._clock = clock
        self._interval = interval_seconds

    def run(self) -> None:
        """Check again and again, until the server is to end."""
        while True:
            pause = self.check()
            try:
                self._clock.wait(pause)
            except Unavailable:
                return

    def check(self) -> float:
        """Check, unless another replica does, and return how many seconds to wait for the next time."""
        try:
            wait = self._lease.take(self._interval)
            if wait > 0:
                return wait
            self._ledger.reconcile()
            return (
                min(self._interval, RETIRED_INTERVAL_SECONDS) if self._ledger.has_retired else self._interval
            )
        except DliError as error:
            log.warning("The store could not be checked: %s %s", error.title, error.detail or "")
        except Exception:
            log.exception("The check of the store failed")
        return self._interval

    def sync(self) -> SyncReport:
        """Check now, and say what changed since the last check.

        Raises:
            StoreUnreachable: When the store does not answer.
            Conflict: When others kept changing datasets.
        """
        events = self._ledger.reconcile()
        checked, invalid = self._workflows.broken()
        try:
            self._takeovers.look()
            taken_over = self._workflows.taken_over()
        except AirflowUnreachable:
            taken_over = []  # what the store says counts by itself
        return SyncReport(checked=checked, changes=list(events), invalid=invalid, taken_over=taken_over)
