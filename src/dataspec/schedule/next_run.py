"""Which scheduled run comes next, whatever cron or zone made the last one.

For a schedule of at most one run a day, what counts is the date that a run builds: the next
run builds the next date after the last one built, so that none is lost or built twice. One
of several runs a day goes on where the last run's data ended.

Airflow tells a dataset's runs apart by the start of their interval and by their ids, made of
the moment they are due, and takes the run that starts last for the last one. So both rise
from run to run, also where a change of the zone takes the next date back before the last one.

The start also tells the date that the run builds, whatever the zone is by then. Ticks are on
whole minutes, so the microseconds are free for it: their last digit is how many days the date
lies after that of the start in UTC (9 is a day before), and the tens count the runs that had
to begin at one moment. Airflow keeps it on all its lines, for scheduled runs and for those
of its own backfill.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dataspec.schedule.cron import (
    Interval,
    execution_date,
    interval_from,
    interval_of_date,
    next_tick,
    previous_tick,
    runs_within_a_day,
)

_MOMENT = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_TURN = 10
"""So many microseconds lie between runs that had to begin at one moment."""
_SHORTEST_DAY = timedelta(hours=22)
"""An interval at least as long covers its date: Antarctica/Troll turns its clock by two hours."""


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """One scheduled run."""

    date: str
    """The ``execution_date`` that it builds."""
    interval: Interval
    """Its data interval as Airflow keeps it; :func:`data_interval` gives the true one."""
    due: datetime
    """From when on it may run; the interval's end, or later where a change made it due."""

    @classmethod
    def ordinary(cls, cron: str, zone: str, interval: Interval) -> ScheduledRun:
        """Return the run of an interval of the schedule, due when that ends."""
        start, end = interval
        date = execution_date(cron, zone, start)
        return cls(date, (_telling(start, date), end), end)

    @classmethod
    def kept(cls, interval: Interval, due: datetime | None = None) -> ScheduledRun:
        """Return the run that Airflow keeps under an interval."""
        return cls(date_of(interval[0]), interval, due or interval[1])

    @property
    def put_off(self) -> bool:
        """Whether it is due later than its data ended, or another interval stands in for its own."""
        return self.due != self.interval[1] or _turn(self.interval[0]) > 0


def date_of(start: datetime) -> str:
    """Return the ``execution_date`` of a scheduled run by the start of its interval in Airflow."""
    days = start.microsecond % _TURN
    days -= _TURN if days > _TURN // 2 else 0
    return (start.astimezone(UTC).date() + days * _DAY).isoformat()


def next_run(
    cron: str,
    zone: str,
    *,
    last: ScheduledRun | None,
    planned: ScheduledRun | None = None,
    registered_at: datetime,
    now: datetime,
) -> ScheduledRun:
    """Return the next scheduled run (specification 11.3 to 11.8).

    After a pause it is the latest one missed. What a change of the schedule made due was not
    missed: each date is returned in its turn, and a schedule of several runs a day makes up
    for it in one run.

    Args:
        cron: The cron expression.
        zone: The IANA time zone of its clock.
        last: The last scheduled run, or None before the first.
        planned: The run that was to follow the last one by what was known before.
        registered_at: When the dataset's name came. No run is due for a tick before it, if
            none was due since.
        now: The present moment.
    """
    latest = _latest(cron, zone, now)
    if last is None:
        return ScheduledRun.ordinary(cron, zone, max(_ending_after(cron, zone, registered_at), latest))
    first = _following(cron, zone, last)
    if last.due <= registered_at:
        first = max(first, _ending_after(cron, zone, registered_at))
        return _placed(cron, zone, max(first, latest), last)
    until = _nothing_missed_until(last, planned, now)
    if first[1] > until:
        return _placed(cron, zone, max(first, latest), last)
    if runs_within_a_day(cron):
        return _placed(cron, zone, (first[0], max(first[1], latest[1])), last)
    return _placed(cron, zone, first, last, not_before=until if latest > first else None)


def run_to_create(
    cron: str, zone: str, *, planned: ScheduledRun, registered_at: datetime, now: datetime
) -> ScheduledRun:
    """Return the run to create in place of one that was planned: a later one, if that was missed.

    A run that a change made due is never passed over.
    """
    start, end = planned.interval
    if planned.put_off or next_tick(cron, zone, start) != end:
        return planned
    later = next_run(cron, zone, last=planned, registered_at=registered_at, now=now)
    return later if later.due <= now else planned


def data_interval(cron: str | None, zone: str, run: ScheduledRun) -> Interval:
    """Return the interval of the data that a run is about, also where another stands in for it."""
    start, end = run.interval
    if not _turn(start) or (cron and runs_within_a_day(cron)):
        return start.replace(microsecond=0), end
    return interval_of_date(cron, zone, run.date)


def _telling(start: datetime, date: str, *, turn: int = 0) -> datetime:
    """Return a start that tells a date (:func:`date_of`)."""
    days = datetime.fromisoformat(date).date() - start.astimezone(UTC).date()
    return start.replace(microsecond=turn * _TURN + days.days % _TURN)


def _turn(start: datetime) -> int:
    return start.microsecond // _TURN


def _placed(
    cron: str, zone: str, interval: Interval, last: ScheduledRun, *, not_before: datetime | None = None
) -> ScheduledRun:
    """Return the run of an interval, after the last run in all that Airflow tells runs by."""
    (start, end), taken = interval, last.interval[0]
    due = max(end, last.due + _MINUTE, not_before or end)
    date = execution_date(cron, zone, start)
    if start > taken.replace(microsecond=0):
        return ScheduledRun(date, (_telling(start, date), end), due)
    return ScheduledRun(date, (_telling(taken, date, turn=_turn(taken) + 1), due), due)


def _following(cron: str, zone: str, last: ScheduledRun) -> Interval:
    end = last.interval[1]
    if runs_within_a_day(cron):
        return end, next_tick(cron, zone, end)
    if end - last.interval[0].replace(microsecond=0) < _SHORTEST_DAY:
        again = interval_from(cron, zone, last.date)
        if again[1] > end:
            return again
    following = datetime.fromisoformat(last.date).date() + _DAY
    return interval_from(cron, zone, following.isoformat())


def _nothing_missed_until(last: ScheduledRun, planned: ScheduledRun | None, now: datetime) -> datetime:
    """Return until when no run was missed by a pause: what ended by then and is not built, a change made due.

    As long as the planned run was not due, none was missed at all. A planned run that is due
    later than its data ended was put off, to the moment of an earlier change.
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
