"""Registrations that wait for Airflow: what ends the wait, and how many may wait."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.principal import open_principal
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.datasets.dag_cache import DagCache
from basecamp.datasets.dag_readiness import LOOKS_PER_SECOND, MAX_WAITING, POLL_SECONDS, DagReadiness
from basecamp.datasets.submitted_specs import SubmittedSpec
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.shared.waiting import Steps, run_through
from dataspec.errors import NotLoaded
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

SQL = "SELECT 1 AS one"
NAME = "sales.daily"
ANN = open_principal("ann")
SHORT_SECONDS = 3.0


@pytest.fixture
def put(client: Client, make_yaml: Callable[..., str], airflow: MemoryAirflow) -> Callable[..., Response]:
    """Register over the API, while Airflow loads nothing."""
    airflow.on_parse = None

    def put() -> Response:
        return client.put(f"/datasets/{NAME}", json={"yaml": make_yaml(NAME), "files": {"query.sql": SQL}})

    return put


@pytest.fixture
def during_the_wait(clock: ManualClock) -> Callable[[Callable[[], Any]], None]:
    """Let something happen once, at the third look."""

    def during(happens: Callable[[], Any]) -> None:
        looks = itertools.count()
        clock.on_wait[:] = [lambda: happens() if next(looks) == 2 else None]

    return during


@pytest.fixture
def begun(clock: ManualClock) -> Iterator[float]:
    """The moment of the request; the answer must come soon after it."""
    yield clock.monotonic()
    assert clock.monotonic() < SHORT_SECONDS


@pytest.mark.rule("16.11")
@pytest.mark.usefixtures("begun")
def test_a_registration_that_another_one_replaced_ends_and_says_so(
    put: Callable[[], Response],
    services: Services,
    make_yaml: Callable[..., str],
    during_the_wait: Callable[..., None],
    clock: ManualClock,
) -> None:
    other = SubmittedSpec(caller=ANN, yaml=make_yaml(NAME, {"0 9": "0 10"}), files={"query.sql": SQL})
    registering = services.registration.register(NAME, other, wait_seconds=0)
    during_the_wait(lambda: run_through(registering, clock))
    answer = put()
    assert answer.status_code == 409
    assert answer.json()["code"] == "replaced"
    now = services.registered_specs.get(NAME)
    assert now.spec_hash in answer.json()["detail"]
    assert "0 10" in now.yaml


@pytest.mark.rule("16.11")
@pytest.mark.usefixtures("begun")
def test_a_registration_that_was_removed_ends_and_says_so(
    put: Callable[[], Response],
    services: Services,
    during_the_wait: Callable[..., None],
    clock: ManualClock,
    store: MemoryStore,
) -> None:
    during_the_wait(lambda: run_through(services.changes.unregister(NAME, caller=ANN), clock))
    answer = put()
    assert answer.status_code == 409
    assert answer.json()["title"] == "The dataset was removed while Airflow loaded it."
    assert store.get(f"manual/{NAME}.yaml") is None


@pytest.mark.rule("16.11")
@pytest.mark.usefixtures("begun")
def test_a_registration_that_code_took_over_ends_and_says_so(
    put: Callable[[], Response],
    services: Services,
    store: MemoryStore,
    make_yaml: Callable[..., str],
    during_the_wait: Callable[..., None],
    clock: ManualClock,
) -> None:
    def take_over() -> None:
        for key, text in (("code/query.sql", SQL), (f"code/{NAME}.yaml", make_yaml(NAME))):
            store.put(key, text.encode(), expected=MISSING)
        run_through(services.check.sync(), clock)

    during_the_wait(take_over)
    answer = put()
    assert answer.status_code == 201
    assert (answer.json()["effective"], answer.json()["loaded"]) == (False, False)
    assert "This dataset exists in Code: the Manual file is kept but inactive." in answer.json()["warnings"]


class Waiting:
    """Registrations that wait for an Airflow that loads nothing."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2024, 1, 15, 9, tzinfo=UTC))
        self.airflow = MemoryAirflow(now=self.clock.now)
        self.readiness = DagReadiness(self.airflow, DagCache(self.airflow, self.clock), self.clock)
        self.steps: list[Steps[bool]] = []

    def begin(self) -> float:
        """Begin to wait; return the seconds until the next look."""
        self.steps.append(
            self.readiness.wait(
                "a.b",
                "manual/a.b.yaml",
                "0123",
                since=self.clock.now(),
                seconds=60,
                is_current=lambda: True,
            )
        )
        return next(self.steps[-1])


@pytest.mark.rule("18.24")
def test_one_registration_more_than_may_wait_is_answered_at_once_and_says_that_it_is_stored() -> None:
    waiting = Waiting()
    for _ in range(MAX_WAITING):
        waiting.begin()
    with pytest.raises(NotLoaded, match="is registered, and Airflow has not confirmed it yet") as refused:
        waiting.begin()
    assert "stored as manual/a.b.yaml" in (refused.value.detail or "")
    assert "dli workflow list" in (refused.value.detail or "")
    waiting.steps[0].close()
    waiting.begin()


@pytest.mark.rule("18.24")
def test_many_that_wait_ask_airflow_no_more_often_than_some() -> None:
    waiting = Waiting()
    assert waiting.begin() == POLL_SECONDS
    pauses = [waiting.begin() for _ in range(MAX_WAITING - 1)]
    assert pauses[-1] == MAX_WAITING / LOOKS_PER_SECOND
    waiting.clock.advance(10)
    before = waiting.airflow.requests
    for steps in waiting.steps:
        next(steps)
    looks, lists_and_parses = MAX_WAITING, 2
    assert waiting.airflow.requests - before <= looks + lists_and_parses
