"""What a dataset has built: unions of dates and of moments, and the text that Airflow's Variable holds."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspec.schedule.built import MAX_RANGES, Built
from dataspec.schedule.partitions import Grid, Partition

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
SEOUL = timezone(timedelta(hours=9))
DAILY, HOURLY = Grid("0 0 * * *", "Asia/Seoul"), Grid("0 * * * *")
FIRST_DAY, FIRST_HOUR = date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)


def days(first: int, number: int = 1, *, off_schedule: bool = False) -> Partition:
    """Return a partition of whole dates in Seoul."""
    dates = FIRST_DAY + first * DAY, FIRST_DAY + (first + number) * DAY
    start, end = (datetime(day.year, day.month, day.day, tzinfo=SEOUL) for day in dates)
    return Partition(dates[0].isoformat(), start, end, off_schedule)


def hours(first: int, number: int = 1) -> Partition:
    start, end = FIRST_HOUR + first * HOUR, FIRST_HOUR + (first + number) * HOUR
    return Partition(start.isoformat(timespec="minutes"), start, end)


def built(*spans: Partition, grid: Grid = DAILY) -> Built:
    """Return what a dataset has built after successes in this order."""
    value = Built()
    for number, span in enumerate(spans):
        value = value.with_partition(span, at=NOW + number * HOUR, grid=grid)
    return value


numbers = st.lists(st.integers(0, 20), max_size=12)


@pytest.mark.rule("31.1")
@given(built_days=numbers, first=st.integers(0, 20), number=st.integers(1, 8))
def test_days_are_built_when_each_of_them_was_whatever_the_order(
    built_days: list[int], first: int, number: int
) -> None:
    value = built(*map(days, built_days))
    assert value.covers(days(first, number)) == ({*range(first, first + number)} <= set(built_days))


@pytest.mark.rule("31.1")
@given(built_hours=numbers, first=st.integers(0, 20), number=st.integers(1, 8))
def test_hours_are_built_when_each_of_them_was_whatever_the_order(
    built_hours: list[int], first: int, number: int
) -> None:
    value = built(*map(hours, built_hours), grid=HOURLY)
    assert value.covers(hours(first, number)) == ({*range(first, first + number)} <= set(built_hours))


@pytest.mark.rule("31.1")
@given(mine=numbers, theirs=numbers, their_hours=numbers)
def test_union_holds_what_either_holds_whoever_writes_first(
    mine: list[int], theirs: list[int], their_hours: list[int]
) -> None:
    one = built(*map(days, mine))
    other = built(*map(days, theirs), *map(hours, their_hours))
    both = built(*map(days, mine), *map(days, theirs), *map(hours, their_hours))
    assert (one.union(other).dates, one.union(other).moments) == (both.dates, both.moments)
    assert (other.union(one).dates, other.union(one).moments) == (both.dates, both.moments)
    assert one.union(one) == one
    assert one.union(Built()) == Built().union(one) == one


@pytest.mark.rule("31.1")
def test_a_weekly_partition_is_its_seven_days() -> None:
    value = built(days(0, 7))
    assert value.dates == ((date(2024, 1, 1), date(2024, 1, 8)),)
    assert all(value.covers(days(day)) for day in range(7))
    assert not value.covers(days(6, 2))


@pytest.mark.rule("31.1")
def test_ranges_that_meet_are_joined() -> None:
    value = built(*map(days, range(365)), *map(hours, range(1000)))
    assert len(value.dates) == len(value.moments) == 1
    assert len(value.text()) < 400


@pytest.mark.rule("31.1")
def test_a_run_without_a_partition_of_the_schedule_is_the_last_success_alone() -> None:
    for partition in (None, days(0, off_schedule=True)):
        value = Built().with_partition(partition, at=NOW, grid=DAILY)
        assert (value.dates, value.moments, value.last) == ((), (), NOW)
        assert (value.grid.cron, value.grid.timezone) == (DAILY.cron, DAILY.zone)


@pytest.mark.rule("31.1")
def test_the_last_success_is_the_latest_of_both_with_its_schedule() -> None:
    older = Built().with_partition(days(0), at=NOW, grid=DAILY)
    newer = Built().with_partition(hours(0), at=NOW + HOUR, grid=HOURLY)
    for value in (older.union(newer), newer.union(older)):
        assert (value.last, value.grid) == (NOW + HOUR, newer.grid)
        assert (value.grid.cron, value.grid.timezone) == (HOURLY.cron, HOURLY.zone)


@pytest.mark.rule("31.1")
def test_dates_and_hours_of_a_changed_schedule_count_together() -> None:
    """A day of Seoul ends at 15:00 UTC; the hours after it were built by the new schedule."""
    seoul = Grid("0 * * * *", "Asia/Seoul")
    value = built(days(0), *map(hours, range(15, 39)), grid=seoul)
    assert value.covers(hours(10, 10))
    assert value.covers(days(1))
    assert not value.covers(days(2))
    assert not value.covers(hours(38, 2))


@pytest.mark.rule("31.2")
def test_text_is_read_again_with_the_keys_of_newer_versions() -> None:
    value = built(days(0), hours(3), days(9))
    text = json.dumps({**json.loads(value.text()), "rows": 5, "grid": {"cron": None, "colour": "red"}})
    read = Built.parse(text)
    assert (read.problem, read.may_be_written) == (None, True)
    again = json.loads(read.built.with_partition(days(1), at=NOW - DAY, grid=HOURLY).text())
    assert again["rows"] == 5
    assert again["grid"]["colour"] == "red"
    assert again["dates"] == [["2024-01-01", "2024-01-03"], ["2024-01-10", "2024-01-11"]]
    assert Built.parse(value.text()).built == value
    assert Built.parse(None) == (Built(), None, True)


@pytest.mark.rule("31.2")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "***",
        "[]",
        "[" * 100_000,
        '{"dates": [[1, 2]]}',
        '{"dates": [["2024-01-02", "2024-01-01"]]}',
        '{"dates": [["2024-01-01"]]}',
        '{"dates": [["0001-01-01", "2024-01-01"]]}',
        '{"moments": [["2024-01-01T00:00", "2024-01-02T00:00"]]}',
        '{"moments": [["0001-01-01T00:00:00+14:00", "2024-01-02T00:00:00Z"]]}',
        '{"last": 5}',
        '{"grid": {"timezone": "Mars/Olympus"}}',
        '{"grid": null}',
        '{"format": "x"}',
        "\udcff",
    ],
)
def test_a_damaged_text_reads_as_empty_and_is_reported(text: str) -> None:
    read = Built.parse(text)
    assert read.built == Built()
    assert read.problem
    assert read.may_be_written


@pytest.mark.rule("31.2")
def test_a_text_of_a_newer_format_is_not_written_over() -> None:
    read = Built.parse('{"format": 2, "dates": {"all": true}}')
    assert (read.built, read.may_be_written) == (Built(), False)
    assert read.problem == "it has format 2"


@pytest.mark.rule("31.2")
def test_the_newest_ranges_are_kept_and_nothing_counts_as_built_that_was_not() -> None:
    value = built(*(days(2 * number) for number in range(MAX_RANGES + 5)))
    value = value.union(built(*(hours(2 * number) for number in range(MAX_RANGES + 5)), grid=HOURLY))
    assert len(value.dates) == len(value.moments) == MAX_RANGES
    assert not value.covers(days(0))
    assert not value.covers(days(2 * MAX_RANGES + 7))
    assert value.covers(days(2 * MAX_RANGES + 8))
    assert len(value.text()) < 48 * 1024


@pytest.mark.rule("31.2")
@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_no_text_raises(text: str) -> None:
    assert isinstance(Built.parse(text).built, Built)
