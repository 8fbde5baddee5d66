"""The attempts that execute now, by Airflow's last answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from basecamp.airflow.models import TaskAttempt
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.shared.clock import ManualClock
from basecamp.workflows.rows import RunningAttempts
from dataspec.errors import AirflowUnreachable


class SlowAirflow(MemoryAirflow):
    """An Airflow that tells what executes when it is let to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def running_attempts(self) -> list[TaskAttempt]:
        assert self.may_answer.wait(120)
        return super().running_attempts()

    def run(self, dag_id: str) -> None:
        self.load(dag_id)
        self.trigger(dag_id, f"{dag_id}_1", logical_date=datetime(2024, 1, 15, tzinfo=UTC), conf={})
        self.start(dag_id, f"{dag_id}_1", source="code", spec_hash="ab")


@pytest.fixture
def airflow() -> Iterator[SlowAirflow]:
    airflow = SlowAirflow()
    airflow.run("a")
    yield airflow
    airflow.may_answer.set()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2024, 1, 15, tzinfo=UTC))


def test_a_quick_airflow_is_waited_for(airflow: SlowAirflow, clock: ManualClock) -> None:
    running = RunningAttempts(airflow, clock)
    assert set(running.known().value) == {"a"}
    airflow.run("b")
    assert set(running.known().value) == {"a", "b"}


@pytest.mark.rule("18.6")
def test_while_airflow_is_slow_its_last_answer_is_shown_for_half_a_minute(
    airflow: SlowAirflow, clock: ManualClock
) -> None:
    running = RunningAttempts(airflow, clock, patience_seconds=0.01)
    clock.is_patient = False
    assert set(running.known().value) == {"a"}, "the first answer is waited for, however long it takes"
    airflow.run("b")
    airflow.may_answer.clear()
    clock.advance(30)
    assert set(running.known().value) == {"a"}
    clock.advance(1)
    threading.Timer(0.2, airflow.may_answer.set).start()
    assert set(running.known().value) == {"a", "b"}


def test_while_nothing_changes_the_answer_is_one_object(airflow: SlowAirflow, clock: ManualClock) -> None:
    running = RunningAttempts(airflow, clock)
    assert running.known().value is running.known().value


def test_while_airflow_is_down_its_last_answer_is_shown_with_its_age(
    airflow: SlowAirflow, clock: ManualClock
) -> None:
    running = RunningAttempts(airflow, clock)
    airflow.down = "no answer"
    with pytest.raises(AirflowUnreachable):
        running.known()
    airflow.down = None
    running.known()
    airflow.down = "no answer"
    clock.advance(300)
    known = running.known()
    assert (set(known.value), known.warnings) == (
        {"a"},
        ("Airflow does not answer. What is shown is 5 min old.",),
    )
