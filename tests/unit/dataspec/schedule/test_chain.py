"""The order of the partitions of a chain, and what a failed one stops (specification 34.1 to 34.4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from dataspec.errors import InvalidUsage
from dataspec.schedule.chain import Chain, ChainedDataset, Step
from dataspec.schedule.needs import WhichPartition

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DAILY, WEEKLY, HOURLY = "0 7 * * *", "0 8 * * 1", "0 * * * *"
WEEK = [f"2024-01-{day:02}" for day in range(1, 8)]


def chained(
    name: str, cron: str | None, *upstream: str, which: WhichPartition = "same", once: bool = False
) -> ChainedDataset:
    return ChainedDataset(
        dataset=name, cron=cron, needs=tuple((other, which) for other in upstream), once=once
    )


def order(root: str, partitions: Sequence[str], *datasets: ChainedDataset, now: datetime = NOW) -> list[str]:
    return [" ".join(step) for step in Chain(datasets, root).steps(partitions, now=now)]


@pytest.mark.rule("34.1")
def test_each_partition_is_followed_by_what_is_built_from_it() -> None:
    datasets = chained("a", DAILY), chained("b", DAILY, "a"), chained("c", DAILY, "b")
    assert order("a", WEEK[:2], *datasets) == [
        "a 2024-01-01",
        "b 2024-01-01",
        "c 2024-01-01",
        "a 2024-01-02",
        "b 2024-01-02",
        "c 2024-01-02",
    ]


@pytest.mark.rule("34.2")
def test_a_weekly_dataset_is_built_once_after_the_seven_days_that_it_needs() -> None:
    found = order("a", WEEK, chained("a", DAILY), chained("w", WEEKLY, "a"))
    assert found == [*(f"a {day}" for day in WEEK), "w 2024-01-01"]


@pytest.mark.rule("34.2")
def test_upstream_partitions_come_before_the_first_one_that_needs_them() -> None:
    found = order("w", ["2024-01-01"], chained("a", DAILY), chained("w", WEEKLY, "a"))
    assert found == [*(f"a {day}" for day in WEEK), "w 2024-01-01"]


@pytest.mark.rule("34.2")
def test_a_daily_dataset_is_built_once_for_the_hours_of_its_day() -> None:
    hours = [f"2024-01-01T{hour:02}:00+00:00" for hour in (22, 23)]
    found = order("h", [*hours, "2024-01-02T00:00+00:00"], chained("h", HOURLY), chained("d", DAILY, "h"))
    assert found == [
        f"h {hours[0]}",
        f"h {hours[1]}",
        "d 2024-01-01",
        "h 2024-01-02T00:00+00:00",
        "d 2024-01-02",
    ]


@pytest.mark.rule("34.2")
def test_a_need_of_the_previous_partition_moves_the_downstream_one_on() -> None:
    found = order("a", WEEK[:1], chained("a", DAILY), chained("p", DAILY, "a", which="previous"))
    assert found == ["a 2024-01-01", "p 2024-01-02"]


@pytest.mark.rule("34.2")
def test_a_downstream_partition_is_left_out_while_another_day_that_it_needs_is_not_over() -> None:
    datasets = chained("a", DAILY), chained("w", WEEKLY, "a")
    in_the_week = datetime(2024, 1, 4, tzinfo=UTC)
    assert order("a", WEEK[:2], *datasets, now=in_the_week) == ["a 2024-01-01", "a 2024-01-02"]
    assert order("a", WEEK[:2], *datasets)[-1] == "w 2024-01-01"


@pytest.mark.rule("34.3")
def test_a_dataset_without_execution_date_is_built_once_at_the_end_or_at_the_beginning() -> None:
    after = chained("a", DAILY), chained("x", None, "a", once=True)
    assert order("a", WEEK[:3], *after) == ["a 2024-01-01", "a 2024-01-02", "a 2024-01-03", "x 2024-01-03"]
    before = chained("x", None, once=True), chained("a", DAILY, "x")
    assert order("a", WEEK[:2], *before) == ["x 2024-01-01", "a 2024-01-01", "a 2024-01-02"]


@pytest.mark.rule("34.1")
def test_in_reverse_the_last_partition_comes_first_with_all_that_is_built_from_it() -> None:
    found = order("a", WEEK[1::-1], chained("a", DAILY), chained("b", DAILY, "a"))
    assert found == ["a 2024-01-02", "b 2024-01-02", "a 2024-01-01", "b 2024-01-01"]


@pytest.mark.rule("34.4")
def test_what_needs_a_lost_partition_is_blocked_and_nothing_else() -> None:
    chain = Chain((chained("a", DAILY), chained("b", DAILY, "a"), chained("w", WEEKLY, "b")), "a")
    lost = {"b": {"2024-01-03"}}
    assert chain.is_blocked(Step("w", "2024-01-01"), lost)
    assert not chain.is_blocked(Step("w", "2024-01-08"), lost)
    assert not chain.is_blocked(Step("a", "2024-01-03"), lost)


@pytest.mark.rule("34.5")
def test_a_chain_of_too_many_partitions_is_refused() -> None:
    datasets = [chained("a", DAILY), *(chained(f"b{number}", DAILY, "a") for number in range(400))]
    days = [f"2024-01-{day:02}" for day in range(1, 27)]
    with pytest.raises(InvalidUsage, match="10,426 partitions"):
        order("a", days, *datasets)
