"""The clock of a dataset that follows its upstream datasets."""

from __future__ import annotations

import time

import pytest

from dataspec.errors import InvalidSpec
from dataspec.schedule.upstream_clock import UPSTREAM, Clock, Declared, Followed, NoClock, upstream_clocks
from dataspec.spec.model import DatasetSpec
from dataspec.spec.parse import parse_spec
from unit.dataspec.specs import spec_text

HOURLY, DAILY, WEEKLY = Clock("5 * * * *", "UTC"), Clock("0 7 * * *", "Asia/Seoul"), Clock("0 7 * * 1", "UTC")
WEEKDAYS, MONTHLY = Clock("0 9 * * 1-5", "UTC"), Clock("0 0 1 * *", "UTC")


def clock_of(**declared: Declared) -> Clock | NoClock:
    """Return the clock of the dataset ``x``, which follows all others."""
    return upstream_clocks({**declared, "x": Followed(tuple(declared))})["x"]


def reason_of(**declared: Declared) -> str:
    found = clock_of(**declared)
    assert isinstance(found, NoClock)
    return found.reason


def spec(more: str) -> DatasetSpec:
    return parse_spec(f"{spec_text('x')}{more}".encode(), file="x.yaml")


@pytest.mark.rule("31.35")
@pytest.mark.parametrize(
    ("finer", "coarser"),
    [
        (HOURLY, DAILY),
        (DAILY, WEEKDAYS),
        (WEEKDAYS, WEEKLY),
        (WEEKLY, MONTHLY),
        (HOURLY, MONTHLY),
        (DAILY, WEEKLY),
    ],
)
def test_the_coarsest_upstream_sets_the_clock(finer: Clock, coarser: Clock) -> None:
    assert clock_of(a=finer, b=coarser, c=None) == clock_of(b=coarser, a=finer) == coarser


@pytest.mark.rule("31.35")
def test_a_chain_has_the_clock_of_its_beginning() -> None:
    chain: dict[str, Declared] = {"d0": DAILY, **{f"d{n}": Followed((f"d{n - 1}",)) for n in range(1, 4)}}
    assert upstream_clocks(chain) == dict.fromkeys(["d1", "d2", "d3"], DAILY)


@pytest.mark.rule("31.35")
def test_equally_fine_clocks_must_be_the_same() -> None:
    assert clock_of(a=Clock("0 7 * * 1-5", "UTC"), b=Clock("0 7 * * MON-FRI", "UTC")) == Clock(
        "0 7 * * 1-5", "UTC"
    )
    assert reason_of(a=DAILY, b=Clock("0 8 * * *", "Asia/Seoul")) == (
        "'a' (0 7 * * * Asia/Seoul) and 'b' (0 8 * * * Asia/Seoul) are equally fine and differ"
    )
    assert "are equally fine and differ" in reason_of(a=DAILY, b=Clock("0 7 * * *", "UTC"))
    assert clock_of(a=DAILY, b=Clock("0 8 * * *", "UTC"), c=WEEKLY) == WEEKLY


@pytest.mark.rule("31.38")
def test_without_a_clock_the_reason_is_told() -> None:
    assert reason_of(a=None) == "none of its upstream datasets has a schedule"
    unknown = upstream_clocks({"a": DAILY, "x": Followed(("a", "gone"))})["x"]
    assert unknown == NoClock("its upstream dataset 'gone' is not registered", ("gone",))
    assert reason_of(a=DAILY, b=Followed(("c",)), c=None) == "its upstream dataset 'b' has no clock itself"


@pytest.mark.rule("31.38")
def test_datasets_that_follow_each_other_have_no_clock() -> None:
    clocks = upstream_clocks(
        {"a": Followed(("b",)), "b": Followed(("c",)), "c": Followed(("b",)), "d": DAILY}
    )
    assert clocks["b"] == clocks["c"] == NoClock("these follow each other: b → c → b")
    assert clocks["a"] == NoClock("its upstream dataset 'b' has no clock itself")
    assert upstream_clocks({"a": Followed(("a",))})["a"] == NoClock("these follow each other: a → a")


@pytest.mark.rule("31.35")
def test_a_long_chain_and_a_wide_graph_are_resolved_at_once() -> None:
    long: dict[str, Declared] = {"d0": DAILY, **{f"d{n}": Followed((f"d{n - 1}",)) for n in range(1, 20_000)}}
    wide = {f"w{n}": Followed(tuple(f"d{m}" for m in range(500))) for n in range(500)}
    began = time.process_time()
    found = upstream_clocks(dict(reversed((long | wide).items())))
    assert time.process_time() - began < 5
    assert set(found.values()) == {DAILY}
    assert len(found) == 20_499


@pytest.mark.rule("31.35")
def test_an_upstream_of_which_any_partition_will_do_sets_no_clock() -> None:
    found = spec(
        'depends_on: [a, {dataset: b, partition: latest}, {sql: select 1}]\nschedule: {cron: "@upstream"}\n'
    )
    assert found.declared_clock == Followed(("a",))


@pytest.mark.rule("31.38")
@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", "'@upstream' is the clock of the upstream datasets, and 'depends_on' names none."),
        (
            "depends_on: [{sql: select 1}]\n",
            "'@upstream' is the clock of the upstream datasets, and 'depends_on'",
        ),
        ("depends_on: [{dataset: a, partition: latest}]\n", "'@upstream' needs a dataset in 'depends_on'"),
    ],
)
def test_a_spec_that_can_have_no_clock_is_refused_at_its_cron(more: str, told: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec(f'schedule: {{cron: "{UPSTREAM}"}}\n{more}')
    (problem,) = refused.value.problems
    assert str(problem).startswith(f"x.yaml:5:18: {told}")


@pytest.mark.rule("31.38")
def test_a_time_zone_beside_upstream_is_refused() -> None:
    with pytest.raises(InvalidSpec) as refused:
        spec('depends_on: [a]\nschedule: {cron: "@upstream", timezone: UTC}\n')
    assert str(refused.value.problems[0]).startswith("x.yaml:6:31: the time zone comes with the clock of the")


@pytest.mark.rule("31.39")
def test_a_dataset_that_follows_waits_without_a_limit_unless_the_entry_has_one() -> None:
    following = spec('depends_on: [a, {dataset: b, timeout_seconds: 5}]\nschedule: {cron: "@upstream"}\n')
    resolved = following.with_clock(DAILY)
    for found in (following, resolved):
        assert [found.wait_seconds(entry) for entry in found.needs] == [None, 5]
    assert resolved.schedule is not None
    assert resolved.schedule.clock == DAILY
    assert (resolved.schedule.cron, resolved.schedule.timezone) == tuple(DAILY)


def test_a_resolved_schedule_keeps_its_other_keys() -> None:
    following = spec(
        'depends_on: [a]\nschedule: {cron: "@upstream", enabled: false, retry: {max_attempts: 7}}\n'
    )
    schedule = following.with_clock(DAILY).schedule
    assert schedule is not None
    assert (schedule.enabled, schedule.retry.max_attempts) == (False, 7)
