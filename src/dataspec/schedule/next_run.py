"""Compute the next scheduled run, also after a change of the cron expression or the time zone.

A schedule with at most one run a day builds the next date after the last one built, so no date is lost or
built twice. A schedule with several runs a day continues where the last run's data interval ended.

Airflow identifies a dataset's runs by the start of their interval and by their ids, which contain the due
time, and takes the run with the latest start for the last one. So both must increase from run to run, even if
a change of the zone moves the next date back before the last one.

The start also encodes the date that the run builds (:mod:`dataspec.schedule.stored_start`). Worked examples:
docs/architecture.md, "When a scheduled run is due, and what it builds".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dataspec.schedule.cron import Interval, next_tick, previous_tick, runs_within_a_day
from dataspec.schedule.partitions import SHORTEST_DAY, Grid
from dataspec.schedule.stored_start import date_of, encoded, turn_of

_MOMENT = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """One scheduled run."""

    date: str
    """The ``execution_date`` that it builds."""
    interval: Interval
    """The data interval as Airflow stores it; :meth:`Grid.interval_of_run` returns the real one."""
    due: datetime
    """The time from which it may run: the interval's end, or later after a change of the schedule."""

    @classmethod
    def ordinary(cls, cron: str, zone: str, interval: Interval) -> ScheduledRun:
        """Return the run of an interval of the schedule, due at its end."""
        start, end = interval
        date = Grid(cron, zone).date_of_tick(start).isoformat()
        return cls(date, (encoded(start, date), end), end)

    @classmethod
    def kept(cls, interval: Interval, due: datetime | None = None) -> ScheduledRun:
        """Return the run of an interval as Airflow stores it."""
        return cls(date_of(interval[0]), interval, due or interval[1])

    @property
    def put_off(self) -> bool:
        """Whether it is due after its data interval ended, or stored under another interval."""
        return self.due != self.interval[1] or turn_of(self.interval[0]) > 0


def next_run(
    cron: str,
    zone: str,
    *,
    last: ScheduledRun | None,
    planned: ScheduledRun | None = None,
    registered_at: datetime,
    now: datetime,
    catch_up: bool = False,
) -> ScheduledRun:
    """Return the next scheduled run (specification 11.3 to 11.8).

    After a pause it is the latest missed run. Runs that a change of the schedule made due are not
    missed: each date is returned in turn; a schedule with several runs a day catches up in one run.
    With ``catch_up`` none is missed, and each interval is returned in turn.

    Args:
        cron: The cron expression.
        zone: The IANA time zone of its clock.
        last: The last scheduled run, or None before the first.
        planned: The run that was planned to follow the last one.
        registered_at: When the dataset was registered. Ticks before it are skipped, if no run was
            due since.
        now: The current time.
        catch_up: Whether every missed run is created, and not the latest alone.
    """
    if last is None:
        first = _ending_after(cron, zone, registered_at)
        return ScheduledRun.ordinary(cron, zone, first if catch_up else max(first, _latest(cron, zone, now)))
    first = _following(cron, zone, last)
    if last.due <= registered_at:
        first = max(first, _ending_after(cron, zone, registered_at))
    if catch_up:
        return _placed(cron, zone, first, last)
    latest = _latest(cron, zone, now)
    if last.due <= registered_at:
        return _placed(cron, zone, max(first, latest), last)
    until = _missed_after(last, planned, now)
    if first[1] > until:
        return _placed(cron, zone, max(first, latest), last)
    if runs_within_a_day(cron):
        return _placed(cron, zone, (first[0], max(first[1], latest[1])), last)
    return _placed(cron, zone, first, last, not_before=until if latest > first else None)


def run_to_create(
    cron: str,
    zone: str,
    *,
    planned: ScheduledRun,
    registered_at: datetime,
    now: datetime,
    catch_up: bool = False,
) -> ScheduledRun:
    """Return the run to create for a planned one: a later run, if the planned one was missed.

    A run that a change of the schedule made due is never skipped, and with ``catch_up`` no run is.
    """
    start, end = planned.interval
    if catch_up or planned.put_off or next_tick(cron, zone, start) != end:
        return planned
    later = next_run(cron, zone, last=planned, registered_at=registered_at, now=now)
    return later if later.due <= now else planned


def _placed(
    cron: str, zone: str, interval: Interval, last: ScheduledRun, *, not_before: datetime | None = None
) -> ScheduledRun:
    """Return the run of an interval, with a start and a due time after the last run's."""
    (start, end), taken = interval, last.interval[0]
    due = max(end, last.due + _MINUTE, not_before or end)
    date = Grid(cron, zone).date_of_tick(start).isoformat()
    if start > taken.replace(microsecond=0):
        return ScheduledRun(date, (encoded(start, date), end), due)
    return ScheduledRun(date, (encoded(taken, date, turn=turn_of(taken) + 1), due), due)


def _following(cron: str, zone: str, last: ScheduledRun) -> Interval:
    end = last.interval[1]
    if runs_within_a_day(cron):
        return end, next_tick(cron, zone, end)
    built = datetime.fromisoformat(last.date).date()
    if end - last.interval[0].replace(microsecond=0) < SHORTEST_DAY:
        again = Grid(cron, zone).interval_from(built)
        if again[1] > end:
            return again
    return Grid(cron, zone).interval_from(built + _DAY)


def _missed_after(last: ScheduledRun, planned: ScheduledRun | None, now: datetime) -> datetime:
    """Return the cut-off between runs that a change of the schedule made due, and runs missed in a pause.

    Unbuilt intervals that end before it are run; later ones were missed and are skipped. Before the planned run
    is due, nothing was missed. A planned run that is due after its data ended was postponed by an earlier change.
    """
    if planned is None or planned.due <= last.due:
        return last.due
    if planned.due > now - _MINUTE:
        return max(last.due, now.replace(second=0, microsecond=0))
    return planned.due if planned.put_off else last.due


def _latest(cron: str, zone: str, now: datetime) -> Interval:
    due = previous_tick(cron, zone, now + _MOMENT)
    return previous_tick(cron, zone, due), due


def _ending_after(cron: str, zone: str, moment: datetime) -> Interval:
    end = next_tick(cron, zone, moment)
    return previous_tick(cron, zone, end), end
