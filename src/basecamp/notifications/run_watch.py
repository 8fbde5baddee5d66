"""Watches Airflow for ended runs of datasets whose specs name notification channels.

How far it has come is kept in the store and moved on by compare-and-swap, once the
notices are in the outbox: whatever dies, the next look begins where the last one was
done, and what is found twice has the same ids. The moments compared are all Airflow's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun, RunFilter
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.notifications.notice import RunEnd
from basecamp.notifications.outbox import Outbox
from basecamp.runs.all_runs import all_runs
from basecamp.runs.failure_reasons import FailureReasons
from basecamp.runs.records import RunRecords
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock
from dataspec.catalog.effective import Catalog
from dataspec.models import RunStatus, WorkflowRun
from dataspec.spec.model import NotificationConfig, Target
from dataspec.store import Store, StoredObject
from dataspec.store.base import MISSING, PreconditionFailed

KEY = "basecamp/runs.json"
FORMAT = 1
LOOK_SECONDS = 10.0
OVERLAP = timedelta(minutes=2)
"""How much later than another one that ended after it a run may become visible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How far the watch has come."""

    since: datetime
    """Nothing that ended before is told: when the first channel was found."""
    until: datetime
    """The latest end of a run that was seen."""
    runs: frozenset[str] = frozenset()
    """The ends that were seen in the overlap before that."""

    @property
    def begins(self) -> datetime:
        """From when on runs are looked at."""
        return max(self.since, self.until - OVERLAP)

    def and_now(self, runs: Sequence[DagRun]) -> Seen:
        """Return it with runs that have ended."""
        ends = {_mark(run): run.end_date for run in runs if run.end_date}
        until = max(self.until, *ends.values())
        kept = frozenset(mark for mark, end in ends.items() if end >= until - OVERLAP)
        return replace(self, until=until, runs=kept)

    def body(self) -> bytes:
        """Return what :meth:`read` reads."""
        return json.dumps(
            {
                "format": FORMAT,
                "since": self.since.isoformat(),
                "until": self.until.isoformat(),
                "runs": sorted(self.runs),
            }
        ).encode()

    @classmethod
    def read(cls, stored: StoredObject | None) -> Seen | None:
        """Return what an object says; None where there is none, or one of another form."""
        try:
            data = json.loads(stored.body) if stored else {}
            if data.get("format") != FORMAT:
                return None
            return cls(
                since=datetime.fromisoformat(data["since"]),
                until=datetime.fromisoformat(data["until"]),
                runs=frozenset(data["runs"]),
            )
        except (ValueError, LookupError, TypeError, AttributeError):
            return None


class RunWatch:
    """Puts the ends of runs into the outbox. Every replica may watch.

    Args:
        store: Where the watch keeps how far it has come.
        gateway: The Airflow that runs the datasets.
        specs: Who is to be told.
        records: Tells what belongs to a run.
        reasons: Tells why one failed.
        outbox: Where the notices go.
        clock: The clock.
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
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._specs = specs
        self._records = records
        self._reasons = reasons
        self._outbox = outbox
        self._clock = clock
        self._stored: StoredObject | None = None
        self._resting = False
        self.loop = BackgroundLoop("look for ended runs", self.look, retry_seconds=LOOK_SECONDS)

    def look(self) -> float:
        """Put the new ends of runs into the outbox; return the seconds until the next look.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer.
        """
        watched = _watched(self._specs.catalog())
        if watched:
            self._look(watched)
        elif not self._resting:
            self._rest()
        return LOOK_SECONDS

    def _look(self, watched: Mapping[str, NotificationConfig]) -> None:
        self._resting = False
        self._stored = self._store.get(KEY, known=self._stored)
        seen = Seen.read(self._stored)
        if seen is None:
            now = self._clock.now()
            self._move(Seen(since=now, until=now))
            return
        runs = self._ended_from(seen.begins)
        new = [run for run in runs if _mark(run) not in seen.runs]
        if new:
            self._tell([run for run in new if run.dag_id in watched], watched)
            self._move(seen.and_now(runs))

    def _ended_from(self, begins: datetime) -> list[DagRun]:
        wanted = RunFilter(states=("success", "failed"), ended_from=begins)
        runs = all_runs(self._gateway, wanted)
        return [run for run in runs if run.end_date is not None and run.end_date >= begins]

    def _tell(self, runs: list[DagRun], watched: Mapping[str, NotificationConfig]) -> None:
        ended = sorted(runs, key=lambda run: (run.end_date or run.run_after, run.key))
        for run, record in zip(ended, self._records.of(ended), strict=True):
            targets = _targets(record, watched[run.dag_id])
            if not targets:
                continue
            error = record.error or (self._reasons.last_error(run) if run.state == "failed" else None)
            self._outbox.announce_run(RunEnd(run=replace(record, error=error)), targets)

    def _move(self, seen: Seen) -> None:
        try:
            etag = self._stored.etag if self._stored else MISSING
            self._store.put(KEY, seen.body(), expected=etag)
        except PreconditionFailed:
            return  # another replica was first; the next look begins from where it is

    def _rest(self) -> None:
        """Forget how far it had come while nobody is to be told: what ends now is not told later."""
        stored = self._store.get(KEY)
        if stored is not None:
            try:
                self._store.delete(KEY, expected=stored.etag)
            except PreconditionFailed:
                return
        self._stored = None
        self._resting = True


def _watched(catalog: Catalog) -> dict[str, NotificationConfig]:
    """Return the datasets with somebody to tell of their runs; removed ones too, while runs of them end."""
    specs = {name: file.spec for name, file in {**catalog.retired, **catalog.effective}.items()}
    found = {name: spec.schedule.notifications for name, spec in specs.items() if spec and spec.schedule}
    return {name: to_tell for name, to_tell in found.items() if to_tell.on_failure or to_tell.on_success}


def _targets(run: WorkflowRun, to_tell: NotificationConfig) -> list[Target]:
    return to_tell.on_success if run.status is RunStatus.COMPLETED else to_tell.on_failure


def _mark(run: DagRun) -> str:
    """Return what tells one end of a run from all others; a run that is retried ends again."""
    end = run.end_date.isoformat() if run.end_date else ""
    return hashlib.sha256(f"{run.dag_id}\x00{run.run_id}\x00{end}".encode()).hexdigest()[:16]
