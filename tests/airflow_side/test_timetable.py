from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pendulum
import pytest
from airflow.models.dag import DagModel
from airflow.utils.types import DagRunType

from airflow_side.scheduling import clean_database
from dataspec.schedule.stored_start import date_of
from dli_airflow.airflow_api import AIRFLOW_2, DagRunInfo, DataInterval, TimeRestriction
from dli_airflow.timetable import DatasetTimetable

try:
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
except ImportError:
    from airflow.serialization.serialized_objects import decode_timetable, encode_timetable

EVER = TimeRestriction(earliest=pendulum.datetime(2000, 1, 1), latest=None, catchup=False)
SEOUL, NEW_YORK = "Asia/Seoul", "America/New_York"

on_3 = pytest.mark.skipif(AIRFLOW_2, reason="2.11 does not ask this")
on_2 = pytest.mark.skipif(not AIRFLOW_2, reason="3.3 does not ask this")


@pytest.fixture(autouse=True)
def no_runs() -> None:
    """Airflow 2.11 tells little of a run, so the timetable looks into its database: an empty one here."""
    if AIRFLOW_2:
        from airflow import settings

        clean_database(settings.Session())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def timetable(
    now: str,
    *,
    cron: str = "0 9 * * *",
    zone: str = SEOUL,
    registered: str = "2024-01-15T12:00",
    catch_up: bool = False,
) -> DatasetTimetable:
    return DatasetTimetable("sales.daily", cron, zone, at(registered), catch_up=catch_up, now=lambda: at(now))


def interval(start: str, end: str) -> DataInterval:
    return DataInterval(pendulum.instance(at(start)), pendulum.instance(at(end)))


def following(table: DatasetTimetable, last: DataInterval | None = None) -> DagRunInfo:
    info = table.next_dagrun_info(last_automated_data_interval=last, restriction=EVER)
    assert info is not None
    return info


@pytest.mark.rule("11.3")
def test_the_first_run_is_due_at_the_first_tick_after_registration() -> None:
    info = following(timetable("2024-01-15T12:01"))
    assert info.data_interval == interval("2024-01-15T00:00", "2024-01-16T00:00")  # 09:00 in Seoul
    assert info.run_after == at("2024-01-16T00:00")


def test_the_next_run_follows_the_last_one() -> None:
    last = interval("2024-01-15T00:00", "2024-01-16T00:00")
    info = following(timetable("2024-01-16T00:05"), last)
    assert info.data_interval == interval("2024-01-16T00:00", "2024-01-17T00:00")
    assert info.run_after == at("2024-01-17T00:00")


@pytest.mark.rule("11.7")
def test_of_the_runs_missed_in_a_downtime_the_latest_alone_is_due() -> None:
    last = interval("2024-01-15T00:00", "2024-01-16T00:00")
    assert following(timetable("2024-01-20T12:00"), last).data_interval == interval(
        "2024-01-19T00:00", "2024-01-20T00:00"
    )


@pytest.mark.rule("30.20")
def test_with_catch_up_every_run_that_was_missed_is_due_in_order() -> None:
    last, table = (
        interval("2024-01-15T00:00", "2024-01-16T00:00"),
        timetable("2024-01-20T12:00", catch_up=True),
    )
    found = []
    for _ in range(5):
        info = following(table, last)
        found.append(info.run_after)
        assert info.data_interval is not None
        last = info.data_interval
    assert found == [at(f"2024-01-{day}T00:00") for day in range(17, 22)]


@pytest.mark.rule("11.9")
def test_an_interval_tells_its_date_whatever_the_zone_is_by_then() -> None:
    info = following(timetable("2024-01-15T12:01", cron="0 21 * * *", zone=NEW_YORK))
    assert info.data_interval.start.replace(microsecond=0) == at("2024-01-15T02:00")  # the 14th there
    assert date_of(info.data_interval.start) == "2024-01-14"
    assert following(timetable("2024-01-16T03:00", cron="0 12 * * *"), info.data_interval) == (
        DagRunInfo(at("2024-01-16T03:00"), interval("2024-01-15T03:00", "2024-01-16T03:00"))
    )


def test_a_dag_without_a_next_run_has_none() -> None:
    restriction = TimeRestriction(earliest=None, latest=None, catchup=True)
    table = timetable("2024-01-18T12:00")
    assert table.next_dagrun_info(last_automated_data_interval=None, restriction=restriction) is None


@on_3
def test_a_dag_whose_next_run_airflow_does_not_know_gets_none() -> None:
    assert timetable("2024-01-18T12:00").next_run_info_from_dag_model(dag_model=DagModel(dag_id="x")) is None


@pytest.mark.rule("11.10")
@pytest.mark.parametrize(("zone", "cron"), [(SEOUL, "0 9 * * *"), (NEW_YORK, "0 19 * * *")])
def test_airflows_own_backfill_gets_one_interval_after_the_other_each_with_its_date(
    zone: str, cron: str
) -> None:
    table = timetable("2024-02-01T00:00", zone=zone, cron=cron)
    restriction = TimeRestriction(
        earliest=pendulum.datetime(2024, 1, 2), latest=pendulum.datetime(2024, 1, 4), catchup=True
    )
    found: list[Any] = []
    last = None
    while info := table.next_dagrun_info(last_automated_data_interval=last, restriction=restriction):
        found.append((date_of(info.logical_date), info.run_after))
        last = info.data_interval
    first = 2 if zone == SEOUL else 1  # both are at midnight in UTC
    assert found == [(f"2024-01-0{first + day}", pendulum.datetime(2024, 1, 3 + day)) for day in range(3)]


def test_who_draws_a_calendar_gets_each_run_to_come() -> None:
    table, starts, last = timetable("2024-01-16T00:05"), [], interval("2024-01-15T00:00", "2024-01-16T00:00")
    for _ in range(3):
        last = following(table, last).data_interval
        starts.append(last.start)
    assert starts == [pendulum.datetime(2024, 1, day) for day in (16, 17, 18)]


@pytest.mark.rule("3.4", "11.11")
@on_3
def test_a_scheduled_runs_id_is_the_datasets_name_and_its_moment_in_utc() -> None:
    run_id = timetable("2024-01-16T00:05").generate_run_id(
        run_type=DagRunType.SCHEDULED,
        run_after=pendulum.datetime(2024, 1, 16),
        data_interval=interval("2024-01-15T00:00", "2024-01-16T00:00"),
        partition_key=None,
    )
    assert run_id == "sales.daily_20240116_000000"


@on_2
def test_a_scheduled_run_that_airflow_2_has_not_planned_has_the_end_of_its_interval_in_its_id() -> None:
    run_id = timetable("2024-01-16T00:05").generate_run_id(
        run_type=DagRunType.SCHEDULED,
        logical_date=pendulum.datetime(2024, 1, 15),
        data_interval=interval("2024-01-15T00:00", "2024-01-16T00:00"),
    )
    assert run_id == "sales.daily_20240116_000000"


@pytest.mark.rule("11.11")
@pytest.mark.parametrize("run_type", [DagRunType.MANUAL, DagRunType.BACKFILL_JOB])
def test_runs_of_other_types_keep_airflows_own_ids(run_type: DagRunType) -> None:
    moment = {("logical_date" if AIRFLOW_2 else "run_after"): pendulum.datetime(2024, 1, 16)}
    run_id = timetable("2024-01-16T00:05").generate_run_id(run_type=run_type, data_interval=None, **moment)
    assert run_id == f"{run_type.value}__2024-01-16T00:00:00+00:00"


def test_a_run_triggered_by_hand_has_the_last_interval_that_ended() -> None:
    table = timetable("2024-01-16T05:00")
    ended = interval("2024-01-15T00:00", "2024-01-16T00:00")
    assert table.infer_manual_data_interval(run_after=pendulum.datetime(2024, 1, 16, 5)) == ended
    assert table.infer_manual_data_interval(run_after=pendulum.datetime(2024, 1, 16)) == ended


@pytest.mark.rule("15.16")
def test_airflow_stores_the_timetable_and_finds_it_through_the_plugin() -> None:
    stored = encode_timetable(timetable("2024-01-16T05:00", catch_up=True))
    found = decode_timetable(stored)
    assert isinstance(found, DatasetTimetable)
    assert encode_timetable(found) == stored
    assert (found.registered_at, found.catch_up) == (at("2024-01-15T12:00"), True)


@pytest.mark.rule("30.20")
def test_a_timetable_that_an_older_version_stored_does_not_catch_up() -> None:
    older = timetable("2024-01-16T05:00", catch_up=True).serialize()
    del older["catch_up"]
    assert DatasetTimetable.deserialize(older).catch_up is False


def test_airflows_lists_show_cron_and_zone() -> None:
    assert timetable("2024-01-16T05:00").summary == "0 9 * * * (Asia/Seoul)"


def test_no_run_is_due_after_the_latest_that_is_allowed() -> None:
    closed = TimeRestriction(earliest=None, latest=pendulum.datetime(2024, 1, 1), catchup=False)
    table = timetable("2024-01-16T05:00")
    assert table.next_dagrun_info(last_automated_data_interval=None, restriction=closed) is None
