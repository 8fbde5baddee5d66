"""Waiting until Airflow has loaded a version of a spec."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.datasets.dag_cache import DagCache
from basecamp.datasets.dag_readiness import DagReadiness
from basecamp.shared.waiting import run_through
from dataspec.contract import LoadedSpec
from dataspec.errors import NotLoaded

NAME, KEY, HASH = "shop.daily", "manual/shop.daily.yaml", "0123456789abcdef"
BEGUN = datetime(2024, 1, 15, 9, tzinfo=UTC)


class StallingClock:
    """A clock of a machine on which a short wait takes half a minute."""

    def __init__(self, after_each: Callable[[], None]) -> None:
        self._seconds = 0.0
        self._after_each = after_each

    def now(self) -> datetime:
        return BEGUN + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def wait(self, seconds: float) -> None:
        self._seconds += 30
        self._after_each()

    async def sleep(self, seconds: float) -> None:
        self.wait(seconds)

    def patience(self, seconds: float) -> float:
        return seconds


def wait(airflow: MemoryAirflow, after_each: Callable[[], None], *, seconds: float) -> None:
    clock = StallingClock(after_each)
    loading = DagReadiness(airflow, DagCache(airflow, clock), clock)
    waiting = loading.wait(NAME, KEY, HASH, since=BEGUN, seconds=seconds, is_current=lambda: True)
    assert run_through(waiting, clock)


@pytest.mark.rule("16.2")
def test_a_machine_that_stalls_is_not_taken_for_an_airflow_that_does_not_answer() -> None:
    airflow = MemoryAirflow()
    wait(airflow, lambda: airflow.load(NAME, loaded=LoadedSpec(HASH, "manual", KEY)), seconds=60)


@pytest.mark.rule("16.2")
def test_an_airflow_that_does_not_answer_is_not_waited_for_to_the_end() -> None:
    airflow = MemoryAirflow()
    airflow.down = "no route to host"
    waits: list[None] = []
    with pytest.raises(NotLoaded) as not_loaded:
        wait(airflow, lambda: waits.append(None), seconds=600)
    assert len(waits) == 1
    assert "no route to host" in (not_loaded.value.detail or "")
    assert "not loaded it within 30 s" in not_loaded.value.title
