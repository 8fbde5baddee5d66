"""The reconciler advances active backfills on every replica; a lease gives each backfill to one replica at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from basecamp.backfills.plans import PlanStore
from basecamp.backfills.steps import BackfillSteps
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock
from basecamp.shared.lease import Lease
from basecamp.shared.waiting import run_through
from dataspec.errors import DliError, Unavailable

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Seconds between two lists of active backfills, for those that other replicas started or left."""
LEASE_SECONDS = 8.0
"""How long a replica that died keeps its backfills."""
RENEW_SECONDS = 3.0
TROUBLE_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""Seconds until the next try while Airflow or the store does not answer."""
LOOKS_A_SECOND = 20
"""Maximum number of looks at runs per second, for all backfills of this replica together."""
WORKERS = 16
"""Maximum number of backfills advanced at once; a waiting backfill takes no thread."""


class _Followed:
    """One backfill as this replica follows it: its lease, and when to look at it next."""

    def __init__(self, lease: Lease, due: float) -> None:
        self.lease = lease
        self.due = due
        self.renew_at = due
        self.troubles = 0
        self.busy = False
        self.again = False
        """Whether to look again as soon as the present look is over."""


class Reconciler:
    """Advances every active backfill.

    The lease saves work; two replicas that advance one backfill at once do no harm.

    Args:
        steps: Advances a backfill.
        plans: The plans in the store.
        lease: Returns the lease of a dataset's backfill.
        clock: The clock.
    """

    def __init__(
        self, steps: BackfillSteps, plans: PlanStore, lease: Callable[[str], Lease], clock: Clock
    ) -> None:
        self._steps = steps
        self._plans = plans
        self._lease = lease
        self._clock = clock
        self._state = threading.Lock()
        self._followed: dict[str, _Followed] = {}
        self._listed_at: float | None = None
        self._has_listed = False
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="backfill")
        self._ending = False
        self.loop = BackgroundLoop("look at backfills", self.look, retry_seconds=LOOK_SECONDS)

    def end(self) -> None:
        """Begin no further step. A step that runs may be cut off."""
        with self._state:
            self._ending = True
            self._workers.shutdown(wait=False, cancel_futures=True)
        self.loop.end()

    def count(self) -> int | None:
        """Return the number of active backfills, as of the last list; None before the first one."""
        with self._state:
            return len(self._followed) if self._has_listed else None

    def wake(self, dataset: str) -> None:
        """Look at a dataset's backfill at once, after its start or a change on this replica."""
        with self._state:
            followed = self._follow(dataset)
            followed.due, followed.again = self._clock.monotonic(), followed.busy
        self.loop.wake()

    def look(self) -> float:
        """Begin the due looks, each in a thread of its own; return the seconds until the next one."""
        now = self._clock.monotonic()
        if self._listed_at is None or now - self._listed_at >= LOOK_SECONDS:
            self._listed_at = now
            self._list()
        with self._state:
            for dataset, followed in self._followed.items():
                if not followed.busy and followed.due <= now and not self._ending:
                    followed.busy = True
                    self._workers.submit(self._turn, dataset, followed)
            waiting = [followed.due for followed in self._followed.values() if not followed.busy]
        soonest = min([self._listed_at + LOOK_SECONDS, *waiting])
        return max(soonest - self._clock.monotonic(), 0.0)

    def _list(self) -> None:
        try:
            active = self._plans.active_datasets()
        except DliError as error:
            log.warning("The backfills could not be listed: %s %s", error.title, error.detail or "")
            return
        with self._state:
            self._has_listed = True
            for dataset in active:
                self._follow(dataset)

    def _follow(self, dataset: str) -> _Followed:
        if dataset not in self._followed:
            self._followed[dataset] = _Followed(self._lease(dataset), self._clock.monotonic())
        return self._followed[dataset]

    def _turn(self, dataset: str, followed: _Followed) -> None:
        pause: float | None = LOOK_SECONDS
        try:
            pause = self._carry_on(dataset, followed)
        except Unavailable as error:
            pause = self._after_trouble(dataset, followed, error)
        except DliError as error:
            log.warning("The backfill of %s waits: %s %s", dataset, error.title, error.detail or "")
        except Exception:
            log.exception("A step of the backfill of %s failed", dataset)
        with self._state:
            if pause is None and not followed.again:
                self._followed.pop(dataset, None)
            share = min(len(self._followed) / LOOKS_A_SECOND, LOOK_SECONDS)
            followed.due = self._clock.monotonic() + (0.0 if followed.again else max(pause or 0.0, share))
            followed.busy = followed.again = False
        self.loop.wake()

    def _carry_on(self, dataset: str, followed: _Followed) -> float | None:
        if self._clock.monotonic() >= followed.renew_at:
            others = followed.lease.take(LEASE_SECONDS)
            if others > 0:
                return min(others, LOOK_SECONDS) if self._plans.active(dataset) else None
            followed.renew_at = self._clock.monotonic() + RENEW_SECONDS
        pause = run_through(self._steps.advance(dataset), self._clock)
        if pause is None:
            followed.lease.release()
        followed.troubles = 0
        return pause

    def _after_trouble(self, dataset: str, followed: _Followed, error: DliError) -> float:
        """Leave the backfill to other replicas, which may reach Airflow; return the seconds until the next try."""
        with suppress(DliError):
            followed.lease.release()
        followed.renew_at = self._clock.monotonic()
        if not followed.troubles:
            log.warning("The backfill of %s waits: %s %s", dataset, error.title, error.detail or "")
        pause = TROUBLE_SECONDS[min(followed.troubles, len(TROUBLE_SECONDS) - 1)]
        followed.troubles += 1
        return pause
