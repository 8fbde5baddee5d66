"""The partitions of a schedule, compared minute by minute with what the clocks on the wall show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dataspec.parameters import ParameterValueError
from dataspec.schedule.cron import NoTick, next_tick
from dataspec.schedule.next_run import ScheduledRun
from dataspec.schedule.partitions import Grid, Partition
from dataspec.schedule.stored_start import encoded

SEOUL, BERLIN, NEW_YORK, NUUK = "Asia/Seoul", "Europe/Berlin", "America/New_York", "America/Nuuk"
LORD_HOWE, HAVANA, ST_JOHNS, APIA = (
    "Australia/Lord_Howe",
    "America/Havana",
    "America/St_Johns",
    "Pacific/Apia",
)
DAILY, HOURLY, WEEKDAYS, WEEKLY, MONTHLY = "0 9 * * *", "0 * * * *", "0 9 * * 1-5", "0 9 * * 1", "0 9 1 * *"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def written(partition: Partition) -> tuple[str, str, str]:
    return partition.name, partition.start.isoformat(), partition.end.isoformat()


# what a partition covers


@pytest.mark.rule("30.1")
@pytest.mark.parametrize(
    ("cron", "day", "end", "count"),
    [
        (DAILY, "2024-01-15", "2024-01-16", 1),
        ("59 23 * * *", "2024-01-15", "2024-01-16", 1),
        ("0 */24 * * *", "2024-01-15", "2024-01-16", 1),
        (WEEKLY, "2024-01-15", "2024-01-22", 7),
        (WEEKDAYS, "2024-01-19", "2024-01-22", 3),
        (MONTHLY, "2024-02-01", "2024-03-01", 29),
        ("0 0 29 2 *", "2024-02-29", "2028-02-29", 1461),
        (None, "2024-01-15", "2024-01-16", 1),
    ],
)
def test_a_partition_of_a_day_and_more_covers_whole_dates_until_the_next(
    cron: str | None, day: str, end: str, count: int
) -> None:
    found = Grid(cron, SEOUL).named(day)
    assert written(found) == (day, f"{day}T00:00:00+09:00", f"{end}T00:00:00+09:00")
    assert (found.dates[0].isoformat(), len(found.dates), found.local_date) == (day, count, day)
    assert not found.off_schedule


@pytest.mark.rule("30.2")
def test_a_partition_finer_than_a_day_covers_its_data_interval() -> None:
    found = Grid(HOURLY, SEOUL).named("2024-01-15T13:00")
    assert written(found) == (
        "2024-01-15T13:00+09:00",
        "2024-01-15T13:00:00+09:00",
        "2024-01-15T14:00:00+09:00",
    )
    assert (found.dates, found.local_date) == ((), "2024-01-15")
    evening = Grid("0 9-17 * * 1-5", SEOUL).named("2024-01-19T17:00")
    assert evening.end.isoformat() == "2024-01-22T09:00:00+09:00"


CLOCK_CHANGES = [
    (BERLIN, "2024-03-31"),
    (BERLIN, "2024-10-27"),
    (NEW_YORK, "2026-11-01"),
    (NUUK, "2026-03-28"),
    (LORD_HOWE, "2024-04-07"),
    (LORD_HOWE, "2024-10-06"),
    (HAVANA, "2024-03-10"),  # the clock skips midnight
    (HAVANA, "2024-11-03"),  # the clock shows midnight twice
    (ST_JOHNS, "2010-11-07"),  # 00:01 becomes 23:01 of the day before
    (APIA, "2011-12-30"),  # a date that is skipped
    ("Antarctica/Troll", "2024-03-31"),
    ("Asia/Beirut", "2024-03-31"),
]


def minutes_around(day: str) -> Iterator[datetime]:
    first = at(day) - 2 * DAY
    return (first + number * MINUTE for number in range(4 * 24 * 60))


MATCHING: dict[str, Callable[[datetime], bool]] = {
    HOURLY: lambda shown: shown.minute == 0,
    "20 * * * *": lambda shown: shown.minute == 20,
    "*/15 * * * *": lambda shown: shown.minute % 15 == 0,
    "0,59 * * * *": lambda shown: shown.minute in {0, 59},
    "*/30 1-3 * * *": lambda shown: shown.minute % 30 == 0 and 1 <= shown.hour <= 3,
}
"""Expressions with a star, which run at each moment that the clock shows one of their times."""


@pytest.mark.rule("30.3")
@pytest.mark.parametrize("cron", MATCHING)
@pytest.mark.parametrize(("zone", "day"), CLOCK_CHANGES)
def test_finer_partitions_start_whenever_the_clock_shows_their_time(cron: str, zone: str, day: str) -> None:
    grid, moments = Grid(cron, zone), list(minutes_around(day))
    starts = [moment for moment in moments if MATCHING[cron](moment.astimezone(ZoneInfo(zone)))]
    found = list(grid.starting_within(moments[0], moments[-1] + MINUTE))
    assert [partition.start for partition in found] == starts
    assert [partition.end for partition in found[:-1]] == starts[1:]
    for moment in moments[24 * 60 :: 47]:
        assert grid.covering(moment).start == max(start for start in starts if start <= moment)


@pytest.mark.rule("30.3")
@pytest.mark.parametrize(
    "cron", ["30 23 * * *", "0 0 * * *", "30 2 * * *", "0 */24 * * *", "*/60 1 * * *", None]
)
@pytest.mark.parametrize(("zone", "day"), CLOCK_CHANGES)
def test_dates_start_at_the_first_minute_that_the_clock_shows_of_them(
    cron: str | None, zone: str, day: str
) -> None:
    grid, firsts = Grid(cron, zone), dict[date, datetime]()
    for moment in minutes_around(day):
        firsts.setdefault(moment.astimezone(ZoneInfo(zone)).date(), moment)
    days = sorted(firsts)[1:]
    found = list(grid.starting_on(days[0], days[-1]))
    assert [(partition.name, partition.start) for partition in found] == [
        (str(one), firsts[one]) for one in days
    ]
    for partition in found[:-1]:
        moment = partition.start
        while moment < partition.end:
            assert grid.covering(moment) == partition
            moment += 13 * MINUTE


def test_a_date_schedule_has_one_tick_for_each_of_its_partitions() -> None:
    """A job at ``*/24`` would run twice in an hour that is repeated, and not at all in one that is skipped."""
    for cron, zone in [("0 */24 * * *", HAVANA), ("*/60 2 * * *", NEW_YORK), ("30 23 * * *", NUUK)]:
        grid, tick, dates = Grid(cron, zone), at("2024-01-01", zone) - MINUTE, list[str]()
        while (tick := next_tick(cron, zone, tick)) < at("2025-01-01", zone):
            dates.append(str(grid.date_of_tick(tick)))
        year = list(grid.starting_on(date(2024, 1, 1), date(2024, 12, 31)))
        assert dates == [partition.name for partition in year]
        assert len(dates) == 366


ZONES = st.sampled_from([SEOUL, BERLIN, NEW_YORK, NUUK, LORD_HOWE, HAVANA, ST_JOHNS, APIA, "Asia/Kathmandu"])
SEVERAL = ["0 9,17 * * *", "0 9-17 * * 1-5", "15 */6 * * *", "5 0,12 1 * *"]
DATES = [DAILY, WEEKDAYS, WEEKLY, MONTHLY, "30 23 * * *", "0 0 L * *", "0 0 1,15 * 1", "0 5 * * 1#2"]
CRONS = st.sampled_from([*MATCHING, *SEVERAL, *DATES])
MOMENTS = st.datetimes(datetime(1000, 1, 3), datetime(9990, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone

MODERN = st.datetimes(datetime(1975, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone


@pytest.mark.rule("30.3")
@settings(deadline=None)
@given(CRONS | st.none(), ZONES, MOMENTS)
def test_partitions_tile_time_and_their_names_lead_back_to_them(
    cron: str | None, zone: str, moment: datetime
) -> None:
    grid = Grid(cron, zone)
    found = grid.covering(moment)
    assert found.start <= moment < found.end
    assert grid.named(found.name) == found
    following = grid.following(found)
    assert (following.start, grid.previous(following)) == (found.end, found)
    some = list(islice(grid.starting_within(found.start, found.start + 2000 * DAY), 5))
    assert some[0] == found
    assert all(one.end == two.start for one, two in pairwise(some))


# naming a partition


@pytest.mark.rule("30.4")
@pytest.mark.parametrize(
    ("cron", "zone", "text", "name"),
    [
        (HOURLY, SEOUL, "2024-01-15T13:00", "2024-01-15T13:00+09:00"),
        (HOURLY, SEOUL, " 2024-01-15 13:00:00 ", "2024-01-15T13:00+09:00"),
        (HOURLY, SEOUL, "2024-01-15T04:00Z", "2024-01-15T13:00+09:00"),
        (HOURLY, SEOUL, "2024-01-15T05:00+01:00", "2024-01-15T13:00+09:00"),
        (HOURLY, BERLIN, "2024-10-27T02:00+01:00", "2024-10-27T02:00+01:00"),
        (HOURLY, BERLIN, "2024-10-27T02:00+02:00", "2024-10-27T02:00+02:00"),
        ("30 1,13 * * *", NEW_YORK, "2026-11-01T01:30", "2026-11-01T01:30-04:00"),  # a fixed time runs once
        (DAILY, SEOUL, "2024-01-15T00:00", "2024-01-15"),
        (None, "UTC", "2024-01-15T00:00Z", "2024-01-15"),
    ],
)
def test_a_time_names_the_partition_that_starts_then(
    cron: str | None, zone: str, text: str, name: str
) -> None:
    assert Grid(cron, zone).named(text).name == name


@pytest.mark.rule("30.41")
@pytest.mark.parametrize(
    ("grid", "name", "label"),
    [
        (Grid(DAILY, BERLIN), "2024-10-27", "2024-10-27"),
        (Grid(None), "2024-10-27", "2024-10-27"),
        (Grid(HOURLY, SEOUL), "2024-01-15T13:00", "2024-01-15 13:00"),
        (Grid(HOURLY, BERLIN), "2024-10-27T01:00", "2024-10-27 01:00"),
        (Grid(HOURLY, BERLIN), "2024-10-27T02:00+02:00", "2024-10-27 02:00+02:00"),
        (Grid(HOURLY, BERLIN), "2024-10-27T02:00+01:00", "2024-10-27 02:00+01:00"),
        (Grid(HOURLY, BERLIN), "2024-10-27T03:00", "2024-10-27 03:00"),
        (Grid(HOURLY, BERLIN), "2024-03-31T03:00", "2024-03-31 03:00"),
        (Grid("*/15 * * * *", BERLIN), "2024-10-27T02:45+01:00", "2024-10-27 02:45+01:00"),
    ],
)
def test_a_label_has_an_offset_only_where_the_clock_shows_the_time_twice(
    grid: Grid, name: str, label: str
) -> None:
    assert grid.label(grid.named(name)) == label


@pytest.mark.rule("30.4")
def test_an_hour_that_the_clock_repeats_is_refused_with_both_offsets() -> None:
    with pytest.raises(ParameterValueError, match="shows 2024-10-27T02:00 twice") as refused:
        Grid(HOURLY, BERLIN).named("2024-10-27T02:00")
    assert refused.value.hint == "Give it with its offset: 2024-10-27T02:00+02:00 or 2024-10-27T02:00+01:00."


@pytest.mark.rule("30.4")
@pytest.mark.parametrize(
    ("cron", "zone", "text", "nearest"),
    [
        (HOURLY, SEOUL, "2024-01-15T13:20", "2024-01-15T13:00+09:00 and 2024-01-15T14:00+09:00"),
        (HOURLY, BERLIN, "2024-03-31T02:00", "2024-03-31T03:00+02:00 and 2024-03-31T04:00+02:00"),
        ("30 2,14 * * *", BERLIN, "2024-03-31T02:30", "2024-03-31T03:00+02:00 and 2024-03-31T14:30+02:00"),
        ("0 9,17 * * 1", SEOUL, "2024-01-16", "2024-01-15T17:00+09:00 and 2024-01-22T09:00+09:00"),
        (DAILY, SEOUL, "2024-01-15T09:00", "2024-01-15 and 2024-01-16"),
        (WEEKLY, SEOUL, "2024-01-17T00:00", "2024-01-15 and 2024-01-22"),
        (None, "UTC", "2024-01-15T09:00", "2024-01-15 and 2024-01-16"),
    ],
)
def test_a_time_at_which_no_partition_starts_is_refused_with_the_nearest_two(
    cron: str | None, zone: str, text: str, nearest: str
) -> None:
    with pytest.raises(ParameterValueError, match=f"starts at {text}") as refused:
        Grid(cron, zone).named(text)
    assert refused.value.hint == f"The nearest are {nearest}."


@pytest.mark.rule("30.5")
@pytest.mark.parametrize(
    ("cron", "zone", "day", "name"),
    [
        (HOURLY, SEOUL, "2024-01-15", "2024-01-15T00:00+09:00"),
        (HOURLY, HAVANA, "2024-03-10", "2024-03-10T01:00-04:00"),
        (HOURLY, HAVANA, "2024-11-03", "2024-11-03T00:00-04:00"),
        ("0 9-17 * * *", SEOUL, "2024-01-15", "2024-01-15T09:00+09:00"),
    ],
)
def test_a_date_names_the_first_partition_of_a_finer_schedule_on_it(
    cron: str, zone: str, day: str, name: str
) -> None:
    assert Grid(cron, zone).named(day).name == name


@pytest.mark.rule("30.5")
@pytest.mark.parametrize(
    ("cron", "day"),
    [
        (WEEKLY, "2024-01-16"),
        (MONTHLY, "2024-01-02"),
        ("0 0 29 2 */7", "9990-01-01"),
        ("0 0 2 1 */7", "9998-12-31"),  # the schedule never fires again
    ],
)
def test_a_date_on_which_no_partition_starts_covers_that_date_off_the_schedule(cron: str, day: str) -> None:
    found = Grid(cron, SEOUL).named(day)
    assert (found.name, found.off_schedule, [str(one) for one in found.dates]) == (day, True, [day])
    assert Grid(cron, SEOUL).data_interval(found) == (found.start, found.end)


@pytest.mark.rule("30.5")
@pytest.mark.parametrize(
    "text", ["0999-12-31", "9999-01-01", "9999-12-31T23:00", "2024-02-30", "noon", 20240115]
)
@pytest.mark.parametrize("cron", [DAILY, HOURLY, None])
def test_a_date_outside_of_the_calendar_is_refused(cron: str | None, text: object) -> None:
    with pytest.raises(ParameterValueError, match=r"the year of|there is no date|expected a date"):
        Grid(cron, SEOUL).named(text)


def test_the_ends_of_the_calendar_have_partitions() -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"):
        for cron in (DAILY, HOURLY, WEEKLY, None):
            assert Grid(cron, zone).named("1000-01-01").name.startswith("1000-01-01")
            assert Grid(cron, zone).named("9998-12-31").name.startswith("9998-12-31")


def test_a_schedule_that_fires_no_more_has_no_further_partition() -> None:
    grid = Grid("0 0 29 2 */7", SEOUL)
    last = at("9976-02-29", SEOUL)
    assert list(grid.starting_within(last, at("9998-01-01"))) == []
    with pytest.raises(NoTick):
        grid.covering(last)


# the data interval of a partition


@pytest.mark.rule("11.2")
@pytest.mark.parametrize(
    ("day", "start"), [("2026-03-28", "2026-03-29T00:00"), ("2026-03-29", "2026-03-29T23:30")]
)
def test_a_date_whose_hour_is_skipped_until_midnight_keeps_its_interval(day: str, start: str) -> None:
    grid, begin = Grid("30 23 * * *", NUUK), at(start, NUUK)
    assert grid.date_of_tick(begin).isoformat() == day
    assert grid.data_interval(grid.named(day)) == (begin, next_tick("30 23 * * *", NUUK, begin))


@pytest.mark.rule("9.2")
def test_a_date_has_the_data_interval_of_the_scheduled_run_for_it() -> None:
    grid = Grid(DAILY, SEOUL)
    assert grid.data_interval(grid.named("2024-01-15")) == (
        at("2024-01-15T09:00", SEOUL),
        at("2024-01-16T09:00", SEOUL),
    )


# scheduled runs


def stored(cron: str, zone: str, start: str) -> ScheduledRun:
    begin = at(start, zone)
    return ScheduledRun.ordinary(cron, zone, (begin, next_tick(cron, zone, begin)))


@pytest.mark.rule("30.6")
@settings(deadline=None)
@given(CRONS, ZONES, MODERN)
def test_an_ordinary_scheduled_run_builds_a_partition_of_its_schedule(
    cron: str, zone: str, moment: datetime
) -> None:
    assume(zone not in {APIA, ST_JOHNS})
    grid, start = Grid(cron, zone), next_tick(cron, zone, moment)
    run = ScheduledRun.ordinary(cron, zone, (start, next_tick(cron, zone, start)))
    found = grid.of_run(run.interval)
    assert found == grid.named(found.name)
    assert grid.data_interval(found) == grid.interval_of_run(run.interval)


@pytest.mark.rule("30.6")
def test_a_scheduled_run_keeps_its_dates_after_a_change_of_the_schedule() -> None:
    daily = stored(DAILY, SEOUL, "2024-01-15T09:00").interval
    weekly = stored(WEEKLY, SEOUL, "2024-01-15T09:00").interval
    for cron, zone in [(DAILY, SEOUL), (WEEKLY, SEOUL), (DAILY, NEW_YORK), (MONTHLY, SEOUL)]:
        grid = Grid(cron, zone)
        assert (grid.of_run(daily).name, len(grid.of_run(daily).dates)) == ("2024-01-15", 1)
        assert (grid.of_run(weekly).name, len(grid.of_run(weekly).dates)) == ("2024-01-15", 7)
        assert not grid.of_run(daily).off_schedule


@pytest.mark.rule("30.6")
def test_a_run_that_a_change_made_due_covers_what_its_interval_covers() -> None:
    several = at("2024-01-15T10:00", SEOUL), at("2024-01-15T16:00", SEOUL)
    for cron in (HOURLY, DAILY):  # several partitions of an hourly schedule, a part of one of a daily
        found = Grid(cron, SEOUL).of_run((encoded(several[0], "2024-01-15"), several[1]))
        assert (found.name, found.start, found.end) == ("2024-01-15T10:00+09:00", *several)
    shared = encoded(several[0], "2024-01-17", turn=1), several[1]
    assert Grid(DAILY, SEOUL).of_run(shared) == Grid(DAILY, SEOUL).named("2024-01-17")


def test_names_and_ranges_are_cheap() -> None:
    """A list of runs names hundreds of partitions, and a plan has up to 40,000."""
    for cron in (HOURLY, DAILY):
        grid, begin = Grid(cron, NEW_YORK), time.process_time()
        for number in range(100):
            grid.named(f"{2000 + number}-07-15T00:00")
        assert time.process_time() - begin < 1
        begin = time.process_time()
        days = 40_000 if cron == DAILY else 40_000 // 24
        assert len(list(grid.starting_on(date(1950, 1, 1), date(1950, 1, 1) + (days - 1) * DAY))) >= 39_900
        assert time.process_time() - begin < 20
