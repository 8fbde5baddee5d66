"""Which partitions of an upstream dataset a run needs, against a brute-force enumeration, and whether they are built."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspec.schedule.built import Built
from dataspec.schedule.cron import next_tick, runs_within_a_day
from dataspec.schedule.needs import Need, Upstream, need_of
from dataspec.schedule.partitions import Grid, Partition

DAY = timedelta(days=1)
FROM, TO = datetime(2024, 1, 30, tzinfo=UTC), datetime(2024, 5, 3, tzinfo=UTC)
"""Clocks change in it, in Berlin, New York and on Lord Howe Island."""
RUNS_FROM, RUNS_TO = datetime(2024, 3, 6, tzinfo=UTC), datetime(2024, 4, 10, tzinfo=UTC)
NOW = datetime(2024, 6, 1, tzinfo=UTC)

CRONS = (
    "30 */4 * * *",
    "0 0 * * *",
    "0 7 * * *",
    "0 8 * * *",
    "0 9 * * 1-5",
    "0 6 * * 1",
    "30 23 * * 0",
    "0 5 1 * *",
)
ZONES = ("Asia/Seoul", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")

grids = st.builds(Grid, st.sampled_from(CRONS), st.sampled_from(ZONES))


@dataclass(frozen=True)
class Tile:
    """A partition as this test enumerates it, from ticks and local dates alone."""

    start: datetime
    end: datetime
    first: date | None = None
    """Its date, for a partition of whole dates; None for a data interval."""


@cache
def tiles(grid: Grid) -> list[Tile]:
    """Return the partitions of a schedule between FROM and TO."""
    assert grid.cron is not None
    ticks = [FROM]
    while ticks[-1] < TO:
        ticks.append(next_tick(grid.cron, grid.zone, ticks[-1]))
    if runs_within_a_day(grid.cron):
        return [Tile(*ends) for ends in pairwise(ticks[1:])]
    zone = ZoneInfo(grid.zone)
    days = [tick.astimezone(zone).date() for tick in ticks[1:]]
    starts = [datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) for day in days]
    return [Tile(*one) for one in zip(starts, starts[1:], days, strict=False)]


def needed(run: Tile, run_end: date | None, upstream: list[Tile]) -> list[Tile]:
    """Return what a run needs by the words of the rule."""
    if run.first is not None and run_end is not None and upstream[0].first is not None:
        within = [one for one in upstream if one.first and run.first <= one.first < run_end]
        return within or [one for one in upstream if one.first and one.first <= run.first][-1:]
    within = [one for one in upstream if run.start <= one.start < run.end]
    return within or [one for one in upstream if one.start <= run.start < one.end]


def end_date(grid: Grid, run: Tile) -> date | None:
    return run.end.astimezone(ZoneInfo(grid.zone)).date() if run.first else None


def partition(grid: Grid, tile: Tile) -> Partition:
    found = grid.covering(tile.start)
    assert (found.start, found.end) == (tile.start, tile.end)
    return found


def day(name: str, cron: str = "0 0 * * *", zone: str = "UTC") -> Partition:
    return Grid(cron, zone).named(name)


runs = st.builds(
    lambda grid, number: (grid, [one for one in tiles(grid) if RUNS_FROM <= one.start < RUNS_TO], number),
    grids,
    st.integers(0, 10_000),
)


@pytest.mark.rule("31.3")
@given(run=runs, upstream=grids)
def test_same_is_what_the_rule_says(run: tuple[Grid, list[Tile], int], upstream: Grid) -> None:
    grid, choice, number = run
    tile = choice[number % len(choice)]
    need = need_of("up", "same", partition(grid, tile), grid=grid, upstream=Upstream(upstream))
    expected = needed(tile, end_date(grid, tile), tiles(upstream))
    assert need is not None
    assert [(one.start, one.end) for one in need.partitions()] == [(one.start, one.end) for one in expected]
    assert (need.start, need.end) == (expected[0].start, expected[-1].end)


@pytest.mark.rule("31.3")
@given(run=runs, upstream=grids)
def test_previous_is_the_same_of_the_partition_before(
    run: tuple[Grid, list[Tile], int], upstream: Grid
) -> None:
    grid, choice, number = run
    tile = choice[number % len(choice)]
    before = tiles(grid)[tiles(grid).index(tile) - 1]
    need = need_of("up", "previous", partition(grid, tile), grid=grid, upstream=Upstream(upstream))
    assert need == need_of("up", None, partition(grid, before), grid=grid, upstream=Upstream(upstream))


@pytest.mark.rule("31.3")
@given(run=runs, upstream=grids, choose=st.data())
def test_a_need_is_met_when_each_of_its_partitions_is_built(
    run: tuple[Grid, list[Tile], int], upstream: Grid, choose: st.DataObject
) -> None:
    grid, choice, number = run
    tile = choice[number % len(choice)]
    need = need_of("up", "same", partition(grid, tile), grid=grid, upstream=Upstream(upstream))
    assert need is not None
    wanted = list(need.partitions())
    lacking = set(choose.draw(st.lists(st.integers(0, len(wanted) - 1), max_size=3)))
    built = Built()
    for position, one in enumerate(wanted):
        if position not in lacking:
            built = built.with_partition(one, at=NOW, grid=upstream)
    assert need.is_met(built) == (not lacking)
    assert list(need.missing(built)) == [wanted[position] for position in sorted(lacking)]


@pytest.mark.rule("31.3")
@pytest.mark.parametrize(
    ("run", "upstream", "names"),
    [
        (day("2024-01-15", "0 7 * * *"), Grid("0 8 * * *"), ["2024-01-15"]),
        (day("2024-01-15", "0 7 * * *"), Grid("0 8 * * *", "Asia/Seoul"), ["2024-01-15"]),
        (
            day("2024-01-15", "0 6 * * 1"),
            Grid("0 3 * * *", "America/New_York"),
            [f"2024-01-{number}" for number in range(15, 22)],
        ),
        (day("2024-01-15T13:00", "0 * * * *"), Grid("0 2 * * *"), ["2024-01-15"]),
        (day("2024-01-15T20:00", "0 * * * *"), Grid("0 2 * * *", "Asia/Seoul"), ["2024-01-16"]),
        (day("2024-01-15T13:00", "0 * * * *"), Grid("0 * * * *", "Asia/Seoul"), ["2024-01-15T22:00+09:00"]),
        (day("2024-01-14"), Grid("0 9 * * 1-5"), ["2024-01-12"]),
        (day("2024-01-15"), Grid("0 9 * * 1-5"), ["2024-01-15"]),
        (day("2024-01-17"), Grid("0 6 * * 1"), ["2024-01-15"]),
        (day("2024-01-15"), Grid(None), ["2024-01-15"]),
    ],
    ids=str,
)
def test_examples_of_the_documentation(run: Partition, upstream: Grid, names: list[str]) -> None:
    need = need_of("up", "same", run, grid=Grid("0 0 * * *"), upstream=Upstream(upstream))
    assert need is not None
    assert [one.name for one in need.partitions()] == names


@pytest.mark.rule("31.3")
def test_a_daily_partition_has_the_hours_that_its_date_has_on_the_day_of_a_clock_change() -> None:
    berlin = "Europe/Berlin"
    for name, hours in (("2024-03-31", 23), ("2024-10-27", 25), ("2024-06-01", 24)):
        run = day(name, zone=berlin)
        need = need_of(
            "up", None, run, grid=Grid("0 0 * * *", berlin), upstream=Upstream(Grid("0 * * * *", berlin))
        )
        assert need is not None
        assert len(list(need.partitions())) == hours


@pytest.mark.rule("31.4")
@pytest.mark.parametrize(
    ("which", "run"),
    [("latest", day("2024-01-15")), (None, day("2024-01-15")), ("same", None), ("previous", None)],
)
def test_latest_is_met_by_any_success_and_is_the_default_without_a_schedule(
    which: str | None, run: Partition | None
) -> None:
    need = need_of("up", which, run, grid=Grid("0 0 * * *"), upstream=Upstream(Grid(None)))  # type: ignore[arg-type]
    assert need == Need("up", Grid(None))
    assert not need.is_met(Built())
    assert list(need.missing(Built())) == []
    assert need.is_met(Built().with_partition(None, at=NOW, grid=Grid(None)))


def registered(at: datetime, upstream: Grid, run: Partition) -> list[str] | None:
    need = need_of("up", "same", run, grid=Grid("0 6 * * 1"), upstream=Upstream(upstream, at))
    return None if need is None else [one.name for one in need.partitions()]


@pytest.mark.rule("31.5")
def test_what_was_due_before_the_registration_of_the_upstream_is_not_waited_for() -> None:
    week = day("2024-01-15", "0 6 * * 1")
    daily = Grid("0 7 * * *")

    def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
        return datetime(2024, 1, day, hour, minute, tzinfo=UTC)

    assert registered(at(1), daily, week) == [f"2024-01-{number}" for number in range(15, 22)]
    assert registered(at(18, 6, 59), daily, week) == [f"2024-01-{number}" for number in range(17, 22)]
    assert registered(at(18, 7), daily, week) == [f"2024-01-{number}" for number in range(18, 22)]
    assert registered(at(22, 6), daily, week) == ["2024-01-21"]
    assert registered(at(22, 7), daily, week) is None
    assert registered(at(30), Grid(None), week) == [f"2024-01-{number}" for number in range(15, 22)]
    hours = registered(at(21, 22), Grid("0 * * * *"), week)
    assert hours == ["2024-01-21T22:00+00:00", "2024-01-21T23:00+00:00"]


@pytest.mark.rule("31.5")
@given(run=runs, upstream=grids, after=st.integers(-20 * 24, 30 * 24))
def test_only_partitions_that_were_due_after_the_registration_are_waited_for(
    run: tuple[Grid, list[Tile], int], upstream: Grid, after: int
) -> None:
    grid, choice, number = run
    tile = choice[number % len(choice)]
    registered_at = tile.start + after * timedelta(hours=1)
    need = need_of("up", "same", partition(grid, tile), grid=grid, upstream=Upstream(upstream, registered_at))
    expected = [
        one
        for one in needed(tile, end_date(grid, tile), tiles(upstream))
        if upstream.data_interval(partition(upstream, one))[1] > registered_at
    ]
    found = [] if need is None else [(one.start, one.end) for one in need.partitions()]
    assert found == [(one.start, one.end) for one in expected]


@pytest.mark.rule("31.1")
@given(
    before=grids,
    after=grids,
    change=st.integers(0, 30),
    run=st.integers(0, 40),
    lost=st.none() | st.integers(0, 60),
)
def test_what_was_built_before_and_after_a_change_of_the_schedule_counts_together(
    before: Grid, after: Grid, change: int, run: int, lost: int | None
) -> None:
    """The zone stays; partitions of the new schedule are built from the end of the last one of the old schedule."""
    after = Grid(after.cron, before.zone)
    old = [one for one in tiles(before) if one.start < RUNS_FROM + change * DAY]
    new = [one for one in tiles(after) if one.end > old[-1].end]
    parts = [(before, one) for one in old[-10:]] + [(after, one) for one in new[:40]]
    if lost is not None:
        del parts[lost % len(parts)]
    built = Built()
    for grid, tile in parts:
        built = built.with_partition(partition(grid, tile), at=NOW, grid=grid)
    choice = [one for one in new if one.start >= RUNS_FROM][:20]
    wanted = choice[run % len(choice)]
    covered = sorted((one.start, one.end) for _, one in parts)
    reached = wanted.start
    for start, end in covered:
        reached = max(reached, end) if start <= reached else reached
    assert Need("up", after, (wanted.start, wanted.end)).is_met(built) == (reached >= wanted.end)


@pytest.mark.rule("31.3")
@given(run=runs, upstream=grids)
def test_a_need_is_read_again_from_the_arguments_of_a_trigger(
    run: tuple[Grid, list[Tile], int], upstream: Grid
) -> None:
    grid, choice, number = run
    chosen = partition(grid, choice[number % len(choice)])
    for which in ("same", "previous", "latest"):
        need = need_of("up", which, chosen, grid=grid, upstream=Upstream(upstream))
        assert need is not None
        assert Need.read(json.loads(json.dumps(need.to_json()))) == need
