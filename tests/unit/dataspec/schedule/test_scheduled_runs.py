"""A schedule's runs as Airflow makes them, on a clock that the test sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspec.schedule.cron import Interval, next_tick, previous_tick
from dataspec.schedule.next_run import ScheduledRun, next_run, run_to_create
from dataspec.schedule.partitions import Grid
from dataspec.schedule.run_ids import scheduled_run_id
from dataspec.schedule.stored_start import date_of

SEOUL, NEW_YORK, LONDON = "Asia/Seoul", "America/New_York", "Europe/London"
KIRITIMATI, PAGO_PAGO, TONGATAPU = "Pacific/Kiritimati", "Pacific/Pago_Pago", "Pacific/Tongatapu"
DAILY, HOURLY, WEEKLY = "0 9 * * *", "0 * * * *", "0 9 * * 1"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def data_interval(cron: str, zone: str, run: ScheduledRun) -> Interval:
    return Grid(cron, zone).interval_of_run(run.interval)


def interval_of_date(cron: str, zone: str, day: str) -> Interval:
    grid = Grid(cron, zone)
    return grid.data_interval(grid.named(day))


@dataclass
class Scheduler:
    """Airflow's loop around one dataset: plan after each run and each change, create what is due."""

    cron: str
    zone: str
    now: datetime
    registered_at: datetime = LONG_AGO
    catch_up: bool = False
    runs: list[ScheduledRun] = field(default_factory=list)
    planned: ScheduledRun | None = None

    def __post_init__(self) -> None:
        self.plan()

    @property
    def next(self) -> ScheduledRun:
        assert self.planned is not None
        return self.planned

    def plan(self) -> None:
        last = self.runs[-1] if self.runs else None
        self.planned = next_run(
            self.cron,
            self.zone,
            last=last,
            planned=self.planned if last else None,
            registered_at=self.registered_at,
            now=self.now,
            catch_up=self.catch_up,
        )

    def change(self, cron: str, zone: str) -> None:
        self.cron, self.zone = cron, zone
        self.plan()

    def create_due(self) -> None:
        while self.next.due <= self.now:
            run = run_to_create(
                self.cron,
                self.zone,
                planned=self.next,
                registered_at=self.registered_at,
                now=self.now,
                catch_up=self.catch_up,
            )
            assert run.due <= self.now
            self.runs.append(run)
            self.plan()

    def pass_to(self, moment: datetime) -> None:
        """Let time pass with Airflow at work, which creates each run when it is due."""
        self.create_due()
        while self.next.due <= moment:
            self.now = self.next.due
            self.create_due()
        self.now = max(self.now, moment)

    def sleep_to(self, moment: datetime) -> None:
        """Let time pass while nothing is created: a pause, or a downtime."""
        self.now = max(self.now, moment)

    @property
    def dates(self) -> list[str]:
        return [run.date for run in self.runs]


def ran(cron: str, zone: str, until: str, *, since: str = "2024-01-10") -> Scheduler:
    """Return a schedule that ran without a change until a moment in its zone."""
    scheduler = Scheduler(cron, zone, at(since, zone), registered_at=at(since, zone))
    scheduler.pass_to(at(until, zone))
    return scheduler


def days(first: str, last: str) -> list[str]:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [(start + number * DAY).isoformat() for number in range((end - start).days + 1)]


def check_what_airflow_needs(scheduler: Scheduler) -> None:
    """Starts of intervals rise, ids differ, and no interval is upside down."""
    for earlier, later in pairwise(scheduler.runs):
        assert earlier.interval[0] < later.interval[0]
        assert earlier.due < later.due
    ids = [scheduled_run_id("d", run.due) for run in scheduler.runs]
    assert len(set(ids)) == len(ids)
    assert all(run_id.endswith("00") for run_id in ids)
    assert all(run.interval[0] < run.interval[1] <= run.due for run in scheduler.runs)
    assert [date_of(run.interval[0]) for run in scheduler.runs] == scheduler.dates


@pytest.mark.rule("11.2")
def test_a_daily_run_at_nine_on_the_16th_builds_the_15th() -> None:
    now = at("2024-01-16T09:00", SEOUL)
    run = next_run(DAILY, SEOUL, last=None, registered_at=at("2024-01-15T12:00", SEOUL), now=now)
    assert (run.date, run.due, data_interval(DAILY, SEOUL, run)) == ("2024-01-15", now, (now - DAY, now))


@pytest.mark.rule("11.3")
def test_the_first_run_is_due_at_the_first_tick_after_registration_never_before() -> None:
    registered = at("2024-01-15T09:00:01", SEOUL)
    for now in (registered, at("2024-01-16T08:59", SEOUL)):
        run = next_run(DAILY, SEOUL, last=None, registered_at=registered, now=now)
        assert run.due == at("2024-01-16T09:00", SEOUL)


@pytest.mark.parametrize(
    "cron", [DAILY, HOURLY, WEEKLY, "0 0 1 * *", "0 9,17 * * *", "0 1,22 * * *", "30 2 * * *"]
)
@pytest.mark.parametrize("zone", [SEOUL, NEW_YORK, LONDON])
def test_runs_follow_each_other_at_each_tick_without_a_gap(cron: str, zone: str) -> None:
    scheduler = Scheduler(cron, zone, at("2024-02-27"))
    for _ in range(60):
        scheduler.pass_to(scheduler.next.due)
    assert len(scheduler.runs) == 60
    for earlier, later in pairwise(scheduler.runs):
        assert data_interval(cron, zone, later) == (
            earlier.interval[1],
            next_tick(cron, zone, earlier.interval[1]),
        )
    assert all(run.due == run.interval[1] for run in scheduler.runs)
    assert scheduler.dates == [str(Grid(cron, zone).date_of_tick(run.interval[0])) for run in scheduler.runs]


@pytest.mark.parametrize("cron", ["30 1 * * *", "30 2 * * *", WEEKLY, "30 1 1 * *", "0 */6 * * *"])
@pytest.mark.parametrize("zone", [SEOUL, NEW_YORK, LONDON])
def test_over_a_year_each_tick_has_its_run_and_each_run_its_date(cron: str, zone: str) -> None:
    start, end = at("2026-01-01", zone), at("2027-01-01", zone)
    scheduler = Scheduler(cron, zone, start, registered_at=start)
    scheduler.pass_to(end)
    ticks = [next_tick(cron, zone, start)]
    while (tick := next_tick(cron, zone, ticks[-1])) <= end:
        ticks.append(tick)
    assert [run.due for run in scheduler.runs] == ticks
    if cron in {"30 1 * * *", "30 2 * * *"}:
        assert scheduler.dates == days(scheduler.dates[0], "2026-12-30")
    else:
        starts = [previous_tick(cron, zone, ticks[0]), *ticks[:-1]]
        assert scheduler.dates == [str(it.astimezone(ZoneInfo(zone)).date()) for it in starts]


@pytest.mark.rule("11.7")
@pytest.mark.parametrize("cron", [DAILY, HOURLY, WEEKLY])
def test_after_a_pause_only_the_latest_missed_interval_runs(cron: str) -> None:
    scheduler = ran(cron, SEOUL, "2024-02-02T12:00")
    before = len(scheduler.runs)
    scheduler.sleep_to(at("2024-03-20T12:00", SEOUL))
    scheduler.create_due()
    [missed] = scheduler.runs[before:]
    assert missed.due == previous_tick(cron, SEOUL, scheduler.now + timedelta(seconds=1))


@pytest.mark.rule("30.20")
@pytest.mark.parametrize("cron", [DAILY, HOURLY, WEEKLY, "30 2 * * *", "0 9-17 * * 1-5"])
@pytest.mark.parametrize("zone", [SEOUL, NEW_YORK])
def test_with_catch_up_every_missed_partition_runs_in_order(cron: str, zone: str) -> None:
    scheduler = ran(cron, zone, "2024-02-02T12:00")
    scheduler.catch_up = True
    first = scheduler.runs[0].interval[0]
    scheduler.sleep_to(at("2024-03-20T12:00", zone))  # over the change of the clock in New York
    scheduler.create_due()
    scheduler.pass_to(at("2024-03-22T12:00", zone))
    check_what_airflow_needs(scheduler)
    grid = Grid(cron, zone)
    built = [grid.of_run(run.interval) for run in scheduler.runs]
    wanted = grid.starting_within(built[0].start, built[-1].end)
    assert built == list(wanted)
    assert scheduler.runs[-1].due == previous_tick(cron, zone, scheduler.now + timedelta(seconds=1))
    assert first == scheduler.runs[0].interval[0]


@pytest.mark.rule("30.20")
def test_with_catch_up_a_downtime_from_registration_on_and_changes_of_the_schedule_leave_nothing_out() -> (
    None
):
    scheduler = Scheduler(DAILY, SEOUL, at("2024-01-10T12:00", SEOUL), catch_up=True)
    scheduler.registered_at = scheduler.now
    scheduler.plan()
    scheduler.sleep_to(at("2024-01-15T12:00", SEOUL))
    scheduler.plan()
    scheduler.create_due()
    assert scheduler.dates == days("2024-01-10", "2024-01-14")
    scheduler.sleep_to(at("2024-01-20T12:00", SEOUL))
    scheduler.change("0 7 * * *", NEW_YORK)
    scheduler.create_due()
    assert scheduler.dates == days("2024-01-10", "2024-01-18")
    check_what_airflow_needs(scheduler)


def test_after_a_pause_in_which_the_hour_changed_only_the_latest_missed_interval_runs() -> None:
    scheduler = ran(DAILY, SEOUL, "2024-01-20T12:00")
    before = len(scheduler.runs)
    scheduler.sleep_to(at("2024-01-25T12:00", SEOUL))
    scheduler.change("0 8 * * *", SEOUL)
    scheduler.sleep_to(at("2024-01-30T12:00", SEOUL))
    scheduler.create_due()
    assert scheduler.dates[before:] == ["2024-01-29"]


@pytest.mark.rule("11.4")
@pytest.mark.parametrize(
    ("now", "cron", "built", "due"),
    [
        # an earlier hour, changed after it has passed: the date is due and not built, so it runs at once
        ("2024-01-16T08:30", "0 8 * * *", "2024-01-15", "2024-01-16T08:00"),
        # a later hour, changed after the day's run: its date is built, so the next date comes next
        ("2024-01-16T09:30", "0 10 * * *", "2024-01-16", "2024-01-17T10:00"),
        # a later hour, changed before the day's run
        ("2024-01-16T08:30", "0 10 * * *", "2024-01-15", "2024-01-16T10:00"),
    ],
)
def test_a_changed_cron_builds_no_date_twice_and_leaves_none_out(
    now: str, cron: str, built: str, due: str
) -> None:
    scheduler = ran(DAILY, SEOUL, now)
    scheduler.change(cron, SEOUL)
    assert (scheduler.next.date, scheduler.next.due) == (built, at(due, SEOUL))


@pytest.mark.rule("11.6")
def test_a_date_that_a_change_of_the_zone_made_due_runs_at_once_with_its_own_data() -> None:
    scheduler = ran(DAILY, PAGO_PAGO, "2024-01-16T12:00")
    assert scheduler.dates[-1] == "2024-01-15"
    scheduler.change(DAILY, KIRITIMATI)
    before = len(scheduler.runs)
    scheduler.create_due()
    assert scheduler.dates[before:] == ["2024-01-16"]
    assert data_interval(DAILY, KIRITIMATI, scheduler.runs[-1]) == interval_of_date(
        DAILY, KIRITIMATI, "2024-01-16"
    )


def test_a_date_whose_interval_is_the_very_one_of_the_last_date_runs_as_well() -> None:
    scheduler = ran(DAILY, PAGO_PAGO, "2024-01-16T09:30")
    scheduler.change(DAILY, TONGATAPU)  # a day ahead, to the minute
    before = len(scheduler.runs)
    scheduler.create_due()
    last, run = scheduler.runs[before - 1 :]
    assert (last.date, run.date) == ("2024-01-15", "2024-01-16")
    assert data_interval(DAILY, TONGATAPU, run) == data_interval(DAILY, PAGO_PAGO, last)
    check_what_airflow_needs(scheduler)


def test_a_date_that_a_change_of_the_zone_would_bring_again_is_passed_over() -> None:
    scheduler = ran(DAILY, KIRITIMATI, "2024-01-16T09:30")
    scheduler.change(DAILY, PAGO_PAGO)
    assert (scheduler.dates[-1], scheduler.next.date) == ("2024-01-15", "2024-01-16")
    assert scheduler.next.due == at("2024-01-17T09:00", PAGO_PAGO)


@pytest.mark.parametrize("until", ["2024-01-22T09:30", "2024-01-25T12:00", "2024-01-29T08:59"])
def test_a_week_becomes_days_and_each_since_the_last_date_built_runs(until: str) -> None:
    scheduler = ran(WEEKLY, SEOUL, until, since="2024-01-17")
    assert scheduler.dates == ["2024-01-15"]
    scheduler.change(DAILY, SEOUL)
    scheduler.pass_to(at("2024-01-31T12:00", SEOUL))
    assert scheduler.dates == days("2024-01-15", "2024-01-30")
    check_what_airflow_needs(scheduler)


def test_days_become_weeks_from_the_next_date_of_the_weekly_schedule_on() -> None:
    scheduler = ran(DAILY, SEOUL, "2024-01-18T12:00", since="2024-01-15")
    scheduler.change(WEEKLY, SEOUL)
    scheduler.pass_to(at("2024-02-12", SEOUL))
    assert scheduler.dates == [*days("2024-01-14", "2024-01-17"), "2024-01-22", "2024-01-29"]


@pytest.mark.rule("11.5")
@pytest.mark.parametrize(
    ("before", "after"),
    [("* * * * *", "*/2 * * * *"), ("*/10 * * * *", "* * * * *"), (HOURLY, "*/7 * * * *")],
)
def test_schedules_of_several_runs_a_day_leave_no_gap_and_no_overlap_between_them(
    before: str, after: str
) -> None:
    scheduler = ran(before, KIRITIMATI, "2024-01-10T09:05")
    for minutes, (cron, zone) in enumerate([(after, SEOUL), (before, SEOUL), (after, NEW_YORK)], 137):
        scheduler.pass_to(scheduler.now + timedelta(minutes=minutes, seconds=20))
        scheduler.change(cron, zone)
    scheduler.pass_to(scheduler.now + HOUR)
    assert len(scheduler.runs) > 20
    for earlier, later in pairwise(scheduler.runs):
        assert later.interval[0].replace(microsecond=0) == earlier.interval[1]
    check_what_airflow_needs(scheduler)


@pytest.mark.rule("11.5")
def test_a_schedule_of_minutes_goes_on_where_the_day_ended() -> None:
    scheduler = ran(DAILY, SEOUL, "2024-01-16T11:12:20")
    last = scheduler.runs[-1]
    scheduler.change("*/10 * * * *", SEOUL)
    scheduler.pass_to(scheduler.now + HOUR)
    run, following = scheduler.runs[scheduler.runs.index(last) + 1 :][:2]
    cron = "*/10 * * * *"
    assert data_interval(cron, SEOUL, run) == (last.interval[1], at("2024-01-16T11:10", SEOUL))
    assert data_interval(cron, SEOUL, following) == (
        at("2024-01-16T11:10", SEOUL),
        at("2024-01-16T11:20", SEOUL),
    )


def test_the_day_that_an_hourly_schedule_left_unfinished_is_built_by_the_daily_one() -> None:
    scheduler = ran(HOURLY, SEOUL, "2024-01-16T11:30", since="2024-01-16T09:30")
    scheduler.change(DAILY, SEOUL)
    assert (scheduler.next.date, scheduler.next.due) == ("2024-01-16", at("2024-01-17T09:00", SEOUL))
    assert data_interval(DAILY, SEOUL, scheduler.next) == interval_of_date(DAILY, SEOUL, "2024-01-16")
    scheduler.pass_to(at("2024-01-19T12:00", SEOUL))
    assert scheduler.dates[-3:] == days("2024-01-16", "2024-01-18")


@pytest.mark.rule("11.8")
def test_a_dataset_that_comes_again_has_no_run_for_the_time_it_was_away() -> None:
    scheduler = ran(DAILY, SEOUL, "2024-01-16T12:00")
    scheduler.now = scheduler.registered_at = at("2024-01-20T12:00", SEOUL)
    scheduler.change(DAILY, SEOUL)
    scheduler.create_due()
    assert scheduler.dates[-1] == "2024-01-15"
    assert (scheduler.next.date, scheduler.next.due) == ("2024-01-20", at("2024-01-21T09:00", SEOUL))


@pytest.mark.rule("11.8")
def test_a_dataset_that_comes_again_the_same_day_builds_no_date_again() -> None:
    scheduler = ran(DAILY, SEOUL, "2024-01-16T09:30")
    scheduler.now = scheduler.registered_at = at("2024-01-16T09:45", SEOUL)
    scheduler.change("0 10 * * *", SEOUL)
    assert (scheduler.dates[-1], scheduler.next.date) == ("2024-01-15", "2024-01-16")


@pytest.mark.rule("11.6")
def test_a_dates_run_that_a_change_made_due_waits_for_its_turn_however_late() -> None:
    scheduler = ran(WEEKLY, SEOUL, "2024-01-22T09:30", since="2024-01-17")
    scheduler.change(DAILY, SEOUL)
    scheduler.sleep_to(at("2024-02-20T12:00", SEOUL))
    scheduler.create_due()
    assert scheduler.dates == [*days("2024-01-15", "2024-01-21"), "2024-02-19"]


def test_the_dates_that_a_change_made_due_stay_due_when_airflow_plans_again_before_it_creates_them() -> None:
    scheduler = ran(WEEKLY, SEOUL, "2024-01-25T12:00", since="2024-01-17")
    scheduler.change(DAILY, SEOUL)
    scheduler.sleep_to(at("2024-01-25T15:00", SEOUL))
    scheduler.plan()
    scheduler.create_due()
    assert scheduler.dates == days("2024-01-15", "2024-01-24")


ZONES = st.sampled_from(
    [SEOUL, NEW_YORK, LONDON, KIRITIMATI, PAGO_PAGO, TONGATAPU, "UTC", "Australia/Lord_Howe"]
)
DAILY_CRONS = st.builds(
    "{} {} * * *".format, st.sampled_from([0, 1, 30, 59]), st.sampled_from([0, 1, 2, 3, 8, 9, 12, 22, 23])
)
COARSE_CRONS = st.sampled_from(["0 6 * * 1", "30 23 * * 0", "0 3 1 * *", "0 9 * * 1-5", "0 0 L * *"])
ANY_CRONS = st.one_of(
    DAILY_CRONS, COARSE_CRONS, st.sampled_from(["*/40 * * * *", HOURLY, "0 9,17 * * *", "0 1,22 * * *"])
)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
WAITS = st.one_of(
    st.integers(0, 180).map(lambda minutes: timedelta(minutes=minutes)),
    st.integers(0, 24 * 60 * 4).map(lambda minutes: timedelta(minutes=minutes)),
)


@pytest.mark.rule("11.4")
@given(MOMENTS, st.lists(st.tuples(DAILY_CRONS, ZONES, WAITS), min_size=2, max_size=7))
def test_daily_schedules_build_every_date_once_in_order_however_cron_and_zone_change(
    start: datetime, changes: list[tuple[str, str, timedelta]]
) -> None:
    scheduler = Scheduler(*changes[0][:2], now=start, registered_at=start)
    for cron, zone, wait in changes:
        scheduler.change(cron, zone)
        scheduler.pass_to(scheduler.now + wait)
    scheduler.pass_to(scheduler.now + 3 * DAY)
    assert scheduler.dates == days(scheduler.dates[0], scheduler.dates[-1])
    check_what_airflow_needs(scheduler)


@given(MOMENTS, st.lists(st.tuples(DAILY_CRONS, ZONES, WAITS), min_size=1, max_size=5))
def test_no_run_comes_before_its_data_has_ended_and_each_date_is_there_soon_after(
    start: datetime, changes: list[tuple[str, str, timedelta]]
) -> None:
    scheduler = Scheduler(*changes[0][:2], now=start, registered_at=start)
    for cron, zone, wait in changes:
        before = len(scheduler.runs)
        scheduler.change(cron, zone)
        scheduler.pass_to(scheduler.now + wait)
        for run in scheduler.runs[before:]:
            assert data_interval(cron, zone, run) == interval_of_date(cron, zone, run.date)
            assert data_interval(cron, zone, run)[1] <= run.due <= scheduler.now
        if scheduler.runs:
            following = (date.fromisoformat(scheduler.dates[-1]) + DAY).isoformat()
            ended = interval_of_date(cron, zone, following)[1]
            assert ended > scheduler.now or scheduler.next.due - scheduler.now <= timedelta(minutes=1)


@given(MOMENTS, st.lists(st.tuples(ANY_CRONS, ZONES, WAITS, st.booleans()), min_size=2, max_size=7))
def test_airflow_can_tell_all_runs_apart_whatever_schedules_follow_each_other_paused_or_not(
    start: datetime, changes: list[tuple[str, str, timedelta, bool]]
) -> None:
    scheduler = Scheduler(*changes[0][:2], now=start, registered_at=start)
    for cron, zone, wait, paused in changes:
        scheduler.change(cron, zone)
        (scheduler.sleep_to if paused else scheduler.pass_to)(scheduler.now + wait)
    scheduler.create_due()
    check_what_airflow_needs(scheduler)


@settings(max_examples=100, deadline=None)
@given(
    MOMENTS, st.lists(st.tuples(st.one_of(DAILY_CRONS, COARSE_CRONS), ZONES, WAITS), min_size=2, max_size=6)
)
def test_no_date_is_built_twice_whatever_daily_or_coarser_schedules_follow_each_other(
    start: datetime, changes: list[tuple[str, str, timedelta]]
) -> None:
    scheduler = Scheduler(*changes[0][:2], now=start, registered_at=start)
    for cron, zone, wait in changes:
        scheduler.change(cron, zone)
        scheduler.pass_to(scheduler.now + wait * 5)
    assert scheduler.dates == sorted(set(scheduler.dates))


@pytest.mark.rule("11.7")
@settings(max_examples=80, deadline=None)
@given(MOMENTS, DAILY_CRONS, ZONES, st.integers(2, 40), st.integers(0, 1439))
def test_a_pause_leaves_exactly_the_latest_date(
    start: datetime, cron: str, zone: str, away: int, minutes: int
) -> None:
    scheduler = Scheduler(cron, zone, start, registered_at=start)
    scheduler.pass_to(start + 3 * DAY)
    before = len(scheduler.runs)
    scheduler.sleep_to(scheduler.now + away * DAY + timedelta(minutes=minutes))
    scheduler.create_due()
    [run] = scheduler.runs[before:]
    assert run.due == run.interval[1] == previous_tick(cron, zone, scheduler.now + timedelta(seconds=1))
