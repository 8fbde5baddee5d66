"""Compare ticks with Debian's rule, minute by minute, around each change of the clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from dataspec.schedule.cron import next_tick

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ZONES = (
    "America/New_York",
    "Europe/London",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "America/Nuuk",
    "Africa/Casablanca",
    "America/Santiago",
    "Antarctica/Troll",
    "Asia/Beirut",
)
EXPRESSIONS = (
    "*/15 * * * *",
    "30 * * * *",
    "0 */3 * * *",
    "45 */2 * * *",
    "*/30 2 * * *",
    "* 1-3 * * *",
    "0 */3 * * 0",
    "0 2,3 * * *",
    "30 2 * * *",
    "10,50 2 * * *",
    "30 23 * * *",
    "0 0 * * *",
)


def changes(zone: str) -> Iterator[datetime]:
    local, moment = ZoneInfo(zone), datetime(2025, 1, 1, tzinfo=UTC)
    while moment.year == 2025:
        if (moment + HOUR).astimezone(local).utcoffset() != moment.astimezone(local).utcoffset():
            yield moment
        moment += HOUR


def naive_matches(expression: str, first: datetime, last: datetime) -> list[datetime]:
    """Return the local times that match, on a clock that never changes."""
    return list(takewhile(lambda at: at <= last, CronSim(expression, first - MINUTE)))


def expected(expression: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """Return the ticks from one moment to another by Debian's rule, without any cleverness."""
    local = ZoneInfo(zone)
    first, last = (
        moment.astimezone(local).replace(tzinfo=None) for moment in (begin - 24 * HOUR, end + 24 * HOUR)
    )
    matches = naive_matches(expression, first, last)
    if any(field.startswith("*") for field in expression.split()[:2]):
        wanted, moment, found = set(matches), begin, set()
        while moment <= end:
            if moment.astimezone(local).replace(tzinfo=None) in wanted:
                found.add(moment)
            moment += MINUTE
    else:
        found = {moment for at in matches if begin <= (moment := earliest(at, local)) <= end}
    return sorted(found)


def earliest(at: datetime, local: ZoneInfo) -> datetime:
    """Return the first moment at which the clock shows a local time; the moment after the hour that it skips."""
    while (moment := at.replace(tzinfo=local).astimezone(UTC)).astimezone(local).replace(tzinfo=None) != at:
        at += MINUTE
    return moment


@pytest.mark.rule("11.1")
@pytest.mark.parametrize("zone", ZONES)
def test_ticks_around_a_change_of_the_clock_are_those_of_debian(zone: str) -> None:
    for change in changes(zone):
        begin, end = change - 12 * HOUR, change + 12 * HOUR
        for expression in EXPRESSIONS:
            found, moment = [], begin - MINUTE
            while (moment := next_tick(expression, zone, moment)) <= end:
                found.append(moment)
            assert found == expected(expression, zone, begin, end), (expression, change)


@pytest.mark.rule("11.1")
@pytest.mark.parametrize("day", ["2025-04-06", "2025-10-05"])
def test_change_of_half_an_hour_moves_no_other_hour(day: str) -> None:
    zone = ZoneInfo("Australia/Lord_Howe")
    moment, hours = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC) - MINUTE, []
    for _ in range(8):
        moment = next_tick("0 */3 * * *", zone.key, moment)
        hours.append(moment.astimezone(zone).strftime("%H:%M"))
    assert hours == ["00:00", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]
