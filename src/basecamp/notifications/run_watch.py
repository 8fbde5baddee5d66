"""Watches Airflow for finished runs of the datasets whose specs have notification channels.

The position is an object in the store, moved by compare-and-swap once the notifications are in the
outbox. After a crash, the next poll starts at the last position; a run that is read twice gets the same
notification ids. All compared times are Airflow's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun, RunFilter
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.lateness.records import LatenessRecord, LatenessStore
from basecamp.notifications.notification import RunEnd, Streak
from basecamp.notifications.outbox import Outbox
from basecamp.runs.all_runs import all_runs
from basecamp.runs.failure_reasons import FailureReasons
from basecamp.runs.records import RunRecords
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock, airflow_now
from basecamp.shared.object_reader import ObjectReader
from dataspec.catalog.effective import Catalog
from dataspec.models import RunStatus, WorkflowRun
from dataspec.spec.model import NotificationConfig
from dataspec.store import Store, StoredObject
from dataspec.store.base import etag_of, try_delete, try_put
from dataspec.stored_document import Moment, StoredDocument, StoredPart

KEY = "basecamp/runs.json"
POLL_SECONDS = 10.0
OVERLAP = timedelta(minutes=2)
"""Runs may become visible in another order than they ended, at most this much later."""
REMINDER = timedelta(hours=1)
"""How often runs that fail with the same error are told."""
KEEP_OVER = timedelta(days=1)
"""How long a streak that is over is kept, so that its end is told once."""
LOOK_BACK = timedelta(hours=1)
"""From where a damaged position begins again. No message is sent twice: the outbox keeps their ids for two days."""


class FailureStreak(StoredPart):
    """Failures of a dataset in a row, with the same error."""

    since: Moment
    """The end of the first run."""
    error: str
    """A fingerprint of the error, without its numbers."""
    runs: int = 1
    told_at: Moment
    """The end of the run that was told last."""
    over_at: Moment | None = None
    """The end of the first run that succeeded; None while the dataset fails."""

    def after(self, error: str, end: datetime) -> FailureStreak:
        """Return the streak after another run has failed; a new one for another error."""
        if self.over_at is not None or error != self.error:
            return FailureStreak(since=end, error=error, told_at=end)
        is_told = end - self.told_at >= REMINDER
        return self.changed(runs=self.runs + 1, told_at=end if is_told else self.told_at)


class WatchPosition(StoredDocument):
    """The position of the watch in the history of finished runs; one object in the store."""

    since: Moment
    """Runs that ended before are not reported: the time at which the first channel appeared."""
    until: Moment
    """The latest end of a run that was read."""
    runs: frozenset[str] = frozenset()
    """Fingerprints of the ends that were read in the overlap before ``until``."""
    streaks: Mapping[str, FailureStreak] = {}
    """The failures in a row of each dataset, for a while also those that are over."""

    @property
    def start(self) -> datetime:
        """The earliest end to read next."""
        return max(self.since, self.until - OVERLAP)

    def after(self, runs: Sequence[DagRun], streaks: Mapping[str, FailureStreak]) -> WatchPosition:
        """Return the position after reading runs that have ended."""
        ends = {_fingerprint(run): run.end_date for run in runs if run.end_date}
        until = max(self.until, *ends.values())
        kept = frozenset(mark for mark, end in ends.items() if end >= until - OVERLAP)
        lasting = {
            name: streak
            for name, streak in streaks.items()
            if streak.over_at is None or until - streak.over_at < KEEP_OVER
        }
        return self.changed(until=until, runs=kept, streaks=lasting)


class RunWatch:
    """Adds notifications of finished runs to the outbox. Runs on every replica.

    Args:
        store: Holds the position.
        gateway: The Airflow that runs the datasets.
        specs: The specs, with their channels.
        records: Reads run records.
        reasons: Finds the errors of failed runs.
        outbox: Takes the notifications.
        lateness: Knows which late partitions were told.
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
        lateness: LatenessStore,
        clock: Clock,
        objects: ObjectReader,
    ) -> None:
        self._lateness = lateness
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
            streaks = dict(position.streaks)
            self._notify([run for run in new if run.dag_id in watched], watched, streaks)
            self._move(position.after(runs, streaks))

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

    def _notify(
        self,
        runs: list[DagRun],
        watched: Mapping[str, NotificationConfig],
        streaks: dict[str, FailureStreak],
    ) -> None:
        """Announce ends of runs; take the streaks of their datasets on."""
        ended = sorted(runs, key=lambda run: (run.end_date or run.run_after, run.key))
        for run, record in zip(ended, self._records.of(ended), strict=True):
            targets, found = watched[run.dag_id], record
            if record.attempts and not record.other_code:
                found = replace(record, checks=self._gateway.check_results(*run.key))
            if found.status is RunStatus.COMPLETED:
                self._outbox.announce_run(RunEnd(run=found), targets.on_success)
                self._tell_recovery(found, targets, streaks)
            else:
                error = found.error or (self._reasons.last_error(run) if run.state == "failed" else None)
                self._tell_failure(replace(found, error=error), targets, streaks)

    def _tell_failure(
        self, run: WorkflowRun, targets: NotificationConfig, streaks: dict[str, FailureStreak]
    ) -> None:
        """Announce a failed run; of runs that fail with the same error one in an hour, and every stopped run."""
        streak, end = None, run.finished_at
        if run.status is RunStatus.FAILED and end is not None:
            before, error = streaks.get(run.dataset_name), _fingerprint_of_error(run.error)
            known = before.after(error, end) if before else FailureStreak(since=end, error=error, told_at=end)
            streaks[run.dataset_name] = known
            if known.told_at != end:
                return
            streak = Streak(runs=known.runs, since=known.since) if known.runs > 1 else None
        self._outbox.announce_run(RunEnd(run=run, streak=streak), targets.on_failure)

    def _tell_recovery(
        self, run: WorkflowRun, targets: NotificationConfig, streaks: dict[str, FailureStreak]
    ) -> None:
        """Announce the first success after a failure or lateness."""
        name, end, streak = run.dataset_name, run.finished_at, streaks.get(run.dataset_name)
        if end is None:
            return
        late = self._lateness.read().document.datasets.get(name)
        fails = streak is not None and streak.over_at is None and streak.since < end
        was_late = (
            late is not None and (streak is None or _is_told_later(late, streak)) and _was_late(run, late)
        )
        if fails or was_late:
            message = self._outbox.messages.of_recovery(run)
            self._outbox.put_message(message, [RunEnd(run=run).key], targets.on_recovered)
            over = streak or FailureStreak(since=end, error="", told_at=end)
            streaks[name] = over.changed(over_at=end)

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
    return {
        name: channels
        for name, channels in found.items()
        if channels.on_failure or channels.on_success or channels.on_recovered
    }


def _was_late(run: WorkflowRun, late: LatenessRecord) -> bool:
    """Return whether a success ends lateness: it came after that was told, or built a partition that was told."""
    end = run.finished_at
    came_after = late.told_at is not None and end is not None and late.told_at < end
    return came_after or (run.partition is not None and run.partition.name in late.told)


def _is_told_later(late: LatenessRecord, streak: FailureStreak) -> bool:
    return late.told_at is not None and streak.over_at is not None and late.told_at > streak.over_at


def _fingerprint_of_error(error: str | None) -> str:
    """Return a mark that is the same for errors that differ in numbers alone, such as times and counts."""
    plain = re.sub(r"[0-9]+", "0", error or "")
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def _fingerprint(run: DagRun) -> str:
    """Return a unique mark of one end of a run; a retried run ends again."""
    end = run.end_date.isoformat() if run.end_date else ""
    return hashlib.sha256(f"{run.dag_id}\x00{run.run_id}\x00{end}".encode()).hexdigest()[:16]
