"""Which partitions are late: deadlines by a local time and by seconds, clock changes, pauses, registrations."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from dataspec.schedule.built import Built
from dataspec.schedule.deadlines import MAX_LOOKED_AT, Expected, TimeLimit, find_late
from dataspec.schedule.partitions import Grid

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def expected(cron: str = "0 7 * * *", zone: str = "Asia/Seoul", **more: Any) -> Expected:
    times = {"registered_at": LONG_AGO, "on_since": more.get("registered_at", LONG_AGO)}
    return Expected(grid=Grid(cron, zone), **{"limit": TimeLimit(time(10)), **times, **more})


def built(one: Expected, *names: str) -> Built:
    found = Built()
    for name in names:
        found = found.with_partition(one.grid.named(name), at=LONG_AGO, grid=one.grid)
    return found


def late(one: Expected, now: str, *built_names: str) -> list[tuple[str, str]]:
    found = find_late(one, built(one, *built_names), at(now)).late
    return [(item.partition.name, item.since.astimezone(UTC).isoformat(timespec="minutes")) for item in found]


REGISTERED: dict[str, Any] = {"registered_at": at("2024-01-15T06:00:00+09:00")}


@pytest.mark.rule("38.2")
@pytest.mark.parametrize(
    ("now", "names"),
    [
        ("2024-01-15T09:59:59+09:00", []),
        ("2024-01-15T10:00:00+09:00", ["2024-01-14"]),
        ("2024-01-16T09:00:00+09:00", ["2024-01-14"]),
        ("2024-01-16T10:00:00+09:00", ["2024-01-14", "2024-01-15"]),
    ],
)
def test_partition_is_late_from_the_first_such_time_after_its_tick(now: str, names: list[str]) -> None:
    """The partition of the 14th is due on the 15th at 07:00 in Seoul, and late from 10:00 there."""
    assert [name for name, _ in late(expected(**REGISTERED), now)] == names


@pytest.mark.rule("38.2")
def test_built_partition_is_not_late() -> None:
    one = expected(**REGISTERED)
    assert late(one, "2024-01-16T12:00:00+09:00", "2024-01-14") == [("2024-01-15", "2024-01-16T01:00+00:00")]


@pytest.mark.rule("38.2")
@pytest.mark.parametrize(
    ("cron", "by", "tick", "end"),
    [
        # The time of the tick itself is the next day's.
        ("0 10 * * *", time(10), "2024-01-15T09:00+00:00", "2024-01-16T09:00+00:00"),
        # A tick late in the evening: the time is that of the next morning.
        ("0 23 * * *", time(1), "2024-01-15T22:00+00:00", "2024-01-16T00:00+00:00"),
        # 31 March 2024: the clock skips 02:00 to 03:00, so 02:30 is right after it.
        ("0 1 * * *", time(2, 30), "2024-03-31T00:00+00:00", "2024-03-31T01:00+00:00"),
        # 27 October 2024: the clock shows 02:30 twice; the first one counts.
        ("0 1 * * *", time(2, 30), "2024-10-26T23:00+00:00", "2024-10-27T00:30+00:00"),
        # The day that has 25 hours does not move the deadline of 10:00.
        ("0 1 * * *", time(10), "2024-10-26T23:00+00:00", "2024-10-27T09:00+00:00"),
    ],
)
def test_local_time_of_a_deadline_follows_clock_changes(cron: str, by: time, tick: str, end: str) -> None:
    one = expected(cron, "Europe/Berlin", limit=TimeLimit(by))
    assert one.limit.ends_at(at(tick), "Europe/Berlin").isoformat(timespec="minutes") == end


@pytest.mark.rule("38.3")
def test_seconds_count_from_the_tick_and_the_earlier_limit_counts() -> None:
    one = expected("0 * * * *", "UTC", limit=TimeLimit(within_seconds=900), **REGISTERED)
    now = "2024-01-14T23:20:00+00:00"
    assert late(one, now) == [
        ("2024-01-14T21:00+00:00", "2024-01-14T22:15+00:00"),
        ("2024-01-14T22:00+00:00", "2024-01-14T23:15+00:00"),
    ]
    both = TimeLimit(time(10), 600)
    assert both.ends_at(at("2024-01-15T07:00+09:00"), "Asia/Seoul") == at("2024-01-15T07:10+09:00")
    assert both.ends_at(at("2024-01-15T09:55+09:00"), "Asia/Seoul") == at("2024-01-15T10:00+09:00")


@pytest.mark.rule("38.4")
def test_what_was_due_before_the_registration_is_not_expected() -> None:
    one = expected(registered_at=at("2024-01-15T07:00:00+09:00"))
    assert late(one, "2024-01-16T09:00:00+09:00") == []
    assert [name for name, _ in late(one, "2024-01-16T10:00:00+09:00")] == ["2024-01-15"]


@pytest.mark.rule("38.4")
@pytest.mark.parametrize(
    ("catch_up", "names"), [(False, ["2024-01-17"]), (True, ["2024-01-15", "2024-01-16", "2024-01-17"])]
)
def test_after_a_pause_the_time_begins_at_its_end(catch_up: bool, names: list[str]) -> None:
    """Paused until the 18th at 12:00, the last missed partition is expected by the next 10:00, with ``catch_up`` all."""
    one = expected(
        registered_at=at("2024-01-16T06:00:00+09:00"),
        on_since=at("2024-01-18T12:00:00+09:00"),
        catch_up=catch_up,
    )
    assert late(one, "2024-01-19T09:59:00+09:00") == []
    found = late(one, "2024-01-19T10:00:00+09:00")
    assert found == [(name, "2024-01-19T01:00+00:00") for name in [*names, "2024-01-18"]]


@pytest.mark.rule("38.2")
def test_nothing_becomes_late_before_the_next_deadline() -> None:
    one = expected(**REGISTERED)
    for now, until in [
        ("2024-01-15T06:30:00+09:00", "2024-01-15T10:00:00+09:00"),
        ("2024-01-15T08:00:00+09:00", "2024-01-15T10:00:00+09:00"),
        ("2024-01-15T10:00:00+09:00", "2024-01-16T10:00:00+09:00"),
    ]:
        assert find_late(one, Built(), at(now)).until == at(until)


def test_weekly_partition_and_change_from_days_to_hours() -> None:
    """A week is late as one partition; what was built as dates counts for the hours of a later schedule."""
    one = expected("0 7 * * 1", **REGISTERED)
    assert [name for name, _ in late(one, "2024-01-15T11:00:00+09:00")] == ["2024-01-08"]
    days = expected("0 7 * * *", "UTC")
    hours = expected("0 * * * *", "UTC", limit=TimeLimit(within_seconds=1), **REGISTERED)
    known = built(days, "2024-01-14", "2024-01-15")
    found = find_late(hours, known, at("2024-01-16T01:30:00+00:00")).late
    assert [item.partition.name for item in found] == ["2024-01-16T00:00+00:00"]


def test_number_of_partitions_that_are_looked_at_is_bounded() -> None:
    one = expected("* * * * *", "UTC", limit=TimeLimit(within_seconds=30))
    found = find_late(one, Built(), at("2024-01-16T01:30:59+00:00")).late
    assert len(found) == MAX_LOOKED_AT
    assert found[-1].since - found[0].since == timedelta(minutes=MAX_LOOKED_AT - 1)
