"""Record the runs that people start in Airflow itself in the audit log (specification 26.88)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from basecamp.access.audit.log import AuditLog
from basecamp.access.audit.records import Actor, Target
from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun, RunFilter
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.runs.all_runs import all_runs
from basecamp.runs.records import requested_by
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock, airflow_now
from basecamp.shared.lease import Lease
from dataspec.models import IN_AIRFLOW

LOOK_SECONDS = 60.0
RETRY_SECONDS = 10.0
OVERLAP = timedelta(minutes=5)
"""A run may become visible this much later than its time."""
LOOK_BACK = timedelta(hours=1)
"""From where a replica begins that takes over. No run gets two entries: its time and id name its entry."""


class AirflowStarts:
    """Looks for the runs that no request to Basecamp has started, on one replica at a time.

    Args:
        gateway: The Airflow that runs the datasets.
        specs: The specs: runs of other DAGs are not recorded.
        audit: Takes the entries.
        lease: Held by the replica that looks.
        clock: The clock.
    """

    def __init__(
        self, gateway: AirflowGateway, specs: CatalogCache, audit: AuditLog, lease: Lease, clock: Clock
    ) -> None:
        self._gateway = gateway
        self._specs = specs
        self._audit = audit
        self._lease = lease
        self._clock = clock
        self._looked_at: datetime | None = None
        self.loop = BackgroundLoop("watch for runs of Airflow's own", self.look, retry_seconds=RETRY_SECONDS)

    def look(self) -> float:
        """Record the runs since the last look, unless another replica does; return the seconds until the next one.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer.
        """
        wait = self._lease.take(LOOK_SECONDS)
        if wait > 0:
            self._looked_at = None
            return wait
        now = airflow_now(self._gateway, self._clock)
        since = self._looked_at or now - LOOK_BACK
        datasets = self._specs.catalog().effective
        for run in all_runs(self._gateway, RunFilter(run_types=("manual",), due_from=since - OVERLAP)):
            if run.dag_id in datasets and requested_by(run) == IN_AIRFLOW:
                self._record(run)
        self._looked_at = now
        return LOOK_SECONDS

    def _record(self, run: DagRun) -> None:
        mark = hashlib.sha256("\0".join(run.key).encode()).hexdigest()[:16]
        self._audit.record(
            Actor(name=IN_AIRFLOW, method="airflow"),
            "run",
            Target(dataset=run.dag_id, run_id=run.run_id),
            at=run.run_after.astimezone(UTC),
            mark=mark,
        )
