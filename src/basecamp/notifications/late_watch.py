"""Tells of late partitions, slow runs, and a scheduler that is lost (docs/lateness.md).

One replica looks at a time. What was told is in the store, written once the messages are in the outbox: after a crash
the next look finds the same again, under the same ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from basecamp.airflow.gateway import AirflowGateway
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.lateness.late_datasets import LateDataset, LateDatasets, LateNow
from basecamp.lateness.records import LatenessDocument, LatenessRecord, LatenessStore
from basecamp.notifications.notification import LateNotice, SlowRun
from basecamp.notifications.outbox import Outbox
from basecamp.shared.background import BackgroundLoop
from basecamp.shared.clock import Clock, airflow_now
from basecamp.shared.lease import Lease
from basecamp.workflows.why import PartitionReasons
from dataspec.errors import DliError
from dataspec.models import PartitionReason
from dataspec.parameters import ParameterValueError
from dataspec.schedule.built import Built
from dataspec.schedule.deadlines import MAX_LOOKED_AT
from dataspec.schedule.partitions import Grid
from dataspec.spec.model import DatasetSpec, Target

LOOK_SECONDS = 10.0
LEASE_SECONDS = 30.0
REMINDER = timedelta(hours=1)
"""How often a dataset that has further late partitions is told of."""
SCHEDULER_LOST = timedelta(seconds=60)
"""How old the last heartbeat of a scheduler may be."""


class LateWatch:
    """Puts messages about lateness into the outbox. Runs on every replica; one looks at a time.

    Args:
        late: Knows what is late.
        records: What was told.
        specs: The specs, with their channels.
        reasons: Knows why a partition is not there.
        gateway: The Airflow that runs the datasets.
        outbox: Takes the messages.
        alerts: Who is told of the scheduler.
        lease: Lets one replica look at a time.
        clock: The clock.
    """

    def __init__(
        self,
        *,
        late: LateDatasets,
        records: LatenessStore,
        specs: CatalogCache,
        reasons: PartitionReasons,
        gateway: AirflowGateway,
        outbox: Outbox,
        alerts: Sequence[Target],
        lease: Lease,
        clock: Clock,
    ) -> None:
        self._late = late
        self._records = records
        self._specs = specs
        self._reasons = reasons
        self._gateway = gateway
        self._outbox = outbox
        self._alerts = alerts
        self._lease = lease
        self._clock = clock
        self.loop = BackgroundLoop("watch for late datasets", self.look, retry_seconds=LOOK_SECONDS)

    def look(self) -> float:
        """Tell what has become late; return the seconds until the next look.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and what was built is not known.
            NewerFormat: When a newer version of Basecamp wrote what was told.
            StoreUnreachable: When the store does not answer.
        """
        if (others := self._lease.take(LEASE_SECONDS)) > 0:
            return min(others, LOOK_SECONDS)
        self._tell_late()
        self._tell_slow()
        self._tell_scheduler()
        return LOOK_SECONDS

    def _tell_late(self) -> None:
        found = self._late.look()
        if found.held is not None:
            datasets = {name: self._told(name, record, found) for name, record in found.records.items()}
            self._records.write(found.held, found.held.document.changed(datasets=datasets))

    def _told(self, name: str, record: LatenessRecord, found: LateNow) -> LatenessRecord:
        """Tell of late partitions that were not told; return the record after that."""
        late, built = found.datasets.get(name), found.built[name]
        told = {
            partition: since
            for partition, since in list(record.told.items())[-MAX_LOOKED_AT:]
            if not _is_built(partition, built)
        }
        new = [one for one in late.late if one.partition.name not in told] if late else []
        is_streak = bool(told) and record.told_at is not None and found.at - record.told_at < REMINDER
        if late is None or not new or is_streak:
            return record if told == record.told else record.changed(told=told)
        spec = late.file.spec
        if spec is not None and spec.notifications.on_late:
            message = self._outbox.messages.of_late(self._notice(name, late, found.as_known))
            subjects = [f"late/{name}/{one.partition.name}/{one.since.isoformat()}" for one in new]
            self._outbox.put_message(message, subjects, spec.notifications.on_late)
        return record.changed(told=told | {one.partition.name: one.since for one in new}, told_at=found.at)

    def _notice(self, name: str, late: LateDataset, as_known: str | None) -> LateNotice:
        return LateNotice(
            dataset=name,
            late=late.late,
            labels=tuple(late.grid.label(one.partition) for one in late.late),
            reason=self._reason(name, late.late[0].partition.name),
            as_known=as_known,
        )

    def _reason(self, name: str, partition: str) -> PartitionReason | None:
        """Return why a partition is not there; None while that can't be found out."""
        with suppress(DliError):
            return self._reasons.explain(name, partition).value
        return None

    def _tell_slow(self) -> None:
        limits = dict(_limits(self._specs.known().value.specs))
        if not limits:
            return
        now = airflow_now(self._gateway, self._clock)
        for attempt in self._gateway.running_attempts():
            spec, began = limits.get(attempt.dag_id), attempt.start_date
            seconds = spec.deadline.max_duration_seconds if spec and spec.deadline else None
            if spec and seconds and began and now - began > timedelta(seconds=seconds):
                slow = SlowRun(dataset=spec.name, run_id=attempt.run_id, since=began, limit_seconds=seconds)
                subject = f"slow/{spec.name}/{attempt.run_id}/{attempt.try_number}"
                message = self._outbox.messages.of_slow(slow)
                self._outbox.put_message(message, [subject], spec.notifications.on_late)

    def _tell_scheduler(self) -> None:
        if not self._alerts:
            return
        heartbeat = self._gateway.health().scheduler_heartbeat
        held = self._records.read()
        lost_at = held.document.scheduler_lost_at
        is_lost = heartbeat is not None and self._is_lost(heartbeat)
        if is_lost and lost_at is None:
            self._alert(heartbeat, lost=True, since=heartbeat)
            self._records.write(held, _with_scheduler(held.document, heartbeat))
        elif not is_lost and lost_at is not None:
            self._alert(heartbeat, lost=False, since=lost_at)
            self._records.write(held, _with_scheduler(held.document, None))

    def _is_lost(self, heartbeat: datetime) -> bool:
        return airflow_now(self._gateway, self._clock) - heartbeat > SCHEDULER_LOST

    def _alert(self, heartbeat: datetime | None, *, lost: bool, since: datetime | None) -> None:
        message = self._outbox.messages.of_scheduler(heartbeat, lost=lost)
        subject = f"scheduler/{since.isoformat() if since else ''}/{'lost' if lost else 'back'}"
        self._outbox.put_message(message, [subject], self._alerts)


def _limits(specs: dict[str, DatasetSpec]) -> list[tuple[str, DatasetSpec]]:
    """Return the datasets that want to know of slow runs."""
    return [
        (name, spec)
        for name, spec in specs.items()
        if spec.deadline and spec.deadline.max_duration_seconds and spec.notifications.on_late
    ]


def _is_built(partition: str, built: Built) -> bool:
    """Return whether a partition was built, or is not one of the schedule any more."""
    try:
        return built.covers(Grid(built.grid.cron, built.grid.timezone).named(partition))
    except ParameterValueError:
        return True


def _with_scheduler(document: LatenessDocument, lost_at: datetime | None) -> LatenessDocument:
    return document.changed(scheduler_lost_at=lost_at)
