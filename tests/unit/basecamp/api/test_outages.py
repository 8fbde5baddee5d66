from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.shared.clock import ManualClock
from dataspec.errors import StoreUnreachable
from dataspec.store import MemoryStore, StoredObject

Register = Callable[..., Response]
AIRFLOW_OUT = "Airflow does not answer. What is shown is 90 s old."


@pytest.mark.rule("18.7")
def test_rows_that_were_read_are_shown_with_their_age_while_airflow_is_down(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    before = client.get("/workflows").json()
    airflow.down = "connection refused"
    clock.advance(90)
    after = client.get("/workflows").json()
    assert after["items"] == before["items"]
    assert after["warnings"] == [AIRFLOW_OUT]
    one = client.get("/workflows/sales.daily")
    assert (one.status_code, one.headers["dli-warning"]) == (200, AIRFLOW_OUT)


@pytest.mark.rule("18.7")
def test_runs_that_were_read_are_shown_with_their_age_while_airflow_is_down(
    register: Register, start: Callable[..., str], client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    run_id = start()
    pages = client.get("/runs").json()
    one = client.get(f"/runs/{run_id}").json()
    airflow.down = "connection refused"
    clock.advance(90)
    assert client.get("/runs").json() == pages | {"warnings": [AIRFLOW_OUT]}
    again = client.get(f"/runs/{run_id}")
    assert (again.json(), again.headers["dli-warning"]) == (one, AIRFLOW_OUT)


@pytest.mark.rule("18.7")
def test_what_was_never_read_is_an_error_while_airflow_is_down(
    client: Client, airflow: MemoryAirflow, dags: MemoryDags
) -> None:
    airflow.down = "connection refused"
    for path in ("/workflows", "/runs", "/runs/sales.daily_20240115_093045"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "airflow_unreachable")
        assert "connection refused" in answer.json()["detail"]


@pytest.mark.rule("18.8")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/workflows/sales.daily/pause", None),
        ("/workflows/sales.daily/unpause", None),
        ("/workflows/sales.daily/runs", {"parameters": {"execution_date": "2024-01-14"}}),
        ("/runs/sales.daily_20240115_093045/stop", None),
    ],
)
def test_changes_fail_with_a_clear_error_while_airflow_is_down(
    register: Register, client: Client, airflow: MemoryAirflow, path: str, body: Any
) -> None:
    register()
    client.get("/workflows")
    airflow.down = "connection refused"
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "airflow_unreachable")


def test_all_is_well_again_once_airflow_answers(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    client.get("/workflows")
    airflow.down = "connection refused"
    clock.advance(90)
    client.get("/workflows")
    airflow.down = None
    assert client.get("/workflows").json()["warnings"] == []


class FlakyStore(MemoryStore):
    """A store that can be switched off."""

    down = False

    def list(self, prefix: str) -> Any:
        self._check_up()
        return super().list(prefix)

    def get(self, key: str, *, known: StoredObject | None = None) -> Any:
        self._check_up()
        return super().get(key, known=known)

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        self._check_up()
        return super().put(key, body, expected=expected)

    def _check_up(self) -> None:
        if self.down:
            raise StoreUnreachable("The store does not answer.", detail="memory: off")


@pytest.fixture
def flaky(clock: ManualClock) -> FlakyStore:
    return FlakyStore(now=clock.now)


@pytest.fixture
def on_flaky(
    flaky: FlakyStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    client_of: Callable[[Any], Client],
    make_yaml: Callable[..., str],
) -> Client:
    """A client of a server on that store, with one dataset registered and listed."""
    client = client_of(create_app(build_services(flaky, airflow, clock)))
    processor = MemoryDags(airflow, flaky, clock.now)
    clock.on_wait[:] = [processor.refresh]
    body = {"yaml": make_yaml(), "files": {"query.sql": "SELECT '{{ execution_date }}'"}}
    assert client.put("/datasets/sales.daily", json=body).status_code == 201
    assert client.get("/workflows").status_code == 200
    return client


@pytest.mark.rule("18.7")
def test_rows_are_shown_with_their_age_while_the_store_is_down(
    on_flaky: Client, flaky: FlakyStore, clock: ManualClock
) -> None:
    flaky.down = True
    clock.advance(300)
    answer = on_flaky.get("/workflows").json()
    assert [item["dataset_name"] for item in answer["items"]] == ["sales.daily"]
    assert answer["warnings"] == ["The store does not answer. What is shown is 5 min old."]


@pytest.mark.rule("18.8")
def test_a_registration_fails_with_a_clear_error_while_the_store_is_down(
    on_flaky: Client, flaky: FlakyStore, make_yaml: Callable[..., str]
) -> None:
    flaky.down = True
    answer = on_flaky.put(
        "/datasets/sales.daily", json={"yaml": make_yaml(), "files": {"query.sql": "SELECT 1"}}
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unreachable")


def test_a_run_is_shown_while_the_store_is_down(
    on_flaky: Client, flaky: FlakyStore, clock: ManualClock
) -> None:
    body = {"parameters": {"execution_date": "2024-01-14"}}
    run_id = on_flaky.post("/workflows/sales.daily/runs", json=body).json()["run_id"]
    flaky.down = True
    clock.advance(10)
    assert on_flaky.get(f"/runs/{run_id}").status_code == 200
    assert on_flaky.get("/runs").json()["items"][0]["run_id"] == run_id


@pytest.mark.rule("18.9")
def test_readiness_waits_for_the_first_answers_and_then_tells_of_trouble_only(
    client_of: Callable[[Any], Client],
    services: Any,
    airflow: MemoryAirflow,
    register: Register,
) -> None:
    client = client_of(create_app(services))
    client.base_url = "http://test"
    airflow.down = "connection refused"
    services.readiness.look()
    starting = client.get("/readyz")
    airflow.down = None
    services.readiness.look()
    ready = client.get("/readyz")
    airflow.down = "connection refused"
    services.readiness.look()
    degraded = client.get("/readyz")
    assert (starting.status_code, starting.json()["status"]) == (503, "starting")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert degraded.json()["checks"] == {
        "store": "ok",
        "airflow": "Airflow does not answer. http://airflow.memory: connection refused",
        "notifications": "ok",
        "objects": "ok",
    }
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.rule("18.19")
def test_all_background_work_is_tried_again_soon_while_the_store_is_down(
    flaky: FlakyStore, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    services = build_services(flaky, airflow, clock)
    flaky.down = True
    services.refused_requests.count("127.0.0.1", "The token is not valid.")
    # The note of tokens' last use has nothing to do before a token is used.
    pauses = [loop.call() for loop in services.loops if loop is not services.token_lookup.loop]
    assert len(pauses) == 12
    assert max(pauses) <= 10
