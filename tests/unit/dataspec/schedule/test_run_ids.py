from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspec.schedule.run_ids import RunId, adhoc_run_id, parse_run_id, scheduled_run_id
from dataspec.spec.identity import why_invalid

AT = datetime(2024, 1, 15, 9, 30, 45, tzinfo=UTC)


@pytest.mark.rule("3.4")
def test_adhoc_run_id_has_dataset_and_time_in_utc() -> None:
    seoul = AT.astimezone(timezone(timedelta(hours=9)))
    assert adhoc_run_id("iceberg.analytics.daily_clicks", seoul) == (
        "iceberg.analytics.daily_clicks_20240115_093045"
    )


@pytest.mark.rule("3.5")
def test_a_second_run_within_the_same_second_gets_a_counter() -> None:
    assert adhoc_run_id("a", AT, 2) == "a_20240115_093045_2"


@pytest.mark.rule("3.5")
def test_an_adhoc_id_never_ends_in_second_00_where_scheduled_ids_are() -> None:
    assert adhoc_run_id("a", AT.replace(second=0)) == "a_20240115_093001"
    assert scheduled_run_id("a", AT.replace(second=0)) == "a_20240115_093000"


@pytest.mark.rule("3.7")
@given(
    st.from_regex(r"[A-Za-z0-9_-]{1,20}(\.[A-Za-z0-9_-]{1,20}){0,2}", fullmatch=True).filter(
        lambda name: why_invalid(name) is None
    ),
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the strategy adds the zone
    st.none() | st.integers(2, 999),
    st.none() | st.just("20240131"),
)
def test_run_id_contains_its_dataset(name: str, at: datetime, counter: int | None, date: str | None) -> None:
    run = RunId(name, at.replace(microsecond=0), counter, date)
    assert parse_run_id(str(run)) == run


@pytest.mark.parametrize(
    "text", ["", "a", "manual__2024-01-15T09:30:45+00:00", "a_20241399_093045", "_20240115_093045"]
)
def test_run_id_of_another_form_is_not_parsed(text: str) -> None:
    assert parse_run_id(text) is None
