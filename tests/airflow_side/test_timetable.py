from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pendulum
import pytest
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.utils.types import DagRunType

from dli_airflow.factory import build_dag
from dli_airflow.timetable import DatasetTimetable
from unit.dli_airflow.catalogs import datasets

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


class Loop:
    """The scheduler's loop around one DAG, with Airflow's own objects, on a clock that the test sets."""

    def __init__(self, schedule: str, now: datetime, folder: Path) -> None:
        self.now = self.registered_at = now
        self.folder = folder
        self.model = DagModel(dag_id="sales.daily")
        self.runs: list[DagRun] = []
        self.parse(schedule)

    def parse(self, schedule: str) -> None:
        """Store the DAG of a schedule as the DAG processor does, and read it back as the scheduler does."""
        [dataset] = datasets("sales.daily", query="select 1", more=f"schedule: {{{schedule}}}\n")
        dag = build_dag(dataset, base_url=None, turns=self.folder)
        self.dag = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        found = self.dag.timetable
        self.dag.timetable = DatasetTimetable(
            found.dataset, found.cron, found.zone, self.registered_at, now=lambda: self.now
        )
        self.plan(self.runs[-1] if self.runs else None)

    def plan(self, last: DagRun | None) -> None:
        self.model.calculate_dagrun_date_fields(self.dag, reference_run=last)

    def pass_to(self, moment: datetime) -> None:
        """Let time pass; create each run when it is due."""
        while self.model.next_dagrun_create_after <= moment:
            self.now = max(self.now, self.model.next_dagrun_create_after)
            self.create()
        self.now = moment

    def create(self) -> None:
        info = self.dag.timetable.next_run_info_from_dag_model(dag_model=self.model)
        self.dag.validate_partition_key(info.partition_key)
        run = DagRun(
            dag_id=self.dag.dag_id,
            run_id=self.dag.timetable.generate_run_id(
                run_type=DagRunType.SCHEDULED, run_after=info.run_after, data_interval=info.data_interval
            ),
            logical_date=info.logical_date,
            data_interval=info.data_interval,
            run_after=info.run_after,
            run_type=DagRunType.SCHEDULED,
            partition_key=info.partition_key,
        )
        run.dag_model = self.model
        self.runs.append(run)
        self.plan(run)

    @property
    def dates(self) -> list[str | None]:
        return [run.partition_key for run in self.runs]


ZONES = [SEOUL, "America/New_York", "Europe/London", "Pacific/Kiritimati", "Pacific/Pago_Pago"]


@pytest.mark.parametrize("seed", range(25))
def test_airflow_builds_every_date_once_in_order_however_cron_and_zone_change(
    seed: int, tmp_path: Path
) -> None:
    chance = Random(seed)
    start = at("2026-03-01T00:00") + timedelta(minutes=chance.randrange(300 * 24 * 60))
    loop = Loop("cron: 0 9 * * *, timezone: Asia/Seoul", start, tmp_path)
    for _ in range(8):
        hour, minute, zone = chance.randrange(24), chance.choice([0, 30, 59]), chance.choice(ZONES)
        loop.parse(f"cron: {minute} {hour} * * *, timezone: {zone}")
        loop.pass_to(loop.now + timedelta(minutes=chance.choice([0, 1, 90, chance.randrange(4 * 24 * 60)])))
    loop.pass_to(loop.now + timedelta(days=3))
    first = date.fromisoformat(str(loop.dates[0]))
    assert loop.dates == [(first + timedelta(days=n)).isoformat() for n in range(len(loop.runs))]
    assert len({run.run_id for run in loop.runs}) == len(loop.runs)
    starts = [run.logical_date for run in loop.runs]
    assert starts == sorted(set(starts))


def test_dates_that_a_change_made_due_are_created_one_after_the_other(tmp_path: Path) -> None:
    loop = Loop("cron: 0 9 * * 1, timezone: Asia/Seoul", at("2024-01-17T00:00"), tmp_path)
    loop.pass_to(at("2024-01-25T03:00"))
    assert loop.dates == ["2024-01-15"]
    loop.parse("cron: 0 9 * * *, timezone: Asia/Seoul")
    assert loop.model.next_dagrun_create_after == at("2024-01-25T03:00")
    loop.parse("cron: 0 9 * * *, timezone: Asia/Seoul")
    loop.pass_to(at("2024-01-25T03:30"))
    assert loop.dates == [f"2024-01-{day}" for day in range(15, 25)]
    assert [run.data_interval_start for run in loop.runs[1:]] == [
        at(f"2024-01-{day}") for day in range(16, 25)
    ]
    assert loop.model.next_dagrun_create_after == at("2024-01-26T00:00")


def test_a_run_that_a_person_made_for_the_start_of_the_next_interval_keeps_no_date_from_being_built(
    tmp_path: Path,
) -> None:
    loop = Loop("cron: 0 9 * * *, timezone: Asia/Seoul", at("2024-01-15T12:00"), tmp_path)
    loop.pass_to(at("2024-01-16T12:00"))
    taken = pendulum.instance(loop.model.next_dagrun)
    by_hand = DagRun(
        dag_id="sales.daily",
        run_id="manual__1",
        logical_date=taken,
        data_interval=loop.dag.timetable.infer_manual_data_interval(run_after=taken),
        run_after=taken,
        run_type=DagRunType.MANUAL,
    )
    by_hand.dag_model = loop.model
    loop.plan(by_hand)  # as the scheduler does where a run exists
    assert loop.model.next_dagrun > taken
    loop.pass_to(at("2024-01-19T12:00"))
    assert loop.dates == ["2024-01-15", "2024-01-16", "2024-01-17", "2024-01-18"]


def test_runs_from_before_partition_keys_tell_their_date_by_their_interval(tmp_path: Path) -> None:
    loop = Loop("cron: 0 9 * * *, timezone: Asia/Seoul", at("2024-01-15T12:00"), tmp_path)
    loop.pass_to(at("2024-01-16T12:00"))
    loop.runs[-1].partition_key = loop.model.next_dagrun_partition_key = None
    loop.parse("cron: 0 9 * * *, timezone: Asia/Seoul")
    assert loop.model.next_dagrun_partition_key == "2024-01-16"


def test_airflow_2_tells_the_last_interval_alone_and_still_gets_the_next_run() -> None:
    info = following(timetable("2024-01-16T00:05"), interval("2024-01-15T00:00", "2024-01-16T00:00"))
    assert (info.data_interval, info.run_after) == (
        interval("2024-01-16T00:00", "2024-01-17T00:00"),
        at("2024-01-17T00:00"),
    )


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
        assert info.partition_key is None
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
