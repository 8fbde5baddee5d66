from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataspec.schedules import (
    check_cron,
    check_timezone,
    execution_date,
    interval_of_date,
    next_interval,
    next_tick,
    previous_tick,
)

SEOUL, NEW_YORK, LONDON = "Asia/Seoul", "America/New_York", "Europe/London"
DAILY = "0 9 * * *"


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize("cron", ["0 9 * * *", "*/15 * * * *", "0 0 1 * *", "0 0 * * MON-FRI", "0 0 L * *"])
def test_a_cron_expression_of_five_fields_is_taken(cron: str) -> None:
    assert check_cron(cron) == cron


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


def test_an_unknown_time_zone_is_refused_with_the_nearest() -> None:
    assert check_timezone(SEOUL) == SEOUL
    with pytest.raises(ValueError, match="Did you mean 'America/New_York'"):
        check_timezone("america/new_york")


def test_a_daily_run_at_nine_on_the_16th_builds_the_15th() -> None:
    now = at("2024-01-16T09:00", SEOUL)
    start, end = next_interval(DAILY, SEOUL, last=None, registered_at=at("2024-01-15T12:00", SEOUL), now=now)
    assert end == now
    assert execution_date(start, SEOUL) == "2024-01-15"


def test_the_first_run_is_due_at_the_first_tick_after_registration_never_before() -> None:
    registered = at("2024-01-15T09:00:01", SEOUL)
    for now in (registered, at("2024-01-16T08:59", SEOUL)):
        _, due = next_interval(DAILY, SEOUL, last=None, registered_at=registered, now=now)
        assert due == at("2024-01-16T09:00", SEOUL)


def test_runs_follow_each_other_without_a_gap() -> None:
    last = at("2024-01-14T09:00", SEOUL), at("2024-01-15T09:00", SEOUL)
    found = next_interval(DAILY, SEOUL, last=last, registered_at=last[0], now=last[1] + timedelta(minutes=1))
    assert found == (at("2024-01-15T09:00", SEOUL), at("2024-01-16T09:00", SEOUL))


def test_after_a_pause_only_the_latest_missed_interval_runs() -> None:
    last = at("2024-01-01T09:00", SEOUL), at("2024-01-02T09:00", SEOUL)
    found = next_interval(DAILY, SEOUL, last=last, registered_at=last[0], now=at("2024-01-20T12:00", SEOUL))
    assert found == (at("2024-01-19T09:00", SEOUL), at("2024-01-20T09:00", SEOUL))


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
    moment = at(now, SEOUL)
    last_end = previous_tick(DAILY, SEOUL, moment)
    last = previous_tick(DAILY, SEOUL, last_end), last_end
    start, end = next_interval(cron, SEOUL, last=last, registered_at=moment, now=moment)
    assert (execution_date(start, SEOUL), end) == (built, at(due, SEOUL))


CRONS = st.sampled_from(["0 9 * * *", "30 2 * * *", "30 1 * * *", "0 0 * * *", "0 6 * * 1", "0 3 1 * *"])
ZONES = st.sampled_from([SEOUL, NEW_YORK, LONDON, "UTC"])
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone


@settings(max_examples=150, deadline=None)
@given(CRONS, ZONES, MOMENTS, st.lists(CRONS, min_size=1, max_size=3))
def test_no_date_is_built_twice_whatever_daily_or_coarser_crons_follow_each_other(
    cron: str, zone: str, registered: datetime, changes: list[str]
) -> None:
    last, now, built = None, registered, []
    for expression in [cron, *changes]:
        for _ in range(3):
            interval = next_interval(expression, zone, last=last, registered_at=registered, now=now)
            built.append(execution_date(interval[0], zone))
            last, now = interval, max(now, interval[1] + timedelta(seconds=1))
    assert built == sorted(set(built))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["*/15 * * * *", "0 * * * *", "30 1 * * *", "30 2 * * *", "15 */2 * * *"]), ZONES, MOMENTS
)
def test_the_tick_before_the_next_tick_is_not_after_now(cron: str, zone: str, moment: datetime) -> None:
    following = next_tick(cron, zone, moment)
    assert previous_tick(cron, zone, following) <= moment < following


def test_a_job_in_the_hour_that_the_clock_skips_runs_right_after_it() -> None:
    assert next_tick("30 2 * * *", NEW_YORK, at("2026-03-08T00:00", NEW_YORK)) == at(
        "2026-03-08T03:00", NEW_YORK
    )


def test_a_job_in_the_hour_that_the_clock_repeats_runs_once() -> None:
    first = next_tick("30 1 * * *", NEW_YORK, at("2026-11-01T00:00", NEW_YORK))
    assert first.isoformat() == "2026-11-01T05:30:00+00:00"
    assert next_tick("30 1 * * *", NEW_YORK, first).isoformat() == "2026-11-02T06:30:00+00:00"


def test_an_hourly_job_runs_in_both_hours_that_bear_one_name() -> None:
    ticks = [at("2026-11-01T00:30", NEW_YORK)]
    for _ in range(3):
        ticks.append(next_tick("0 * * * *", NEW_YORK, ticks[-1]))
    assert [tick.hour for tick in ticks[1:]] == [5, 6, 7]


def test_a_run_for_a_date_has_the_interval_of_the_scheduled_run_for_it() -> None:
    assert interval_of_date(DAILY, SEOUL, "2024-01-15") == (
        at("2024-01-15T09:00", SEOUL),
        at("2024-01-16T09:00", SEOUL),
    )


@pytest.mark.parametrize("cron", [None, "0 9 * * 1"])
def test_a_run_for_a_date_on_which_no_interval_starts_has_the_local_day(cron: str | None) -> None:
    assert interval_of_date(cron, SEOUL, "2024-01-16") == (at("2024-01-16", SEOUL), at("2024-01-17", SEOUL))
