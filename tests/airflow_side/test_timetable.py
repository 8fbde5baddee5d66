from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pendulum
import pytest
from airflow.models.dag import DagModel
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.utils.types import DagRunType

from dli_airflow.timetable import DatasetTimetable

EVER = TimeRestriction(earliest=pendulum.datetime(2000, 1, 1), latest=None, catchup=False)
SEOUL = "Asia/Seoul"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def timetable(now: str, *, cron: str = "0 9 * * *", registered: str = "2024-01-15T12:00") -> DatasetTimetable:
    return DatasetTimetable("sales.daily", cron, SEOUL, at(registered), now=lambda: at(now))


def interval(start: str, end: str) -> DataInterval:
    return DataInterval(pendulum.instance(at(start)), pendulum.instance(at(end)))


def following(table: DatasetTimetable, last: DataInterval | None = None) -> DagRunInfo:
    info = table.next_dagrun_info(last_automated_data_interval=last, restriction=EVER)
    assert info is not None
    return info


def test_the_first_run_is_due_at_the_first_tick_after_registration() -> None:
    info = following(timetable("2024-01-15T12:01"))
    assert info.data_interval == interval("2024-01-15T00:00", "2024-01-16T00:00")  # 09:00 in Seoul
    assert info.run_after == at("2024-01-16T00:00")


def test_the_next_run_follows_the_last_one() -> None:
    last = interval("2024-01-15T00:00", "2024-01-16T00:00")
    assert following(timetable("2024-01-16T00:05"), last).data_interval == interval(
        "2024-01-16T00:00", "2024-01-17T00:00"
    )


def test_of_the_runs_missed_in_a_downtime_the_latest_alone_is_due() -> None:
    last = interval("2024-01-15T00:00", "2024-01-16T00:00")
    assert following(timetable("2024-01-20T12:00"), last).data_interval == interval(
        "2024-01-19T00:00", "2024-01-20T00:00"
    )


@pytest.mark.parametrize(
    ("now", "start"),
    [
        ("2024-01-16T00:01", "2024-01-15T00:00"),
        ("2024-01-16T23:59", "2024-01-15T00:00"),
        ("2024-01-18T12:00", "2024-01-17T00:00"),
    ],
)
def test_the_scheduler_creates_the_latest_run_that_is_due_not_the_one_it_stored(now: str, start: str) -> None:
    stored = DagModel(dag_id="sales.daily")
    stored.next_dagrun = at("2024-01-15T00:00")
    stored.next_dagrun_data_interval = interval("2024-01-15T00:00", "2024-01-16T00:00")
    stored.next_dagrun_create_after = at("2024-01-16T00:00")
    info = timetable(now).next_run_info_from_dag_model(dag_model=stored)
    assert info is not None
    assert info.data_interval == DataInterval(
        pendulum.instance(at(start)), pendulum.instance(at(start) + timedelta(days=1))
    )
    assert info.run_after == info.data_interval.end


def test_a_dag_without_a_next_run_has_none() -> None:
    assert timetable("2024-01-18T12:00").next_run_info_from_dag_model(dag_model=DagModel(dag_id="x")) is None


def test_airflows_own_backfill_gets_one_interval_after_the_other() -> None:
    table = timetable("2024-02-01T00:00")
    restriction = TimeRestriction(
        earliest=pendulum.datetime(2024, 1, 2), latest=pendulum.datetime(2024, 1, 4), catchup=True
    )
    starts: list[Any] = []
    last = None
    while info := table.next_dagrun_info(last_automated_data_interval=last, restriction=restriction):
        starts.append(info.logical_date)
        last = info.data_interval
    assert starts == [pendulum.datetime(2024, 1, day) for day in (2, 3, 4)]


def test_a_scheduled_runs_id_is_the_datasets_name_and_its_moment_in_utc() -> None:
    run_id = timetable("2024-01-16T00:05").generate_run_id(
        run_type=DagRunType.SCHEDULED,
        run_after=pendulum.datetime(2024, 1, 16),
        data_interval=interval("2024-01-15T00:00", "2024-01-16T00:00"),
        partition_key=None,
    )
    assert run_id == "sales.daily_20240116_000000"


def test_airflow_2_tells_the_interval_alone() -> None:
    run_id = timetable("2024-01-16T00:05").generate_run_id(
        run_type="scheduled",
        logical_date=pendulum.datetime(2024, 1, 15),
        data_interval=interval("2024-01-15T00:00", "2024-01-16T00:00"),
    )
    assert run_id == "sales.daily_20240116_000000"


@pytest.mark.parametrize("run_type", [DagRunType.MANUAL, DagRunType.BACKFILL_JOB])
def test_runs_of_other_types_keep_airflows_own_ids(run_type: DagRunType) -> None:
    run_id = timetable("2024-01-16T00:05").generate_run_id(
        run_type=run_type, run_after=pendulum.datetime(2024, 1, 16), data_interval=None
    )
    assert run_id == f"{run_type.value}__2024-01-16T00:00:00+00:00"


def test_a_run_triggered_by_hand_has_the_last_interval_that_ended() -> None:
    table = timetable("2024-01-16T05:00")
    ended = interval("2024-01-15T00:00", "2024-01-16T00:00")
    assert table.infer_manual_data_interval(run_after=pendulum.datetime(2024, 1, 16, 5)) == ended
    assert table.infer_manual_data_interval(run_after=pendulum.datetime(2024, 1, 16)) == ended


def test_airflow_stores_the_timetable_and_finds_it_through_the_plugin() -> None:
    stored = encode_timetable(timetable("2024-01-16T05:00"))
    found = decode_timetable(stored)
    assert isinstance(found, DatasetTimetable)
    assert encode_timetable(found) == stored
    assert found.registered_at == at("2024-01-15T12:00")


def test_airflows_lists_show_cron_and_zone() -> None:
    assert timetable("2024-01-16T05:00").summary == "0 9 * * * (Asia/Seoul)"


def test_no_run_is_due_after_the_latest_that_is_allowed() -> None:
    closed = TimeRestriction(earliest=None, latest=pendulum.datetime(2024, 1, 1), catchup=False)
    table = timetable("2024-01-16T05:00")
    assert table.next_dagrun_info(last_automated_data_interval=None, restriction=closed) is None
