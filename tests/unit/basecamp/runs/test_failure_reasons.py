"""The last error of failed runs, read from their logs."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from basecamp.airflow.models import LogEvent
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.runs.failure_reasons import READERS, WAIT_LOST, FailureReasons
from basecamp.shared.clock import ManualClock
from dataspec.models import RunStatus, WorkflowRun

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2024, 1, 15, 9, 30, tzinfo=UTC)


class SlowLogs(MemoryAirflow):
    """An Airflow that shows logs only once it may."""

    def __init__(self) -> None:
        super().__init__(now=lambda: NOW)
        self.may = threading.Event()
        self.shown: list[str] = []

    def log(self, dag_id: str, run_id: str, try_number: int) -> list[LogEvent] | None:
        self.shown.append(run_id)
        assert self.may.wait(120)
        return super().log(dag_id, run_id, try_number)


@pytest.fixture
def airflow() -> Iterator[SlowLogs]:
    slow = SlowLogs()
    slow.load("a")
    yield slow
    slow.may.set()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW + timedelta(minutes=1))


@pytest.fixture
def errors(airflow: SlowLogs, clock: ManualClock) -> FailureReasons:
    return FailureReasons(airflow, clock, patience_seconds=0.1)


def failed(airflow: SlowLogs, number: int, error: str | None = "E: x") -> WorkflowRun:
    """Make a run that has failed, and whose log says why."""
    run_id = f"a_{number}"
    airflow.trigger("a", run_id, logical_date=NOW + timedelta(seconds=number), conf={})
    airflow.start("a", run_id, source="code", spec_hash="1")
    airflow.log_event("a", run_id, LogEvent(message="failed", error=error))
    return WorkflowRun(
        run_id=run_id,
        dataset_name="a",
        status=RunStatus.FAILED,
        run_type="adhoc",
        attempts=1,
        finished_at=NOW,
    )


@pytest.mark.rule("31.60")
def test_a_run_that_failed_while_it_waited_has_the_reason_as_its_error(
    airflow: SlowLogs, errors: FailureReasons
) -> None:
    """Also if an attempt had failed before it was retried: the log of that one says nothing of this end."""
    run = replace(failed(airflow, 1), attempts=1, started_at=None)
    airflow.fail_waiting("a", run.run_id, "It has waited too long")
    assert errors.into(run).error == "It has waited too long"
    assert airflow.shown == []
    other = replace(failed(airflow, 2), attempts=0, started_at=None)
    airflow.fail_waiting("a", other.run_id, "")
    assert errors.into(other).error == WAIT_LOST
    dag_run = airflow.get_run("a", run.run_id)
    assert dag_run is not None


@pytest.mark.rule("12.17")
def test_a_list_waits_a_moment_for_errors_and_has_them_the_next_time(
    airflow: SlowLogs, errors: FailureReasons, clock: ManualClock
) -> None:
    run = failed(airflow, 1)
    clock.is_patient = False
    assert errors.into_all([run]) == ([run], 1)
    airflow.may.set()
    clock.is_patient = True
    assert errors.into_all([run]) == ([replace(run, error="E: x")], 0)


@pytest.mark.rule("12.17")
def test_a_list_leaves_at_most_a_few_logs_being_read(
    airflow: SlowLogs, errors: FailureReasons, clock: ManualClock
) -> None:
    runs = [failed(airflow, number) for number in range(40)]
    clock.is_patient = False
    assert errors.into_all(runs)[1] == 40
    airflow.may.set()
    clock.is_patient = True
    assert errors.into_all(runs[:1])[0][0].error == "E: x"
    assert len(airflow.shown) <= READERS + 1


def test_the_error_of_an_end_is_read_once_and_that_of_another_end_anew(
    airflow: SlowLogs, errors: FailureReasons
) -> None:
    airflow.may.set()
    run = failed(airflow, 1)
    assert [errors.into(run).error for _ in range(3)] == ["E: x"] * 3
    assert errors.into_all([run])[0][0].error == "E: x"
    assert airflow.shown == ["a_1"]
    airflow.log_event("a", "a_1", LogEvent(message="failed", error="E: y"))
    assert errors.into(replace(run, finished_at=NOW + timedelta(seconds=1))).error == "E: y"


def test_a_log_without_an_error_is_read_again_until_it_is_complete(
    airflow: SlowLogs, errors: FailureReasons, clock: ManualClock
) -> None:
    airflow.may.set()
    run = failed(airflow, 1, error=None)
    just_now = replace(run, finished_at=clock.now())
    for asked in (just_now, just_now, run, run):
        assert errors.into(asked).error is None
    assert len(airflow.shown) == 3


def test_only_failed_runs_are_asked_about(airflow: SlowLogs, errors: FailureReasons) -> None:
    runs = [replace(failed(airflow, n), status=status) for n, status in enumerate(RunStatus)]
    others = [run for run in runs if run.status is not RunStatus.FAILED]
    assert errors.into_all(others) == (others, 0)
    assert airflow.shown == []
