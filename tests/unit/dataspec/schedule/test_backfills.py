from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspec.errors import CorruptObject, InvalidUsage, NewerFormat
from dataspec.models import RunStatus
from dataspec.schedule.backfill_plan import (
    MAX_SIDE_BY_SIDE,
    BackfillPlan,
    Outcome,
    StopOrder,
)
from dataspec.schedule.chain import ChainedDataset
from dataspec.schedule.date_ranges import DateRange, as_ranges, from_ranges
from dataspec.schedule.partitions import Grid
from dataspec.schedule.run_ids import backfill_run_id, parse_run_id
from dataspec.store import StoredObject

NOW = datetime(2024, 1, 15, 9, 30, 45, 123456, tzinfo=UTC)
PLAN = BackfillPlan(
    backfill_id="sales.daily_20240115_093045",
    dataset="sales.daily",
    start="2013-01-01",
    end="2013-01-03",
    every="day",
    reverse=False,
    keep_going=False,
    parameters={"limit": 5},
    dates=("2013-01-01", "2013-01-02", "2013-01-03"),
    requested_by="dana",
    created_at=NOW,
)


def starts(start: str, end: str, cron: str, zone: str = "UTC") -> list[str]:
    dates = DateRange.parse(start, end)
    return [partition.name for partition in Grid(cron, zone).starting_on(dates.start, dates.end)]


@pytest.mark.rule("14.1")
def test_range_includes_both_ends() -> None:
    assert list(DateRange.parse("2013-01-30", "2013-02-02").days()) == [
        "2013-01-30",
        "2013-01-31",
        "2013-02-01",
        "2013-02-02",
    ]


def test_a_range_of_one_date_has_one() -> None:
    assert list(DateRange.parse("2012-02-29", "2012-02-29").days()) == ["2012-02-29"]


@given(st.dates(date(1000, 1, 1), date(9000, 1, 1)), st.integers(0, 800))
def test_range_has_every_date_once_in_order(first: date, more: int) -> None:
    last = first + timedelta(days=more)
    days = list(DateRange.parse(str(first), str(last)).days())
    assert (days[0], days[-1], len(days)) == (str(first), str(last), more + 1)
    assert days == sorted(set(days))


@pytest.mark.rule("14.14")
@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2013-02-30", "2013-03-01", "Invalid start date: there is no date 2013-02-30."),
        ("2013-01-01", "2013-13-01", "Invalid end date: there is no date 2013-13-01."),
        ("2013-1-1", "2013-01-02", "Invalid start date: expected a date as YYYY-MM-DD, got '2013-1-1'."),
        ("yesterday", "2013-01-02", "expected a date as YYYY-MM-DD, got 'yesterday'"),
        ("2013-01-02", "2013-01-01", "The end 2013-01-01 is before the start 2013-01-02."),
        ("0001-01-01", "2013-01-01", "is not between 1000 and 9998"),
        ("2013-01-01", "9999-12-31", "is not between 1000 and 9998"),
    ],
)
def test_invalid_range_is_refused_with_one_line(start: str, end: str, words: str) -> None:
    with pytest.raises(InvalidUsage) as raised:
        DateRange.parse(start, end)
    assert words in raised.value.title


@pytest.mark.rule("14.2")
def test_schedule_dates_are_those_on_which_an_interval_starts() -> None:
    assert starts("2024-01-01", "2024-01-20", "0 8 * * 1") == ["2024-01-01", "2024-01-08", "2024-01-15"]
    assert starts("2024-01-02", "2024-01-07", "0 8 * * 1") == []
    assert starts("9980-01-01", "9998-12-31", "0 0 29 2 */7") == []


@pytest.mark.parametrize("zone", ["Asia/Seoul", "America/New_York", "Europe/London", "Pacific/Kiritimati"])
def test_a_daily_schedule_builds_each_date_of_its_zone_clock_changes_included(zone: str) -> None:
    for cron in ("0 0 * * *", "30 2 * * *", "59 23 * * *"):
        assert starts("2024-01-01", "2024-12-31", cron, zone) == list(
            DateRange.parse("2024-01-01", "2024-12-31").days()
        )


@pytest.mark.rule("3.6")
def test_a_run_id_tells_dataset_backfill_and_date() -> None:
    parsed = parse_run_id(PLAN.run_id_of(PLAN.step))
    assert parsed is not None
    assert (parsed.dataset, parsed.backfill_partition) == ("sales.daily", "20130101")
    assert backfill_run_id("sales.daily_20240115_093045_2", "2013-01-31").endswith("_093045_2_20130131")


def test_plan_advances_by_date_and_records_failed_dates() -> None:
    first, middle, last = PLAN.dates
    second = PLAN.changed(keep_going=True).asking(first, NOW).after(first, failed=False)
    third = second.after(middle, failed=True)
    through = third.after(last, failed=False)
    assert (second.date, third.date) == ("2013-01-02", "2013-01-03")
    assert second.asked_at is None, "of the next date nobody has been asked"
    assert (through.is_through, third.is_through) == (True, False)
    assert through.failed == ("2013-01-02",)
    assert through.built == ("2013-01-01", "2013-01-03")


def test_first_stop_request_is_kept() -> None:
    first = StopOrder(by="ann", at=NOW, reason="wrong")
    stopped = PLAN.stopping(first).stopping(StopOrder(by="bob", at=NOW))
    assert str(stopped.stop) == "Stopped by ann at 2024-01-15T09:30:45+00:00: wrong"


@pytest.mark.rule("14.7")
@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        PLAN.model_copy(
            update={
                "at": 2,
                "failed": ("2013-01-01",),
                "asked_at": NOW,
                "idempotency_key": "k",
                "built_before": ("2012-12-31",),
            }
        ),
        PLAN.stopping(StopOrder(by="ann", at=NOW)),
        PLAN.ended(Outcome(status=RunStatus.FAILED, at=NOW, error="e", note="n")),
    ],
)
def test_stored_plan_is_parsed_unchanged(plan: BackfillPlan) -> None:
    assert BackfillPlan.read(stored(plan.body())) == plan


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"format": "2"}', PLAN.body().replace(b"created", b"x"), b"[" * 100_000]
)
def test_damaged_plan_is_refused_with_its_key(body: bytes) -> None:
    with pytest.raises(CorruptObject, match="'plans/a' in the store can't be read: "):
        BackfillPlan.read(stored(body))


def test_plan_of_a_newer_format_is_refused_with_its_key() -> None:
    with pytest.raises(NewerFormat, match="'plans/a' in the store was written by a newer version"):
        BackfillPlan.read(stored(b'{"format": 5, "anything": []}'))


@pytest.mark.rule("14.18")
@given(
    st.sets(st.dates(date(2010, 1, 1), date(2011, 12, 31)), min_size=1),
    st.booleans(),
)
def test_dates_are_the_same_after_being_written_as_ranges(days: set[date], reverse: bool) -> None:
    dates = tuple(sorted(map(str, days), reverse=reverse))
    assert from_ranges(as_ranges(dates)) == dates


@pytest.mark.rule("14.18")
@pytest.mark.parametrize("reverse", [False, True])
def test_plan_of_ten_years_is_small_and_is_parsed_unchanged(reverse: bool) -> None:
    days = tuple(sorted(DateRange.parse("2016-01-01", "2025-12-31").days(), reverse=reverse))
    plan = PLAN.changed(dates=days, at=100, failed=days[3:50], built_before=days[:1])
    assert len(plan.body()) < 700
    assert BackfillPlan.read(stored(plan.body())).changed(format=1) == plan


def test_plan_that_older_versions_read_has_every_date() -> None:
    plan = json.loads(PLAN.body())
    assert (plan["format"], plan["dates"]) == (1, ["2013-01-01", "2013-01-02", "2013-01-03"])


@pytest.mark.rule("5.23")
def test_keys_that_this_version_does_not_know_are_kept() -> None:
    stop = {"by": "ann", "at": "2024-01-15T09:30:45Z", "reason": None, "via": "page"}
    later = json.loads(PLAN.body()) | {"priority": 3, "stop": stop}
    plan = BackfillPlan.read(stored(json.dumps(later).encode())).after("2013-01-01", failed=False)
    written = json.loads(plan.body())
    assert (written["priority"], written["stop"]["via"], written["at"]) == (3, "page", 1)


def chain_plan(days: int = 2, **more: Any) -> BackfillPlan:
    """Return the plan of a chain: the root, two datasets that are built from it, and one from the first of these."""
    root = PLAN.dataset
    needs = {root: (), "b": (root,), "c": ("b",), "d": (root,)}
    chain = tuple(
        ChainedDataset(dataset=name, cron="0 7 * * *", needs=tuple((one, "same") for one in upstream))
        for name, upstream in needs.items()
    )
    dates = tuple(date if name == root else f"{name} {date}" for date in PLAN.dates[:days] for name in needs)
    return PLAN.changed(dates=dates, chain=chain, **more)


@pytest.mark.rule("34.16")
def test_the_datasets_of_a_layer_are_built_side_by_side_and_the_next_date_follows_all() -> None:
    one, two = PLAN.dates[:2]
    plan = chain_plan()
    assert plan.current == (one,)
    plan = plan.asking(one, NOW).after(one, failed=False)
    assert plan.current == (f"b {one}", f"d {one}")
    for each in plan.current:
        plan = plan.asking(each, NOW)
    assert list(plan.requested) == [f"b {one}", f"d {one}"]
    later = plan.after(f"d {one}", failed=False)
    assert (later.current, later.at, later.built) == ((f"b {one}",), 1, (one, f"d {one}"))
    plan = plan.after(f"b {one}", failed=False)
    assert (plan.current, plan.at, list(plan.requested)) == ((f"c {one}", f"d {one}"), 2, [f"d {one}"])
    plan = plan.after(f"d {one}", failed=False).after(f"c {one}", failed=False)
    assert (plan.current, plan.at, plan.ahead) == ((two,), 4, ())


@pytest.mark.rule("34.4", "34.16")
def test_a_failure_leaves_what_is_beside_it() -> None:
    one, two = PLAN.dates[:2]
    plan = chain_plan().after(one, failed=False).after(f"b {one}", failed=True)
    assert (plan.current, plan.skipped) == ((f"d {one}",), (f"c {one}",))
    plan = plan.after(f"d {one}", failed=False)
    assert (plan.current, plan.at) == ((two,), 4)
    plan = plan.after(two, failed=False)
    assert plan.current == (f"d {two}",)
    plan = plan.after(f"d {two}", failed=True)
    assert plan.is_through
    assert plan.built == (one, f"d {one}", two)
    assert {*plan.skipped, *plan.left} == {f"c {one}", f"b {two}", f"c {two}"}


@pytest.mark.rule("34.16")
def test_only_a_plan_with_dates_side_by_side_has_the_newest_format() -> None:
    one = PLAN.dates[0]
    plan = chain_plan()
    assert json.loads(plan.body())["format"] == 3
    plan = plan.asking(one, NOW).after(one, failed=False)
    written = json.loads(plan.asking(f"b {one}", NOW).body())
    assert (written["format"], written["ahead"], written["asked"]) == (3, [], {})
    both = plan.asking(f"b {one}", NOW).asking(f"d {one}", NOW)
    assert json.loads(both.body())["format"] == 4
    assert BackfillPlan.read(stored(both.body())).changed(format=1) == both
    ended = both.after(f"d {one}", failed=False)
    assert BackfillPlan.read(stored(ended.body())).ahead == (f"d {one}",)


@pytest.mark.rule("34.16")
def test_at_most_sixteen_datasets_are_built_side_by_side() -> None:
    root = PLAN.dataset
    chain = (
        ChainedDataset(dataset=root),
        *(ChainedDataset(dataset=f"n{number}", needs=((root, "same"),)) for number in range(40)),
    )
    dates = tuple(PLAN.dates[0] if one.dataset == root else f"{one.dataset} {PLAN.dates[0]}" for one in chain)
    plan = PLAN.changed(dates=dates, chain=chain).after(dates[0], failed=False)
    assert len(plan.current) == MAX_SIDE_BY_SIDE
    for each in plan.current[5:]:
        plan = plan.asking(each, NOW)
    assert len(plan.current) == MAX_SIDE_BY_SIDE
    assert {*plan.requested} < {*plan.current}


def test_ranges_of_too_many_dates_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 40,000 partitions"):
        from_ranges(["0001-01-01/9999-12-31"])


def stored(body: bytes) -> StoredObject:
    return StoredObject("plans/a", "", body)


def test_backfill_continues_only_the_same_range_and_parameters() -> None:
    assert PLAN.continues(PLAN.changed(backfill_id="x", reverse=True, at=1, keep_going=True))
    others: list[dict[str, Any]] = [
        {"end": "2013-01-04"},
        {"parameters": {}},
        {"every": "partition"},
        {"dataset": "x"},
    ]
    for other in others:
        assert not PLAN.continues(PLAN.changed(**other))


HOURS = ("0 * * * *", "*/15 * * * *", "0 9-17 * * 1-5", "0 9,17 * * *")


@pytest.mark.rule("30.31")
@given(
    st.sampled_from(HOURS),
    st.sampled_from(["Asia/Seoul", "Europe/Berlin", "Australia/Lord_Howe", "America/Nuuk"]),
    st.dates(date(1000, 1, 1), date(2060, 1, 1)),
    st.booleans(),
)
def test_partitions_finer_than_a_day_are_the_same_after_being_written(
    cron: str, zone: str, first: date, reverse: bool
) -> None:
    names = [partition.name for partition in Grid(cron, zone).starting_on(first, first + timedelta(days=20))]
    names = names[::-1] if reverse else names
    assert from_ranges(as_ranges(tuple(names))) == tuple(names)


@pytest.mark.rule("30.31")
def test_plan_of_hours_has_a_format_of_its_own_and_is_small() -> None:
    """A replica of an older version leaves it alone, and does not take it for damaged."""
    names = tuple(starts("2024-01-01", "2027-12-31", "0 * * * *", "Europe/Berlin"))
    plan = PLAN.changed(every="partition", dates=names, at=100, failed=names[3:50])
    assert (plan.to_json()["format"], plan.to_json()["every"]) == (3, "partition")
    assert len(plan.body()) < 1500
    assert BackfillPlan.read(stored(plan.body())).changed(format=1) == plan
    few = PLAN.changed(every="partition", dates=names[:48])
    assert few.to_json()["format"] == 3
    assert BackfillPlan.read(stored(few.body())).changed(format=1) == few


@pytest.mark.rule("30.31")
def test_plan_of_dates_is_written_as_older_versions_read_it() -> None:
    plan = PLAN.changed(every="partition")
    written = plan.to_json()
    assert (written["format"], written["every"]) == (1, "schedule")
    assert BackfillPlan.read(stored(json.dumps(written).encode())) == plan


@pytest.mark.rule("30.32")
def test_run_ids_of_hours_are_in_utc_and_differ_in_an_hour_that_the_clock_repeats() -> None:
    names = starts("2024-10-27", "2024-10-27", "0 * * * *", "Europe/Berlin")
    ids = [backfill_run_id(PLAN.backfill_id, name) for name in names]
    assert ids[0] == "sales.daily_20240115_093045_20241026T2200Z"
    assert len(set(ids)) == len(ids) == 25
    parsed = parse_run_id(ids[0])
    assert parsed is not None
    assert (parsed.dataset, parsed.backfill_partition) == ("sales.daily", "20241026T2200Z")


@pytest.mark.rule("30.30")
def test_a_day_has_a_partition_for_each_tick() -> None:
    assert len(starts("2024-01-01", "2024-01-02", "0 * * * *")) == 48
    assert len(starts("2024-10-27", "2024-10-27", "0 * * * *", "Europe/Berlin")) == 25
    assert starts("2024-01-15", "2024-01-21", "0 9 * * 1") == ["2024-01-15"]


@pytest.mark.rule("30.30")
def test_the_dates_that_a_schedule_leaves_out_are_named() -> None:
    week = DateRange.parse("2024-01-15", "2024-01-21")
    names = starts("2024-01-15", "2024-01-21", "0 9 * * 1-5")
    assert week.left_out(names) == ["The schedule leaves out 2 dates of the range: 2024-01-20, 2024-01-21"]
    assert week.left_out(names[:1]) == [
        "The schedule leaves out 6 dates of the range: 2024-01-16, 2024-01-17, 2024-01-18, 2024-01-19, 2024-01-20, …"
    ]
    assert week.left_out(week.days()) == []
