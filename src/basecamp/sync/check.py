"""The periodic check of the store (specification 6.4), and the check on request."""

from __future__ import annotations

from functools import partial

from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.datasets.takeovers import Takeovers
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock
from basecamp.shared.idempotency import KeyedRequest, Reservations
from basecamp.shared.lease import Lease
from basecamp.shared.waiting import Steps, run_through
from basecamp.sync.ledger_update import LedgerUpdater
from basecamp.workflows.rows import Workflows
from dataspec.errors import AirflowUnreachable
from dataspec.models import SyncReport

RETIRED_INTERVAL_SECONDS = 60.0
"""Seconds between two checks while a removed dataset's runs are active."""

RETRY_SECONDS = 5.0
"""Seconds until the next check after one that failed."""


class PeriodicCheck:
    """Checks the store every few minutes, on one replica at a time.

    Which spec is effective does not depend on it: every answer is made from the store as it is.
    """

    def __init__(
        self,
        ledger: LedgerUpdater,
        workflows: Workflows,
        takeovers: Takeovers,
        lease: Lease,
        *,
        reservations: Reservations,
        clock: Clock,
        interval_seconds: float,
    ) -> None:
        self._takeovers = takeovers
        self._ledger = ledger
        self._workflows = workflows
        self._lease = lease
        self._reservations = reservations
        self._clock = clock
        self._interval = interval_seconds
        self._completed_at: float | None = None
        self.loop = BackgroundLoop("check of the store", self.check, retry_seconds=RETRY_SECONDS)

    def check(self) -> float:
        """Check unless another replica does; return the seconds until the next check.

        Raises:
            StoreUnreachable: When the store does not answer.
            Conflict: When others kept changing datasets.
        """
        wait = self._lease.take(self._interval)
        if wait > 0:
            return wait
        run_through(self._ledger.reconcile(), self._clock)
        self._ledger.complete_history()
        self._completed_at = self._clock.monotonic()
        return min(self._interval, RETIRED_INTERVAL_SECONDS) if self._ledger.has_retired else self._interval

    def age(self) -> float | None:
        """Return how long ago this replica last completed a check, in seconds; None if it never did."""
        return None if self._completed_at is None else self._clock.monotonic() - self._completed_at

    def sync(
        self, *, permitted: PermittedDatasets = EVERY_DATASET, idempotency_key: str | None = None
    ) -> Steps[SyncReport]:
        """Check now, and return what changed since the last check; a second call with the key gets the same report.

        Args:
            permitted: The datasets that the report is about.
            idempotency_key: The key of the request.

        Raises:
            StoreUnreachable: When the store does not answer.
            Conflict: When others kept changing datasets.
        """
        return self._reservations.once_in_steps(
            idempotency_key,
            ["sync", *sorted(permitted.teams or ())],
            SyncReport,
            partial(self._sync, permitted),
        )

    def _sync(self, permitted: PermittedDatasets, keyed: KeyedRequest) -> Steps[SyncReport]:
        keyed.reserve({})
        events = yield from self._ledger.reconcile()
        checked, invalid = self._workflows.broken(permitted)
        try:
            self._takeovers.look()
            taken_over = self._workflows.taken_over(permitted)
        except AirflowUnreachable:
            taken_over = []  # the changes in the store are reported all the same
        changes = [event for event in events if event.dataset_name in permitted]
        return SyncReport(checked=checked, changes=changes, invalid=invalid, taken_over=taken_over)
