"""Watches Airflow for finished runs of the datasets whose specs have notification channels.

The position is an object in the store, moved by compare-and-swap once the notifications are in the
outbox. After a crash, the next poll starts at the last position; a run that is read twice gets the same
notification ids. All compared times are Airflow's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun, RunFilter
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.notifications.notification import RunEnd
from basecamp.notifications.outbox import Outbox
from basecamp.runs.all_runs import all_runs
from basecamp.runs.failure_reasons import FailureReasons
from basecamp.runs.records import RunRecords
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock, airflow_now
from basecamp.shared.object_reader import ObjectReader
from dataspec.catalog.effective import Catalog
from dataspec.models import RunStatus, WorkflowRun
from dataspec.spec.model import NotificationConfig, Target
from dataspec.store import Store, StoredObject
from dataspec.store.base import etag_of, try_delete, try_put
from dataspec.stored_document import Moment, StoredDocument

KEY = "basecamp/runs.json"
POLL_SECONDS = 10.0
OVERLAP = timedelta(minutes=2)
"""Runs may become visible in another order than they ended, at most this much later."""
LOOK_BACK = timedelta(hours=1)
"""From where a damaged position begins again. No message is sent twice: the outbox keeps their ids for two days."""


class WatchPosition(StoredDocument):
    """The position of the watch in the history of finished runs; one object in the store."""

    since: Moment
    """Runs that ended before are not reported: the time at which the first channel appeared."""
    until: Moment
    """The latest end of a run that was read."""
    runs: frozenset[str] = frozenset()
    """Fingerprints of the ends that were read in the overlap before ``until``."""

    @property
    def start(self) -> datetime:
        """The earliest end to read next."""
        return max(self.since, self.until - OVERLAP)

    def after(self, runs: Sequence[DagRun]) -> WatchPosition:
        """Return the position after reading runs that have ended."""
        ends = {_fingerprint(run): run.end_date for run in runs if run.end_date}
        until = max(self.until, *ends.values())
        kept = frozenset(mark for mark, end in ends.items() if end >= until - OVERLAP)
        return self.changed(until=until, runs=kept)


class RunWatch:
    """Adds notifications of finished runs to the outbox. Runs on every replica.

    Args:
        store: Holds the position.
        gateway: The Airflow that runs the datasets.
        specs: The specs, with their channels.
        records: Reads run records.
        reasons: Finds the errors of failed runs.
        outbox: Takes the notifications.
        clock: The clock.
        objects: Notes a position that this replica can't read.
    """

    def __init__(
        self,
        *,
        store: Store,
        gateway: AirflowGateway,
        specs: CatalogCache,
        records: RunRecords,
        reasons: FailureReasons,
        outbox: Outbox,
        clock: Clock,
        objects: ObjectReader,
    ) -> None:
        self._objects = objects
        self._store = store
        self._gateway = gateway
        self._specs = specs
        self._records = records
        self._reasons = reasons
        self._outbox = outbox
        self._clock = clock
        self._stored: StoredObject | None = None
        self._last: WatchPosition | None = None
        self._idle = False
        self.loop = BackgroundLoop("watch for finished runs", self.poll, retry_seconds=POLL_SECONDS)

    def poll(self) -> float:
        """Add notifications of runs that ended since the last poll; return the seconds until the next one.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            NewerFormat: When a newer version of Basecamp wrote the position.
            StoreUnreachable: When the store does not answer.
        """
        if _watched(self._specs.catalog()):
            self._poll()
        elif not self._idle:
            self._pause()
        return POLL_SECONDS

    def _poll(self) -> None:
        self._idle = False
        self._stored = self._store.get(KEY, known=self._stored)
        position = self._position()
        if position is None:
            return
        runs = self._ended_from(position.start)
        new = [run for run in runs if _fingerprint(run) not in position.runs]
        if new:
            watched = self._watched_when_queued(new)
            self._notify([run for run in new if run.dag_id in watched], watched)
            self._move(position.after(runs))

    def _position(self) -> WatchPosition | None:
        """Return the position; write one where there is none that can be read, and return None."""
        now = airflow_now(self._gateway, self._clock)
        if self._stored is None:
            self._move(WatchPosition(since=now, until=now))
            return None
        found = self._objects.read_or_put_aside(WatchPosition.read, self._stored)
        if found is None:
            self._move(self._last or WatchPosition(since=now - LOOK_BACK, until=now - LOOK_BACK))
        else:
            self._last = found
        return found

    def _ended_from(self, start: datetime) -> list[DagRun]:
        wanted = RunFilter(states=("success", "failed"), ended_from=start)
        runs = all_runs(self._gateway, wanted)
        return [run for run in runs if run.end_date is not None and run.end_date >= start]

    def _watched_when_queued(self, runs: Sequence[DagRun]) -> Mapping[str, NotificationConfig]:
        """Return the datasets with channels, from a catalog that was read after the runs were queued."""
        now = airflow_now(self._gateway, self._clock)
        youngest = min((now - (run.queued_at or run.run_after)).total_seconds() for run in runs)
        return _watched(self._specs.catalog(fresh=youngest <= self._specs.age))

    def _notify(self, runs: list[DagRun], watched: Mapping[str, NotificationConfig]) -> None:
        ended = sorted(runs, key=lambda run: (run.end_date or run.run_after, run.key))
        for run, record in zip(ended, self._records.of(ended), strict=True):
            targets = _targets(record, watched[run.dag_id])
            if not targets:
                continue
            error = record.error or (self._reasons.last_error(run) if run.state == "failed" else None)
            checks = (
                self._gateway.check_results(*run.key) if record.attempts and not record.other_code else []
            )
            self._outbox.announce_run(RunEnd(run=replace(record, error=error, checks=checks)), targets)

    def _move(self, position: WatchPosition) -> None:
        """Store the position, unless another replica moved it: the next poll starts from there."""
        try_put(self._store, KEY, position.body(), expected=etag_of(self._stored))

    def _pause(self) -> None:
        """Delete the position while no spec has a channel: runs that end now are not reported later."""
        if _watched(self._specs.catalog(fresh=True)):
            return
        stored = self._store.get(KEY)
        if stored is not None and WatchPosition.is_newer(stored):
            return
        if stored is not None and not try_delete(self._store, KEY, expected=stored.etag):
            return
        self._stored = self._last = None
        self._idle = True


def _watched(catalog: Catalog) -> dict[str, NotificationConfig]:
    """Return the datasets with channels for runs; removed ones as well, whose last runs may still end."""
    specs = {name: file.spec for name, file in {**catalog.retired, **catalog.effective}.items()}
    found = {name: spec.notifications for name, spec in specs.items() if spec}
    return {name: channels for name, channels in found.items() if channels.on_failure or channels.on_success}


def _targets(run: WorkflowRun, channels: NotificationConfig) -> list[Target]:
    return channels.on_success if run.status is RunStatus.COMPLETED else channels.on_failure


def _fingerprint(run: DagRun) -> str:
    """Return a unique mark of one end of a run; a retried run ends again."""
    end = run.end_date.isoformat() if run.end_date else ""
    return hashlib.sha256(f"{run.dag_id}\x00{run.run_id}\x00{end}".encode()).hexdigest()[:16]
