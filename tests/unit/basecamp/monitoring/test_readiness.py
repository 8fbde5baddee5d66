"""Readiness shows what the checks in the background last saw, and waits for nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from basecamp.airflow.models import CANNOT_WAIT, AirflowHealth
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

PATIENCE_SECONDS = 120


class HangingAirflow(MemoryAirflow):
    """An Airflow whose health is answered when the test allows it."""

    asked: threading.Semaphore
    answers: threading.Event

    def health(self) -> AirflowHealth:
        self.asked.release()
        assert self.answers.wait(PATIENCE_SECONDS)
        return super().health()


@pytest.fixture
def airflow(clock: ManualClock) -> Iterator[HangingAirflow]:
    airflow = HangingAirflow(now=clock.now)
    airflow.asked, airflow.answers = threading.Semaphore(0), threading.Event()
    airflow.answers.set()
    yield airflow
    airflow.answers.set()


@pytest.fixture
def services(store: MemoryStore, airflow: HangingAirflow, clock: ManualClock) -> Services:
    return build_services(store, airflow, clock)


@pytest.mark.rule("18.9")
def test_it_waits_for_no_check_and_shows_the_last_one_with_its_age(
    services: Services, airflow: HangingAirflow, clock: ManualClock
) -> None:
    services.readiness.look()
    assert airflow.asked.acquire(timeout=PATIENCE_SECONDS)
    airflow.answers.clear()
    looking = threading.Thread(target=services.readiness.look)
    looking.start()
    assert airflow.asked.acquire(timeout=PATIENCE_SECONDS)
    clock.advance(2)
    short = services.readiness.check()
    clock.advance(2)
    late = services.readiness.check()
    airflow.answers.set()
    looking.join(PATIENCE_SECONDS)
    again = services.readiness.check()
    assert (short.status, short.checks["airflow"], short.age_seconds["airflow"]) == ("ready", "ok", 2)
    assert (late.ready, late.status, late.checks["airflow"]) == (True, "degraded", "No answer for 4 s.")
    assert (again.status, again.age_seconds["airflow"]) == ("ready", 0)


@pytest.mark.rule("18.9")
def test_before_the_first_check_it_is_starting(services: Services) -> None:
    readiness = services.readiness.check()
    assert (readiness.ready, readiness.status, readiness.age_seconds) == (False, "starting", {})


@pytest.mark.rule("31.61")
def test_without_a_triggerer_it_says_that_nothing_can_wait_if_anything_does(
    services: Services, airflow: HangingAirflow, store: MemoryStore, clock: ManualClock
) -> None:
    airflow.has_triggerer = False
    services.readiness.look()
    assert services.readiness.check().checks["airflow"] == "ok"
    spec = "name: down\ntype: Dataset\nowner: ann@example.com\nquery_statement: select 1\ndepends_on: [up]\n"
    store.put("code/down.yaml", spec.encode(), expected=MISSING)
    clock.advance(60)
    services.readiness.look()
    readiness = services.readiness.check()
    assert (readiness.ready, readiness.status, readiness.checks["airflow"]) == (True, "degraded", CANNOT_WAIT)
