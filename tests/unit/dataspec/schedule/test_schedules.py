from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspec.schedule.cron import (
    check_cron,
    check_timezone,
    next_tick,
    previous_tick,
    runs_within_a_day,
)

SEOUL, NEW_YORK, LONDON = "Asia/Seoul", "America/New_York", "Europe/London"
DAILY = "0 9 * * *"


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.rule("2.16")
@pytest.mark.parametrize("cron", ["0 9 * * *", "*/15 * * * *", "0 0 1 * *", "0 0 * * MON-FRI", "0 0 L * *"])
def test_cron_expression_of_five_fields_is_valid(cron: str) -> None:
    assert check_cron(cron) == cron


@pytest.mark.rule("2.16")
@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("@daily", "has 1 fields"),
        ("* * * * * *", "has 6 fields"),
        ("61 * * * *", "bad minute"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("a b c d e", "bad minute"),
    ],
)
def test_a_wrong_cron_expression_is_refused_with_the_field(cron: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_cron(cron)


@pytest.mark.rule("2.16")
def test_an_unknown_time_zone_is_refused_with_the_nearest() -> None:
    assert check_timezone(SEOUL) == SEOUL
    with pytest.raises(ValueError, match="Did you mean 'America/New_York'"):
        check_timezone("america/new_york")


ZONES = st.sampled_from([SEOUL, NEW_YORK, LONDON, "UTC"])
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone


@pytest.mark.parametrize(
    ("cron", "several"),
    [
        ("0 9 * * *", False),
        ("0 9 * * 1", False),
        ("*/30 9 * * *", True),
        ("0 9,17 * * *", True),
        ("* * * * *", True),
    ],
)
def test_schedule_of_several_runs_a_day_is_recognized(cron: str, *, several: bool) -> None:
    assert runs_within_a_day(cron) is several


@given(
    st.sampled_from(["*/15 * * * *", "0 * * * *", "30 1 * * *", "30 2 * * *", "15 */2 * * *"]), ZONES, MOMENTS
)
def test_the_tick_before_the_next_tick_is_not_after_now(cron: str, zone: str, moment: datetime) -> None:
    following = next_tick(cron, zone, moment)
    assert previous_tick(cron, zone, following) <= moment < following


@pytest.mark.rule("11.1")
def test_a_job_in_the_hour_that_the_clock_skips_runs_right_after_it() -> None:
    assert next_tick("30 2 * * *", NEW_YORK, at("2026-03-08T00:00", NEW_YORK)) == at(
        "2026-03-08T03:00", NEW_YORK
    )


@pytest.mark.rule("11.1")
def test_a_job_in_the_hour_that_the_clock_repeats_runs_once() -> None:
    first = next_tick("30 1 * * *", NEW_YORK, at("2026-11-01T00:00", NEW_YORK))
    assert first.isoformat() == "2026-11-01T05:30:00+00:00"
    assert next_tick("30 1 * * *", NEW_YORK, first).isoformat() == "2026-11-02T06:30:00+00:00"


@pytest.mark.rule("11.1")
def test_hourly_job_runs_in_both_repeated_hours() -> None:
    ticks = [at("2026-11-01T00:30", NEW_YORK)]
    for _ in range(3):
        ticks.append(next_tick("0 * * * *", NEW_YORK, ticks[-1]))
    assert [tick.hour for tick in ticks[1:]] == [5, 6, 7]


@pytest.mark.parametrize(
    ("cron", "hours"),
    [
        ("0 */2 * * *", ["00:30", "02:30", "03:30", "05:30"]),
        ("*/59 23,0 * * *", ["01:30", "02:29", "02:30", "03:29", "03:30"]),
    ],
)
def test_a_clock_that_is_set_back_at_00_01_is_passed(cron: str, hours: list[str]) -> None:
    """In St. John's 00:01 became 23:01 of the day before, at 02:31 UTC: cronsim alone repeats one tick for ever."""
    tick = datetime(2010, 11, 6, 23, tzinfo=UTC)
    ticks: list[str] = []
    while len(ticks) < len(hours):
        tick = next_tick(cron, "America/St_Johns", tick)
        ticks.append(f"{tick:%H:%M}")
    assert ticks == hours


def test_a_job_that_fires_every_28_years_has_a_last_and_a_next_tick() -> None:
    sunday, now = "0 0 29 2 */7", datetime(2026, 11, 28, tzinfo=UTC)
    assert previous_tick(sunday, "UTC", now) == datetime(2004, 2, 29, tzinfo=UTC)
    assert next_tick(sunday, "UTC", now) == datetime(2032, 2, 29, tzinfo=UTC)
