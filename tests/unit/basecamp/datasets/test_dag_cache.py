"""The DAGs as Airflow has them, cached for some seconds."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from basecamp.airflow.models import AirflowDag
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.datasets.dag_cache import DagCache
from basecamp.shared.clock import ManualClock


class SlowAirflow(MemoryAirflow):
    """An Airflow that lists its DAGs when it is let to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.listed = 0

    def list_dags(self, *, tags: Sequence[str] = ()) -> list[AirflowDag]:
        self.listed += 1
        assert self.may_answer.wait(120)
        return super().list_dags(tags=tags)


@pytest.fixture
def airflow() -> Iterator[SlowAirflow]:
    airflow = SlowAirflow()
    airflow.load("a", tags=["source:code"])
    yield airflow
    airflow.may_answer.set()


@pytest.mark.rule("18.6")
def test_while_airflow_is_slow_the_last_list_is_shown_with_its_age(airflow: SlowAirflow) -> None:
    clock = ManualClock(datetime(2024, 1, 15, tzinfo=UTC))
    clock.is_patient = False
    dags = DagCache(airflow, clock, patience_seconds=0.01)
    assert dags.known().warnings == ()
    airflow.load("b", tags=["source:code"])
    airflow.may_answer.clear()
    clock.advance(300)
    for _ in range(3):
        known = dags.known()
        assert set(known.value) == {"a"}
        assert known.warnings == ("Airflow takes long to list its DAGs. What is shown is 5 min old.",)
    assert airflow.listed == 2, "it is asked once, however many wait"
    airflow.may_answer.set()
    clock.is_patient = True
    patient = DagCache(airflow, clock)
    assert set(patient.known().value) == {"a", "b"}


def test_a_fetch_that_was_waited_for_is_not_waited_for_again(airflow: SlowAirflow) -> None:
    clock = ManualClock(datetime(2024, 1, 15, tzinfo=UTC))
    clock.is_patient = False
    dags = DagCache(airflow, clock, patience_seconds=60)
    dags.known()
    airflow.may_answer.clear()
    clock.advance(0.75)
    assert dags.known().warnings == (), "old enough to be asked for anew, not to be waited for"
    clock.advance(300)
    answers_later = threading.Timer(20, airflow.may_answer.set)
    answers_later.start()
    try:
        assert dags.known().warnings, "whoever waited for Airflow would have no warning"
    finally:
        answers_later.cancel()


@pytest.mark.rule("18.6")
def test_a_quick_airflow_is_waited_for(airflow: SlowAirflow) -> None:
    clock = ManualClock(datetime(2024, 1, 15, tzinfo=UTC))
    dags = DagCache(airflow, clock)
    dags.known()
    airflow.load("b", tags=["source:code"])
    clock.advance(300)
    assert set(dags.known().value) == {"a", "b"}
