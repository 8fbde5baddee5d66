"""When a dataset's scheduled runs are due: Airflow's side of :mod:`dataspec.schedules`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pendulum

from dataspec.run_ids import scheduled_run_id
from dataspec.schedules import Interval, next_interval, next_tick, previous_tick
from dli_airflow.airflow_api import DagRunInfo, DataInterval, TimeRestriction, Timetable

if TYPE_CHECKING:
    from collections.abc import Callable

_MOMENT = timedelta(microseconds=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class DatasetTimetable(Timetable):
    """The schedule of one dataset: a run for each tick of a cron, about the interval that ends there.

    Like Airflow's ``CronDataIntervalTimetable``, with the rules of ``docs/architecture.md``,
    "When a scheduled run is due", and run ids that carry the dataset's name.

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
        """Return the next scheduled run; Airflow creates it once its interval has ended.

        With ``restriction.catchup``, which no DAG of ours sets, Airflow's own backfill is
        asking: it gets one interval after the other.
        """
        last = last_automated_data_interval and _interval(last_automated_data_interval)
        following = self._every(last, restriction) if restriction.catchup else self._next(last)
        if following is None or (restriction.latest is not None and following[0] > restriction.latest):
            return None
        return DagRunInfo.interval(*map(_pendulum, following))

    def next_run_info_from_dag_model(self, *, dag_model: Any) -> DagRunInfo | None:
        """Return the run that the scheduler is about to create: the latest that is due (Airflow 3).

        Airflow worked the next run out when it last parsed the DAG; after a pause or a
        downtime, several intervals may have ended since, and the latest alone is to run.
        """
        stored = super().next_run_info_from_dag_model(dag_model=dag_model)
        if stored is None or stored.data_interval is None:
            return stored
        later = self._next(_interval(stored.data_interval))
        return DagRunInfo.interval(*map(_pendulum, later)) if later[1] <= self._now() else stored

    def infer_manual_data_interval(self, *, run_after: datetime) -> DataInterval:
        """Return the last interval that had ended when a person triggered a run."""
        end = previous_tick(self.cron, self.zone, run_after + _MOMENT)
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

        Airflow 3 passes ``run_after``; 2.11 passes ``logical_date`` in its place.
        """
        due = run_after or (data_interval and data_interval.end)
        if run_type == "scheduled" and due is not None:
            return scheduled_run_id(self.dataset, due)
        if run_after is not None:
            extra["run_after"] = run_after
        own: str = super().generate_run_id(run_type=run_type, data_interval=data_interval, **extra)
        return own

    def _next(self, last: Interval | None) -> Interval:
        return next_interval(
            self.cron, self.zone, last=last, registered_at=self.registered_at, now=self._now()
        )

    def _every(self, last: Interval | None, restriction: TimeRestriction) -> Interval | None:
        if last is None and restriction.earliest is None:
            return None
        after = last[0] if last else restriction.earliest - _MOMENT
        start = next_tick(self.cron, self.zone, after)
        return start, next_tick(self.cron, self.zone, start)


def _interval(interval: DataInterval) -> Interval:
    return interval.start, interval.end


def _pendulum(moment: datetime) -> pendulum.DateTime:
    return pendulum.instance(moment)
