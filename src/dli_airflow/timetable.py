"""When a dataset's scheduled runs are due: Airflow's side of :mod:`dataspec.schedule.next_run`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pendulum

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
)

if AIRFLOW_2:
    from dli_airflow.stored_runs import StoredRuns

_MOMENT = timedelta(microseconds=1)
_AUTOMATED = frozenset({"scheduled", "backfill"})


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LastRun(DagRunInfo):
    """What tells the last run, and the run that was planned after it."""

    planned: DagRunInfo | None = None


class RunPassedOver(Exception):
    """Keeps Airflow 2.11 from creating a run that a later one has taken the place of (see its log)."""


class DatasetTimetable(Timetable):
    """The schedule of one dataset: a run for each tick of a cron, about the interval that ends there.

    Like Airflow's ``CronDataIntervalTimetable``, with the rules of ``docs/architecture.md``,
    "When a scheduled run is due", and run ids that carry the dataset's name. By the start of
    its interval a run tells the ``execution_date`` that it builds, and so does the next one
    find its own, whatever cron and zone made the last.

    Args:
        dataset: The dataset's name, for run ids: Airflow does not pass the DAG's id.
        cron: A cron expression of five fields.
        zone: The IANA time zone of its clock.
        registered_at: No run is due for a tick before it.
        now: The clock.
    """

    def __init__(
        self,
        dataset: str,
        cron: str,
        zone: str,
        registered_at: datetime,
        *,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.dataset = dataset
        self.cron = cron
        self.zone = zone
        self.registered_at = registered_at
        self.description = f"{cron} in {zone}"
        self._now = now

    def serialize(self) -> dict[str, Any]:
        """Return what :meth:`deserialize` takes, as JSON."""
        return {
            "dataset": self.dataset,
            "cron": self.cron,
            "zone": self.zone,
            "registered_at": self.registered_at.isoformat(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> DatasetTimetable:
        """Return the timetable that :meth:`serialize` wrote."""
        registered_at = datetime.fromisoformat(data["registered_at"])
        return cls(data["dataset"], data["cron"], data["zone"], registered_at)

    @property
    def summary(self) -> str:
        """What Airflow's lists show as the schedule."""
        return f"{self.cron} ({self.zone})"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next scheduled run, where Airflow tells an interval alone (2.11): the rest is looked up."""
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
        """Return the next scheduled run; Airflow creates it once it is due.

        With ``restriction.catchup``, which no DAG of ours sets, Airflow's own backfill is
        asking: it gets one interval after the other.
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

        Airflow worked the next run out when it last parsed the DAG; after a pause or a
        downtime, several intervals may have ended since, and the latest alone is to run.
        """
        stored = super().next_run_info_from_dag_model(dag_model=dag_model)
        return stored and self._to_create(stored)

    def run_info_from_dag_run(self, *, dag_run: Any) -> DagRunInfo:
        """Return what tells a run that exists (Airflow 3).

        With it goes the run that was planned after it, which is Airflow's until it has the
        next one's. Airflow also asks with a run that a person made for the very start of the
        next interval, where no second run can start.
        """
        if str(getattr(dag_run.run_type, "value", dag_run.run_type)) not in _AUTOMATED:
            return DagRunInfo.exact(_pendulum(dag_run.logical_date))
        if dag_run.data_interval_start is None:
            return super().run_info_from_dag_run(dag_run=dag_run)
        interval = DataInterval(_pendulum(dag_run.data_interval_start), _pendulum(dag_run.data_interval_end))
        last = LastRun(_pendulum(dag_run.run_after), interval)
        if dag_run.dag_model is not None:
            last.planned = super().next_run_info_from_dag_model(dag_model=dag_run.dag_model)
        return last

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        """Return the last interval that had ended when a person triggered a run."""
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
        """Return a scheduled run's id in our form; runs of any other type keep Airflow's own.

        Airflow 3 passes ``run_after``; 2.11 passes ``logical_date`` in its place, and asks when
        it is about to create the run that it stored.

        Raises:
            RunPassedOver: Where that run was missed and a later one is due (2.11). Airflow logs
                it, and creates the later one in its next round.
        """
        if run_type == "scheduled" and data_interval is not None:
            return scheduled_run_id(self.dataset, run_after or self._due(data_interval))
        if run_after is not None:
            extra["run_after"] = run_after
        own: str = super().generate_run_id(run_type=run_type, data_interval=data_interval, **extra)
        return own

    def _stored(self) -> StoredRuns:
        return StoredRuns(self.dataset)

    def _due(self, interval: DataInterval) -> datetime:
        """Return when the run is due that Airflow 2.11 is about to create for an interval."""
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
                self.cron, self.zone, planned=run, registered_at=self.registered_at, now=self._now()
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
    """Return one of Airflow's moments as a datetime: those of pendulum lose their zone in sums."""
    return datetime.combine(moment.date(), moment.time(), moment.tzinfo).astimezone(UTC)


def _pendulum(moment: datetime) -> pendulum.DateTime:
    return pendulum.instance(moment)
