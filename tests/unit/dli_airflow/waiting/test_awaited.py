"""What a run waits for: its words, and when a partition was passed over."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from dataspec.schedule.built import Built
from dataspec.schedule.needs import LATE, Need
from dataspec.schedule.partitions import Grid
from dli_airflow.waiting.awaited import AwaitedDataset, AwaitedQuery

DAILY = Grid("0 7 * * *", "UTC")
HOURLY = Grid("0 * * * *", "Asia/Seoul")
NOW = datetime(2024, 1, 20, tzinfo=UTC)


def awaited(grid: Grid, first: str, last: str, *, catches_up: bool = False) -> AwaitedDataset:
    """Return the need of the partitions from one to another."""
    span = grid.named(first).start, grid.named(last).end
    return AwaitedDataset(Need("sales.orders", grid, span), NOW, catches_up)


def built(grid: Grid, *names: str) -> Built:
    done = Built()
    for name in names:
        done = done.with_partition(grid.named(name), at=NOW, grid=grid)
    return done


@pytest.mark.rule("31.55")
@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("2024-01-15", "sales.orders 2024-01-15"),
        ("2024-01-17", "sales.orders 2024-01-15, 2024-01-17"),
        (
            "2024-03-01",
            "sales.orders 2024-01-15, 2024-01-17, 2024-01-18, 2024-01-19, 2024-01-20 and later ones",
        ),
    ],
)
def test_it_names_what_is_missing_and_not_what_is_built(last: str, words: str) -> None:
    assert awaited(DAILY, "2024-01-15", last).missing(built(DAILY, "2024-01-16")) == words


@pytest.mark.rule("31.55")
def test_of_a_dataset_of_which_any_partition_will_do_it_names_the_dataset() -> None:
    assert AwaitedDataset(Need("ref.rates", DAILY), None, False).missing(Built()) == "ref.rates"


@pytest.mark.rule("31.56")
def test_a_partition_is_passed_over_once_the_next_one_was_due_and_it_has_no_run() -> None:
    one = awaited(DAILY, "2024-01-15", "2024-01-16")
    [found] = one.replaced_at(built(DAILY, "2024-01-15"))
    due = datetime(2024, 1, 18, 7, tzinfo=UTC)
    assert found == (DAILY.named("2024-01-16"), "sales.orders_20240117_070000", due + LATE)


@pytest.mark.rule("31.56")
@pytest.mark.parametrize(
    "one",
    [
        awaited(DAILY, "2024-01-15", "2024-01-16", catches_up=True),
        awaited(Grid(None), "2024-01-15", "2024-01-16"),
        AwaitedDataset(Need("ref.rates", DAILY), None, catches_up=False),
    ],
)
def test_what_the_schedule_still_builds_or_never_did_is_not_passed_over(one: AwaitedDataset) -> None:
    assert list(one.replaced_at(Built())) == []


@pytest.mark.rule("31.56")
@pytest.mark.parametrize(
    ("grid", "name", "words"),
    [
        (
            DAILY,
            "2024-01-15",
            (
                "sales.orders 2024-01-15 is missing, and its schedule has passed it over: the dataset was paused, or Airflow "
                "was down. Build it: dli workflow backfill sales.orders --start 2024-01-15 --end 2024-01-15"
            ),
        ),
        (
            HOURLY,
            "2024-01-15T13:00",
            (
                "sales.orders 2024-01-15T13:00+09:00 is missing, and its schedule has passed it over: the dataset was paused, "
                "or Airflow was down. Build it: dli workflow backfill sales.orders --start 2024-01-15 --end 2024-01-15"
            ),
        ),
    ],
)
def test_the_error_of_a_partition_that_was_passed_over_names_the_backfill(
    grid: Grid, name: str, words: str
) -> None:
    assert awaited(grid, name, name).passed_over(grid.named(name)) == words


@pytest.mark.rule("31.52")
@pytest.mark.parametrize(
    "one",
    [
        awaited(HOURLY, "2024-01-15T13:00", "2024-01-15T15:00"),
        awaited(DAILY, "2024-01-15", "2024-01-15", catches_up=True),
    ],
)
def test_a_dataset_comes_back_from_the_arguments_of_a_trigger(one: AwaitedDataset) -> None:
    assert AwaitedDataset.read(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.rule("31.52")
@pytest.mark.parametrize("deadline", [None, NOW + timedelta(seconds=5)])
def test_a_query_comes_back_from_the_arguments_of_a_trigger(deadline: datetime | None) -> None:
    query = AwaitedQuery("select 1\nfrom loads", "warehouse", 60, deadline)
    assert AwaitedQuery.read(json.loads(json.dumps(query.to_json()))) == query
    assert query.missing == "a row of the query on warehouse (select 1 from loads)"
