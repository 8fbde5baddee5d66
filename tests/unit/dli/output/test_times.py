from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from dataspec.errors import InvalidUsage
from dli.output.times import between, duration, in_zone, local, parse_moment

NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)


@pytest.mark.rule("20.11")
def test_the_next_run_is_shown_in_the_schedules_zone() -> None:
    assert in_zone(NOON, "Asia/Seoul") == "2024-07-01 21:00"
    assert in_zone(NOON, "America/New_York") == "2024-07-01 08:00"
    assert in_zone(NOON, "UTC") == in_zone(NOON, None) == "2024-07-01 12:00"


def test_a_next_run_that_has_its_zones_offset_already_is_shown_as_it_is() -> None:
    assert in_zone(NOON.astimezone(timezone(timedelta(hours=-4))), "America/New_York") == "2024-07-01 08:00"


def test_a_zone_that_this_machine_does_not_know_leaves_the_servers_offset() -> None:
    assert in_zone(NOON, "Mars/Olympus_Mons") == "2024-07-01 12:00"
    assert in_zone(NOON, "../etc/passwd") == "2024-07-01 12:00"


@pytest.mark.rule("20.11")
def test_times_of_runs_are_shown_in_the_readers_zone() -> None:
    assert local(NOON) == "2024-07-01 21:00:00"
    assert local(None) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (59.6, "1m 00s"),
        (61, "1m 01s"),
        (3599, "59m 59s"),
        (7320, "2h 02m"),
        (-5, "0s"),
    ],
)
def test_a_span_is_shown_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


def test_a_span_without_an_end_is_not_known() -> None:
    assert between(NOON, None) is None
    assert between(NOON, NOON + timedelta(seconds=3)) == "3s"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-07-01", "2024-07-01T00:00:00+09:00"),
        ("2024-07-01T12:30", "2024-07-01T12:30:00+09:00"),
        ("2024-07-01 12:30", "2024-07-01T12:30:00+09:00"),
        ("2024-07-01T12:30:00Z", "2024-07-01T12:30:00+00:00"),
    ],
)
def test_a_time_without_an_offset_is_the_readers(text: str, moment: str) -> None:
    assert parse_moment(text).isoformat() == moment


def test_a_date_as_an_end_means_the_end_of_that_day() -> None:
    assert parse_moment("2024-07-01", end_of_day=True).isoformat() == "2024-07-02T00:00:00+09:00"
    assert parse_moment("2024-07-01T12:00", end_of_day=True).isoformat() == "2024-07-01T12:00:00+09:00"


@pytest.mark.rule("20.11")
@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("2d", timedelta(days=2)),
        ("12h", timedelta(hours=12)),
        ("90m", timedelta(minutes=90)),
        ("1w", timedelta(weeks=1)),
        (" 0d ", timedelta()),
    ],
)
def test_a_time_may_be_told_by_how_long_ago_it_was(text: str, ago: timedelta) -> None:
    assert parse_moment(text, now=NOON) == NOON - ago
    assert parse_moment(text, end_of_day=True, now=NOON) == NOON - ago


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2024-13-01",
        "01/02/2024",
        "d",
        "-2d",
        "1.5h",
        "2y",
        "²d",
        "99999999999d",
        "9999-12-31",
    ],
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidUsage) as error:
        parse_moment(text, end_of_day=True)
    assert "2024-01-15" in (error.value.detail or "")


@pytest.mark.parametrize(("text", "told"), [("2024-02-30", ": there is no such date."), ("2024-2-3", ".")])
def test_a_date_that_does_not_exist_is_told_from_one_that_is_written_wrong(text: str, told: str) -> None:
    with pytest.raises(InvalidUsage) as error:
        parse_moment(text)
    assert error.value.title == f"Invalid time '{text}'{told}"
