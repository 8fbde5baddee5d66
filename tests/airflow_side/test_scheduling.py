"""What the scheduler of the installed Airflow makes of our timetable."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from airflow_side.scheduling import Loop, scheduler
from dataspec.schedule.partitions import Grid
from dataspec.schedule.run_ids import scheduled_run_id

SEOUL, NEW_YORK, LONDON, NUUK = "Asia/Seoul", "America/New_York", "Europe/London", "America/Nuuk"
KIRITIMATI, PAGO_PAGO, TONGATAPU = "Pacific/Kiritimati", "Pacific/Pago_Pago", "Pacific/Tongatapu"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DAILY = "cron: 0 9 * * *, timezone: Asia/Seoul"
WEEKLY = "cron: 0 9 * * 1, timezone: Asia/Seoul"


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def days(first: str, last: str) -> list[str]:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [(start + number * DAY).isoformat() for number in range((end - start).days + 1)]


def check_what_airflow_needs(loop: Loop) -> None:
    """Starts rise, and no id is taken twice."""
    starts = [run.start for run in loop.made]
    assert starts == sorted(set(starts))
    assert len({run.run_id for run in loop.made}) == len(loop.made)


# NEXT RUN is what Airflow then does


def wall_clock(zone: str, day: date, hour: int, minute: int) -> datetime:
    """Return when a clock on the wall shows a time for the first time, or skips it."""
    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))
    moment = local.astimezone(UTC)
    if moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    return local.replace(minute=0).astimezone(UTC)  # these clocks skip a whole hour


def dates_between(first: date, last: date, weekday: int | None = None, day: int | None = None) -> list[date]:
    found = [first + number * DAY for number in range((last - first).days + 1)]
    return [it for it in found if weekday in {None, it.weekday()} and day in {None, it.day}]


SPRING_AND_AUTUMN = {
    SEOUL: ["2026-03-08"],  # its clock never changes
    NEW_YORK: ["2026-03-08", "2026-11-01"],
    LONDON: ["2026-03-29", "2026-10-25"],
}
CHANGES = [(zone, day) for zone, found in SPRING_AND_AUTUMN.items() for day in found]


def follow(loop: Loop, until: datetime) -> None:
    """Let each run come, and see that NEXT RUN tells when, also after the DAG was parsed again."""
    while (shown := loop.next_run) <= until:
        loop.sleep_to(loop.now + (shown - loop.now) / 2)
        loop.parse(loop.schedule)
        assert loop.next_run == shown
        made = len(loop.made)
        loop.sleep_to(shown)
        loop.create_due()
        [run] = loop.made[made:]
        assert (run.at, run.end) == (shown, shown)
        assert run.run_id == scheduled_run_id("sales.daily", shown)


@pytest.mark.rule("11.1")
@pytest.mark.parametrize(("zone", "change"), CHANGES)
@pytest.mark.parametrize(("hour", "minute"), [(9, 0), (2, 30), (0, 0)])
def test_a_daily_schedule_builds_each_date_at_its_hour_of_the_wall_clock(
    zone: str, change: str, hour: int, minute: int, tmp_path: Path
) -> None:
    middle = date.fromisoformat(change)
    first, last = middle - 3 * DAY, middle + 3 * DAY
    loop = scheduler(
        f"cron: '{minute} {hour} * * *', timezone: {zone}",
        wall_clock(zone, first, hour, minute) + MINUTE,
        tmp_path,
    )
    follow(loop, wall_clock(zone, last, hour, minute) + MINUTE)
    expected = dates_between(first, last)
    assert [run.interval for run in loop.made] == [
        (wall_clock(zone, start, hour, minute), wall_clock(zone, end, hour, minute))
        for start, end in pairwise(expected)
    ]
    assert loop.dates == [day.isoformat() for day in expected[:-1]]


@pytest.mark.rule("11.1")
@pytest.mark.parametrize("zone", SPRING_AND_AUTUMN)
@pytest.mark.parametrize(
    ("cron", "weekday", "day"), [("30 1 * * 0", 6, None), ("0 9 * * 1", 0, None), ("30 2 1 * *", None, 1)]
)
def test_a_weekly_and_a_monthly_schedule_build_each_of_their_dates_in_a_year(
    zone: str, cron: str, weekday: int | None, day: int | None, tmp_path: Path
) -> None:
    minute, hour = map(int, cron.split()[:2])
    expected = dates_between(date(2026, 1, 1), date(2027, 1, 8), weekday, day)
    ticks = [wall_clock(zone, found, hour, minute) for found in expected]
    loop = scheduler(f"cron: '{cron}', timezone: {zone}", ticks[0] + MINUTE, tmp_path)
    follow(loop, ticks[-1])
    assert [run.interval for run in loop.made] == list(pairwise(ticks))
    assert loop.dates == [found.isoformat() for found in expected[:-1]]


@pytest.mark.rule("11.1")
@pytest.mark.parametrize(("zone", "change"), CHANGES)
@pytest.mark.parametrize(("cron", "step"), [("0 * * * *", HOUR), ("*/15 * * * *", 15 * MINUTE)])
def test_several_runs_a_day_come_at_each_step_also_in_the_hour_that_the_clock_skips_or_repeats(
    zone: str, change: str, cron: str, step: timedelta, tmp_path: Path
) -> None:
    start = at(change, zone) - HOUR
    loop = scheduler(f"cron: '{cron}', timezone: {zone}", start, tmp_path)
    follow(loop, start + 6 * HOUR)
    steps = [start + number * step for number in range(6 * HOUR // step + 1)]
    assert [run.interval for run in loop.made] == list(pairwise(steps))
    local = [tick.astimezone(ZoneInfo(zone)).date().isoformat() for tick in steps]
    assert loop.dates == local[:-1]
    check_what_airflow_needs(loop)


@pytest.mark.parametrize("zone", [NUUK, "America/Scoresbysund"])
def test_the_run_of_an_hour_that_is_skipped_until_midnight_builds_the_date_it_was_set_for(
    zone: str, tmp_path: Path
) -> None:
    start = at("2026-03-26T12:00", zone)  # the clocks skip 23:00 to 24:00 on the 28th
    loop = scheduler(f"cron: 30 23 * * *, timezone: {zone}", start, tmp_path)
    follow(loop, at("2026-04-01T12:00", zone))
    assert loop.dates == days("2026-03-25", "2026-03-30")
    assert loop.made[2].end == loop.made[3].start.replace(microsecond=0) == at("2026-03-29T00:00", zone)
    grid = Grid("30 23 * * *", zone)
    assert grid.data_interval(grid.named("2026-03-28")) == loop.made[3].interval
    assert grid.data_interval(grid.named("2026-03-29")) == loop.made[4].interval


# when cron, zone or source changes

ZONES = [SEOUL, NEW_YORK, LONDON, KIRITIMATI, PAGO_PAGO]


@pytest.mark.rule("11.4")
@pytest.mark.parametrize("seed", range(10))
def test_airflow_builds_every_date_once_in_order_however_cron_and_zone_change(
    seed: int, tmp_path: Path
) -> None:
    chance = Random(seed)
    start = at("2026-03-01T00:00") + timedelta(minutes=chance.randrange(300 * 24 * 60))
    loop = scheduler(DAILY, start, tmp_path)
    for _ in range(8):
        hour, minute, zone = chance.randrange(24), chance.choice([0, 30, 59]), chance.choice(ZONES)
        loop.parse(f"cron: '{minute} {hour} * * *', timezone: {zone}")
        loop.pass_to(loop.now + timedelta(minutes=chance.choice([0, 1, 90, chance.randrange(4 * 24 * 60)])))
        if loop.made and chance.random() < 0.5:
            loop.finish(chance.choice(loop.made[-3:]))
    loop.pass_to(loop.now + timedelta(days=3))
    assert loop.dates == days(loop.dates[0], loop.dates[-1])
    check_what_airflow_needs(loop)


@pytest.mark.rule("3.3")
def test_a_schedule_of_minutes_goes_on_without_gap_or_overlap_through_a_change_and_back(
    tmp_path: Path,
) -> None:
    minutely, every_other = (
        "cron: '* * * * *', timezone: Asia/Seoul",
        "cron: '*/2 * * * *', timezone: America/New_York",
    )
    loop = scheduler(minutely, at("2024-01-15T14:57"), tmp_path)  # three minutes to midnight in Seoul
    zones: list[str] = []
    for schedule, zone, until in ((minutely, SEOUL, 15), (every_other, NEW_YORK, 21), (minutely, SEOUL, 24)):
        loop.parse(schedule)
        loop.pass_to(at("2024-01-15T14:45") + until * MINUTE)
        zones += [zone] * (len(loop.made) - len(zones))
    for earlier, later in pairwise(loop.made):
        assert later.interval[0] == earlier.interval[1]
    assert [run.run_id for run in loop.made] == [
        scheduled_run_id("sales.daily", run.end) for run in loop.made
    ]
    local = [
        run.interval[0].astimezone(ZoneInfo(zone)).date() for run, zone in zip(loop.made, zones, strict=True)
    ]
    assert loop.dates == [day.isoformat() for day in local]
    assert [run.end.minute for run in loop.made] == [58, 59, 0, 2, 4, 6, 7, 8, 9]
    check_what_airflow_needs(loop)


def test_dates_that_a_change_made_due_are_created_one_after_the_other(tmp_path: Path) -> None:
    loop = scheduler(WEEKLY, at("2024-01-17T00:00"), tmp_path)
    loop.pass_to(at("2024-01-25T03:00"))
    assert loop.dates == ["2024-01-15"]
    loop.parse(DAILY)
    assert loop.next_run == at("2024-01-25T03:00")
    loop.parse(DAILY)
    loop.pass_to(at("2024-01-25T03:30"))
    assert loop.dates == days("2024-01-15", "2024-01-24")
    assert [run.interval[0] for run in loop.made[1:]] == [at(f"2024-01-{day}") for day in range(16, 25)]
    assert [run.at for run in loop.made[1:]] == [
        at("2024-01-25T03:00") + number * MINUTE for number in range(9)
    ]
    assert loop.next_run == at("2024-01-26T00:00")
    check_what_airflow_needs(loop)  # the 21st ends when the week did, so it has the id of another moment


def test_a_date_whose_interval_is_the_very_one_of_the_last_date_is_created_as_well(tmp_path: Path) -> None:
    loop = scheduler(f"cron: 0 9 * * *, timezone: {PAGO_PAGO}", at("2024-01-14T12:00", PAGO_PAGO), tmp_path)
    loop.pass_to(at("2024-01-16T09:30", PAGO_PAGO))
    loop.parse(f"cron: 0 9 * * *, timezone: {TONGATAPU}")  # a day ahead, to the minute
    loop.pass_to(loop.now + HOUR)
    assert loop.dates == ["2024-01-14", "2024-01-15", "2024-01-16"]
    loop.parse(f"cron: 0 9 * * *, timezone: {PAGO_PAGO}")
    loop.pass_to(loop.now + 3 * DAY)
    assert loop.dates == days("2024-01-14", "2024-01-18")
    check_what_airflow_needs(loop)


def test_a_change_of_the_zone_alone_builds_no_date_twice_where_each_date_is_another_in_the_new_zone(
    tmp_path: Path,
) -> None:
    loop = scheduler("cron: 0 21 * * *, timezone: America/New_York", at("2024-01-15T12:00"), tmp_path)
    loop.pass_to(at("2024-01-18T12:00"))
    assert loop.dates == ["2024-01-14", "2024-01-15", "2024-01-16"]
    loop.parse("cron: 0 21 * * *, timezone: UTC")
    loop.pass_to(at("2024-01-20T12:00"))
    assert loop.dates == days("2024-01-14", "2024-01-18")


@pytest.mark.rule("11.4")
def test_a_run_that_ends_late_brings_no_date_again(tmp_path: Path) -> None:
    loop = scheduler(DAILY, at("2024-01-15T12:00"), tmp_path)
    loop.pass_to(at("2024-01-17T02:00"))
    assert loop.dates == ["2024-01-15", "2024-01-16"]
    loop.parse("cron: 0 12 * * *, timezone: Asia/Seoul")
    loop.finish(loop.made[0])
    loop.pass_to(at("2024-01-18T12:00"))
    assert loop.dates == ["2024-01-15", "2024-01-16", "2024-01-17"]


def test_a_run_that_a_person_made_for_the_start_of_the_next_interval_keeps_no_date_from_being_built(
    tmp_path: Path,
) -> None:
    loop = scheduler(DAILY, at("2024-01-15T12:00"), tmp_path)
    loop.pass_to(at("2024-01-16T12:00"))
    loop.trigger(loop.model.next_dagrun)
    loop.pass_to(at("2024-01-19T12:00"))
    assert loop.dates == days("2024-01-15", "2024-01-18")
    check_what_airflow_needs(loop)


# after a pause

TICKS = [("0 9 * * *", DAY), ("0 * * * *", HOUR), ("0 9 * * 1", 7 * DAY)]


@pytest.mark.rule("11.7")
@pytest.mark.parametrize("parsed", [False, True])
@pytest.mark.parametrize(("cron", "step"), TICKS)
def test_after_a_pause_the_latest_missed_interval_alone_runs(
    cron: str, step: timedelta, *, parsed: bool, tmp_path: Path
) -> None:
    loop = scheduler(f"cron: '{cron}', timezone: Asia/Seoul", at("2024-01-14T12:00"), tmp_path)
    loop.pass_to(loop.next_run + HOUR / 2)
    missed = loop.next_run + 5 * step
    made = len(loop.made)
    loop.sleep_to(missed + HOUR / 3, parse_every=step / 3 if parsed else None)
    loop.create_due()
    [run] = loop.made[made:]
    assert run.interval == (missed - step, missed)
    assert loop.next_run == missed + step
    loop.pass_to(missed + step)
    assert [run.interval for run in loop.made[made + 1 :]] == [(missed, missed + step)]


def test_after_a_pause_in_which_the_hour_changed_the_latest_missed_interval_alone_runs(
    tmp_path: Path,
) -> None:
    loop = scheduler(DAILY, at("2024-01-14T12:00"), tmp_path)
    loop.pass_to(at("2024-01-20T03:00"))
    made = len(loop.made)
    loop.sleep_to(at("2024-01-25T03:00"))
    loop.parse("cron: 0 8 * * *, timezone: Asia/Seoul")
    loop.sleep_to(at("2024-01-30T03:00"))
    loop.create_due()
    assert loop.dates[made:] == ["2024-01-29"]


def test_dates_that_a_change_made_due_wait_for_their_turn_through_a_pause(tmp_path: Path) -> None:
    loop = scheduler(WEEKLY, at("2024-01-17T00:00"), tmp_path)
    loop.pass_to(at("2024-01-25T03:00"))
    loop.parse(DAILY)
    loop.sleep_to(at("2024-01-25T06:00"), parse_every=HOUR)
    loop.create_due()
    assert loop.dates == days("2024-01-15", "2024-01-24")
