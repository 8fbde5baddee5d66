"""Compare ticks with Airflow's own `CronDataIntervalTimetable`; each difference is explained in docs/partitions.md."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.timetables.interval import CronDataIntervalTimetable

from dataspec.schedule.cron import next_tick

ZONES = (
    "UTC",
    "Asia/Seoul",
    "America/New_York",
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "America/Nuuk",
    "Africa/Casablanca",
    "America/Santiago",
    "Antarctica/Troll",
    "Asia/Beirut",
)
EXPRESSIONS = (
    "0 9 * * *",
    "30 2 * * *",
    "*/30 2 * * *",
    "0 * * * *",
    "30 * * * *",
    "0 */3 * * *",
    "15 1-3 * * *",
    "0 0 * * *",
    "59 23 * * *",
    "0 9 * * 1-5",
    "0 2 * * 0",
    "0 0 1 * 1",
    "0 0 1,15 * 5",
    "0 0 L * *",
    "0 0 * * 7",
    "0 12 29 2 *",
)
BEGIN, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
MOMENT, HOUR, DAY = timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)


def ours(cron: str, zone: str, begin: datetime, end: datetime) -> Iterator[datetime]:
    moment = next_tick(cron, zone, begin - MOMENT)
    while moment < end:
        yield moment
        moment = next_tick(cron, zone, moment)


def airflows(cron: str, zone: str, begin: datetime, end: datetime) -> Iterator[datetime]:
    timetable = CronDataIntervalTimetable(cron, pendulum.timezone(zone))
    moment = timetable._get_next(pendulum.instance(begin) - timedelta(seconds=1))
    while moment < end:
        yield datetime.fromtimestamp(moment.timestamp(), UTC)
        before, moment = moment, timetable._get_next(moment)
        assert moment > before, "Airflow's timetable does not advance"


def changes(zone: str) -> list[datetime]:
    local = ZoneInfo(zone)
    hours = (BEGIN + number * HOUR for number in range(365 * 24))
    return [
        moment
        for moment in hours
        if (moment + HOUR).astimezone(local).utcoffset() != moment.astimezone(local).utcoffset()
    ]


@pytest.mark.rule("11.13")
@pytest.mark.parametrize("zone", ZONES)
def test_ticks_differ_only_within_hours_of_a_change_of_the_clock(zone: str) -> None:
    around = changes(zone)
    for cron in EXPRESSIONS:
        several_a_day = cron.startswith(("*", "0 * ", "30 * ", "0 */"))
        spans = [(change - DAY, change + DAY) for change in around] if several_a_day else [(BEGIN, END)]
        for begin, end in spans:
            different = {*ours(cron, zone, begin, end)} ^ {*airflows(cron, zone, begin, end)}
            far = [tick for tick in different if not any(abs(tick - change) <= 3 * HOUR for change in around)]
            assert not far, cron


@pytest.mark.rule("11.13")
@pytest.mark.parametrize(
    ("cron", "zone", "day", "here", "airflow"),
    [
        ("30 2 * * *", "America/New_York", "2025-03-09", "03:00-0400", "03:30-0400"),
        ("30 2 * * *", "Europe/Berlin", "2025-10-26", "02:30+0200", "02:30+0100"),
        ("*/30 2 * * *", "America/New_York", "2025-03-09", "", "03:00-0400"),
        (
            "*/30 2 * * *",
            "Europe/Berlin",
            "2025-10-26",
            "02:00+0200 02:30+0200 02:00+0100 02:30+0100",
            "02:00+0100 02:30+0100",
        ),
        (
            "0 */2 * * *",
            "Europe/Berlin",
            "2025-10-26",
            "00:00+0200 02:00+0200 02:00+0100 04:00+0100",
            "00:00+0200 02:00+0100 04:00+0100",
        ),
        (
            "0 * * * *",
            "Australia/Lord_Howe",
            "2025-04-06",
            "00:00+1100 01:00+1100 02:00+1030 03:00+1030 04:00+1030",
            "00:00+1100 01:00+1100 01:30+1030 02:00+1030 03:00+1030 04:00+1030",
        ),
        ("0 0 */2 * 1", "UTC", "2025-01-06", "", "00:00+0000"),
        ("0 0 */2 * 1", "UTC", "2025-01-13", "00:00+0000", "00:00+0000"),
        ("0 0 */2 * 1", "UTC", "2025-01-03", "", "00:00+0000"),
    ],
)
def test_each_difference_is_as_the_documentation_says(
    cron: str, zone: str, day: str, here: str, airflow: str
) -> None:
    local = ZoneInfo(zone)
    begin = datetime.fromisoformat(day).replace(tzinfo=local).astimezone(UTC)
    end = datetime.fromisoformat(f"{day}T04:30").replace(tzinfo=local).astimezone(UTC)

    def shown(ticks: Iterator[datetime]) -> str:
        return " ".join(tick.astimezone(local).strftime("%H:%M%z") for tick in ticks)

    assert shown(ours(cron, zone, begin, end)) == here
    assert shown(airflows(cron, zone, begin, end)) == airflow
