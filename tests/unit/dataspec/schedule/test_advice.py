from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dataspec.schedule.advice import schedule_advice

TODAY = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.mark.rule("11.13")
@pytest.mark.parametrize(
    ("cron", "either"), [("0 0 */2 * 1", "0 0 1-31/2 * 1"), ("0 0 1 * */2", "0 0 1 * 0-6/2")]
)
def test_days_that_must_match_both_fields_are_told_with_what_means_either(cron: str, either: str) -> None:
    [(message, hint)] = schedule_advice(cron, "UTC", TODAY)
    assert "match both" in message
    assert hint.endswith(f": {either}")
    assert not list(schedule_advice(either, "UTC", TODAY))


@pytest.mark.rule("11.13")
@pytest.mark.parametrize("cron", ["0 0 1 * 1", "0 0 * * 1", "0 0 */2 * *", "0 0 */1 * 1", "0 9 * * *"])
def test_other_days_are_left_alone(cron: str) -> None:
    assert not list(schedule_advice(cron, "UTC", TODAY))


@pytest.mark.rule("11.13")
@pytest.mark.parametrize(
    ("cron", "zone", "day", "instead"),
    [
        ("*/30 2 * * *", "America/New_York", "2027-03-14", "0-59/30 2 * * *"),
        ("*/15 2 * * 0", "Europe/Berlin", "2027-03-28", "0-59/15 2 * * 0"),
        ("*/30 */24 * * *", "America/Santiago", "2027-09-05", "0-59/30 0-23/24 * * *"),
        ("*/30 1-2 * * *", "Antarctica/Troll", "2027-03-28", "0-59/30 1-2 * * *"),
    ],
)
def test_day_whose_clock_skips_every_run_is_named(cron: str, zone: str, day: str, instead: str) -> None:
    [(message, hint)] = schedule_advice(cron, zone, TODAY)
    assert f"no run on {day}" in message
    assert hint.endswith(f": {instead}")
    assert not list(schedule_advice(instead, zone, TODAY))


@pytest.mark.rule("11.13")
@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("*/30 2 * * *", "Asia/Seoul"),
        ("30 2 * * *", "America/New_York"),
        ("*/30 2 * * 1", "America/New_York"),
        ("*/30 1-2 * * *", "Europe/Berlin"),
        ("*/15 * * * *", "America/New_York"),
        ("0 */24 * * *", "America/Santiago"),
    ],
)
def test_schedule_that_loses_no_day_is_left_alone(cron: str, zone: str) -> None:
    assert not list(schedule_advice(cron, zone, TODAY))
