"""The reconciler of backfills: which replica looks, when, and which takes over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.models import RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.backfills.reconciler import LEASE_SECONDS, LOOK_SECONDS, LOOKS_A_SECOND
from basecamp.backfills.requests import BackfillRequest
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.errors import AirflowUnreachable
from dataspec.store import MemoryStore
from unit.dli.basecamp import Basecamp
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML

Register = Callable[..., Response]
NAME = "sales.daily"
RANGE: Any = {"start": "2024-01-01", "end": "2024-01-05"}


@pytest.fixture
def replicas(
    store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, register: Register
) -> Iterator[tuple[Services, Services]]:
    register()
    both = build_services(store, airflow, clock), build_services(store, airflow, clock)
    yield both
    for services in both:
        services.reconciler.end()


def look(services: Services) -> None:
    """Let a server look at what is due, and wait until it has."""
    reconciler = services.reconciler
    reconciler.look()
    deadline = time.monotonic() + 120
    while any(followed.busy for followed in list(reconciler._followed.values())):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def finish(airflow: MemoryAirflow) -> None:
    """Let Airflow carry out what is queued."""
    for run in airflow.list_runs(RunFilter(states=("queued",)), limit=100).runs:
        airflow.start(run.dag_id, run.run_id, source="manual", spec_hash="ab")
        airflow.end(run.dag_id, run.run_id, "success")


def runs(airflow: MemoryAirflow) -> int:
    return len(airflow.list_runs(RunFilter(), limit=100).runs)


def test_a_server_without_backfills_asks_airflow_nothing(
    replicas: tuple[Services, Services], airflow: MemoryAirflow, clock: ManualClock
) -> None:
    before = airflow.requests
    for _ in range(10):
        look(replicas[0])
        clock.advance(LOOK_SECONDS)
    assert airflow.requests == before


@pytest.mark.rule("14.13")
def test_while_one_server_looks_at_it_closely_another_asks_airflow_nothing(
    replicas: tuple[Services, Services], client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    client.post(f"/workflows/{NAME}/backfills", json=RANGE)
    first, second = replicas
    look(first)
    assert runs(airflow) == 1
    for _ in range(20):
        look(first)
        before = airflow.requests
        look(second)
        assert airflow.requests == before
        clock.advance(1)


@pytest.mark.rule("14.13")
def test_when_a_server_dies_another_takes_over_once_its_lease_is_over(
    replicas: tuple[Services, Services], client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    client.post(f"/workflows/{NAME}/backfills", json=RANGE)
    first, second = replicas
    look(first)
    finish(airflow)
    look(second)
    assert runs(airflow) == 1
    waited = 0.0
    while runs(airflow) == 1:
        clock.advance(0.5)
        waited += 0.5
        look(second)
    assert waited <= LEASE_SECONDS + LOOK_SECONDS


@pytest.mark.rule("14.7")
def test_when_it_has_ended_nothing_is_left_but_the_plan(
    replicas: tuple[Services, Services],
    client: Client,
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
) -> None:
    made = client.post(f"/workflows/{NAME}/backfills", json=RANGE).json()
    for _ in range(20):
        look(replicas[0])
        finish(airflow)
        clock.advance(1)
    assert runs(airflow) == 5
    keys = [info.key for info in store.list("basecamp/") if "backfill" in info.key]
    assert keys == [f"basecamp/backfills/ended/{NAME}/{made['backfill_id']}.json"]


@pytest.mark.rule("14.16")
def test_of_many_that_go_on_so_many_are_looked_at_in_a_second_and_no_more(
    replicas: tuple[Services, Services],
    register: Register,
    client: Client,
    airflow: MemoryAirflow,
    clock: ManualClock,
) -> None:
    many = [f"many.dataset_{number}" for number in range(40)]
    for name in many:
        register(name)
        client.post(f"/workflows/{name}/backfills", json=RANGE)
    first, _ = replicas
    look(first)
    assert runs(airflow) == len(many)
    before = airflow.requests
    for _ in range(60):
        clock.advance(0.05)
        look(first)
    assert LOOKS_A_SECOND < airflow.requests - before <= 3 * LOOKS_A_SECOND


def test_an_airflow_that_does_not_answer_is_tried_again_within_seconds(
    replicas: tuple[Services, Services], client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    client.post(f"/workflows/{NAME}/backfills", json=RANGE)
    airflow.down = "connection refused"
    for _ in range(120):
        look(replicas[0])
        clock.advance(0.5)
    airflow.down = None
    for _ in range(8):
        clock.advance(0.5)
        look(replicas[0])
    assert runs(airflow) == 1


class OwnWay:
    """One server's way to Airflow, which may be cut while others have theirs."""

    def __init__(self, airflow: MemoryAirflow) -> None:
        self._airflow = airflow
        self.is_cut = False

    def __getattr__(self, name: str) -> Any:
        if self.is_cut:
            raise AirflowUnreachable("Airflow does not answer.")
        return getattr(self._airflow, name)


@pytest.mark.rule("14.13")
def test_a_replica_without_airflow_leaves_the_backfill_to_another(
    replicas: tuple[Services, Services],
    client: Client,
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
) -> None:
    way: Any = OwnWay(airflow)
    first, second = build_services(store, way, clock), replicas[1]
    client.post(f"/workflows/{NAME}/backfills", json=RANGE)
    look(first)
    finish(airflow)
    assert runs(airflow) == 1
    way.is_cut = True
    waited = 0.0
    while runs(airflow) == 1:
        clock.advance(0.5)
        waited += 0.5
        look(first)
        look(second)
        assert waited <= LEASE_SECONDS + LOOK_SECONDS
    first.reconciler.end()


def test_a_plan_that_cannot_be_read_holds_up_no_other(
    replicas: tuple[Services, Services],
    client: Client,
    store: MemoryStore,
    airflow: MemoryAirflow,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.put("basecamp/backfills/active/a.broken.json", b"{}", expected="*missing*")
    client.post(f"/workflows/{NAME}/backfills", json=RANGE)
    look(replicas[0])
    assert runs(airflow) == 1
    assert "'basecamp/backfills/active/a.broken.json' in the store can't be read" in caplog.text


def test_a_backfill_is_built_at_once_on_the_replica_that_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited for a look at the list would wait for an hour."""
    monkeypatch.setattr("basecamp.backfills.reconciler.LOOK_SECONDS", 3600.0)
    basecamp = Basecamp()
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    services = basecamp.services
    thread = threading.Thread(target=services.reconciler.loop.run)
    thread.start()
    try:
        wait_until(lambda: services.reconciler._listed_at is not None)
        request = BackfillRequest(dataset=CLICKS, **RANGE, parameters={})
        made = services.backfill_starter.start(request, requested_by="dana")
        for day in range(1, 6):
            run_id = f"{made.backfill_id}_2024010{day}"
            wait_until(partial(basecamp.airflow.get_run, CLICKS, run_id))
            basecamp.complete(run_id)
        wait_until(lambda: services.backfill_lookup.get(made.backfill_id).value.finished_at)
    finally:
        services.reconciler.end()
        thread.join(120)


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
