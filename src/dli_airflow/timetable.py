"""The timetable of a dataset: Airflow's interface to :mod:`dataspec.schedule.next_run`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pendulum

from dataspec.contract import SCHEDULED, TIMETABLE_RUN_TYPES
from dataspec.schedule.cron import next_tick, previous_tick
from dataspec.schedule.next_run import ScheduledRun, next_run, run_to_create
from dataspec.schedule.run_ids import scheduled_run_id
from dli_airflow.airflow_api import (
    AIRFLOW_2,
    AirflowPlugin,
    DagRunInfo,
    DataInterval,
    TimeRestriction,
    Timetable,
    run_type_name,
)

if AIRFLOW_2:
    from dli_airflow.stored_runs import StoredRuns

_MOMENT = timedelta(microseconds=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LastRun(DagRunInfo):
    """The last run, with the run that Airflow planned after it."""

    planned: DagRunInfo | None = None


class RunPassedOver(Exception):
    """Stops Airflow 2.11 from creating a missed run that a later run replaces; Airflow logs the message."""


class DatasetTimetable(Timetable):
    """Schedules one dataset: a run at each tick of a cron expression, for the interval that ends there.

    It is Airflow's ``CronDataIntervalTimetable`` with the rules of ``docs/architecture.md``, "When a scheduled
    run is due", and with run ids that contain the dataset's name. The start of a run's interval encodes the
    ``execution_date`` that it builds; the next run continues from that date, also after a change of cron or zone.

    Args:
        dataset: The dataset's name, for run ids: Airflow does not pass the DAG's id.
        cron: A cron expression of five fields.
        zone: The IANA time zone of the expression.
        registered_at: No run is due for a tick before it.
        catch_up: Whether every run that was missed is created, and not the latest alone.
        now: Returns the current time.
    """

    def __init__(
        self,
        dataset: str,
        cron: str,
        zone: str,
        registered_at: datetime,
        *,
        catch_up: bool = False,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.dataset = dataset
        self.cron = cron
        self.zone = zone
        self.registered_at = registered_at
        self.catch_up = catch_up
        self.description = f"{cron} in {zone}"
        self._now = now

    def serialize(self) -> dict[str, Any]:
        """Return the timetable as JSON for :meth:`deserialize`."""
        return {
            "dataset": self.dataset,
            "cron": self.cron,
            "zone": self.zone,
            "registered_at": self.registered_at.isoformat(),
            "catch_up": self.catch_up,
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> DatasetTimetable:
        """Return the timetable that :meth:`serialize` wrote, of this version or an older one."""
        registered_at = datetime.fromisoformat(data["registered_at"])
        catch_up = data.get("catch_up", False)
        return cls(data["dataset"], data["cron"], data["zone"], registered_at, catch_up=catch_up)

    @property
    def summary(self) -> str:
        """The schedule as Airflow's lists show it."""
        return f"{self.cron} ({self.zone})"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next scheduled run. Airflow 2.11 passes an interval alone; the rest is read from its database."""
        interval = last_automated_data_interval
        last = interval and LastRun(interval.end, interval)
        if last is not None and AIRFLOW_2 and not restriction.catchup:
            stored = self._stored()
            last = LastRun(*stored.last(interval))
            last.planned = stored.planned()
        return self.next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction)

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next scheduled run; Airflow creates it when it is due.

        Only Airflow's own backfill sets ``restriction.catchup``; it gets every interval in order.
        """
        last = last_dagrun_info and _run(last_dagrun_info)
        if restriction.catchup:
            following = self._every(last, restriction)
        else:
            planned = getattr(last_dagrun_info, "planned", None)
            following = self._next(last, planned and _run(planned))
        if following is None or following.logical_date is None:
            return None
        start = following.logical_date.replace(microsecond=0)
        return None if restriction.latest is not None and start > restriction.latest else following

    def next_run_info_from_dag_model(self, *, dag_model: Any) -> DagRunInfo | None:
        """Return the run that the scheduler is about to create: the latest that is due (Airflow 3).

        Airflow calculated it when it last parsed the DAG. After a pause or a downtime, several intervals may
        have ended since; only the latest runs.
        """
        stored = super().next_run_info_from_dag_model(dag_model=dag_model)
        return stored and self._to_create(stored)

    def run_info_from_dag_run(self, *, dag_run: Any) -> DagRunInfo:
        """Return an existing run, with the run that Airflow planned after it (Airflow 3).

        Airflow also passes a manual run whose logical date is the start of the next interval: no second run
        can have that date.
        """
        if run_type_name(dag_run.run_type) not in TIMETABLE_RUN_TYPES:
            return DagRunInfo.exact(_pendulum(dag_run.logical_date))
        if dag_run.data_interval_start is None:
            return super().run_info_from_dag_run(dag_run=dag_run)
        interval = DataInterval(_pendulum(dag_run.data_interval_start), _pendulum(dag_run.data_interval_end))
        last = LastRun(_pendulum(dag_run.run_after), interval)
        if dag_run.dag_model is not None:
            last.planned = super().next_run_info_from_dag_model(dag_model=dag_run.dag_model)
        return last

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        """Return the last interval that had ended when a manual run was triggered."""
        end = previous_tick(self.cron, self.zone, _plain(run_after) + _MOMENT)
        return DataInterval(*map(_pendulum, (previous_tick(self.cron, self.zone, end), end)))

    def generate_run_id(
        self,
        *,
        run_type: Any,
        data_interval: DataInterval | None = None,
        run_after: datetime | None = None,
        **extra: Any,
    ) -> str:
        """Return the id of a scheduled run, with the dataset's name; other runs get Airflow's own ids.

        Airflow 3 passes ``run_after``. Airflow 2.11 passes ``logical_date`` instead, and calls this when it is
        about to create the stored run.

        Raises:
            RunPassedOver: When the stored run was missed and a later one is due (2.11). Airflow logs the
                message and creates the later run in its next round.
        """
        if run_type == SCHEDULED and data_interval is not None:
            return scheduled_run_id(self.dataset, run_after or self._due(data_interval))
        if run_after is not None:
            extra["run_after"] = run_after
        own: str = super().generate_run_id(run_type=run_type, data_interval=data_interval, **extra)
        return own

    def _stored(self) -> StoredRuns:
        return StoredRuns(self.dataset)

    def _due(self, interval: DataInterval) -> datetime:
        """Return when a run is due that Airflow 2.11 is about to create for an interval."""
        stored = self._stored()
        planned = stored.planned()
        if planned is None or planned.data_interval != interval:
            return _plain(interval.end)
        created = self._to_create(planned)
        if created != planned:
            stored.plan(created)
            raise RunPassedOver(
                f"The run of {self.dataset} due at {planned.run_after} was missed, and a later one has become "
                f"due since: Airflow creates the one of {created.run_after} in its place. Nothing is to be done; "
                "for what was missed: dli workflow backfill."
            )
        return _plain(planned.run_after)

    def _to_create(self, planned: DagRunInfo) -> DagRunInfo:
        run = _run(planned)
        if run is None:
            return planned
        return _info(
            run_to_create(
                self.cron,
                self.zone,
                planned=run,
                registered_at=self.registered_at,
                now=self._now(),
                catch_up=self.catch_up,
            )
        )

    def _next(self, last: ScheduledRun | None, planned: ScheduledRun | None) -> DagRunInfo:
        return _info(
            next_run(
                self.cron,
                self.zone,
                last=last,
                planned=planned,
                registered_at=self.registered_at,
                now=self._now(),
                catch_up=self.catch_up,
            )
        )

    def _every(self, last: ScheduledRun | None, restriction: TimeRestriction) -> DagRunInfo | None:
        if last is None and restriction.earliest is None:
            return None
        after = last.interval[0] if last else _plain(restriction.earliest) - _MOMENT
        start = next_tick(self.cron, self.zone, after)
        interval = start, next_tick(self.cron, self.zone, start)
        return _info(ScheduledRun.ordinary(self.cron, self.zone, interval))


class DatasetPlugin(AirflowPlugin):
    """Registers the timetable in the scheduler, DAG processor, API server and workers.

    Without it, installed as the entry point ``airflow.plugins``, Airflow can't store or load a dataset's DAG.
    """

    name = "dli"
    timetables: ClassVar[list[type]] = [DatasetTimetable]


def _run(info: DagRunInfo) -> ScheduledRun | None:
    if info.data_interval is None:
        return None
    start, end = map(_plain, info.data_interval)
    return ScheduledRun.kept((start, end), _plain(info.run_after))


def _info(run: ScheduledRun) -> DagRunInfo:
    return DagRunInfo(run_after=_pendulum(run.due), data_interval=DataInterval(*map(_pendulum, run.interval)))


def _plain(moment: datetime) -> datetime:
    """Convert a time of Airflow to a datetime in UTC: pendulum's lose their zone in additions."""
    return datetime.combine(moment.date(), moment.time(), moment.tzinfo).astimezone(UTC)


def _pendulum(moment: datetime) -> pendulum.DateTime:
    return pendulum.instance(moment)
