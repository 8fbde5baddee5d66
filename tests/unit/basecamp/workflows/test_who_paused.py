"""Who paused and resumed a dataset, on every replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.shared.clock import ManualClock
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

NAME = "sales.daily"


def row(client: Client, name: str = NAME) -> dict[str, Any]:
    (listed,) = client.get("/workflows", params={"dataset": name}).json()["items"]
    shown: dict[str, Any] = client.get(f"/workflows/{name}").json()
    assert shown == listed
    return shown


@pytest.fixture
def other(
    client_of: Callable[[Any], Client], store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock
) -> Client:
    """Another replica on the same store and Airflow."""
    return client_of(create_app(build_services(store, airflow, clock)))


@pytest.mark.rule("26.79")
def test_a_pause_names_who_when_and_why_on_both_replicas(
    client: Client, other: Client, register: Callable[..., Response], clock: ManualClock
) -> None:
    register()
    row(other)
    sent = {"reason": "source is late"}
    client.post(f"/workflows/{NAME}/pause", json=sent, headers={"Dli-User": "ada"})
    clock.advance(60)
    for replica in (client, other):
        found = row(replica)
        assert (found["paused_by"], found["pause_reason"]) == ("ada", "source is late")
        assert found["paused_at"].startswith("2024-01-15T09:30:45")
    other.post(f"/workflows/{NAME}/unpause", headers={"Dli-User": "eve"})
    clock.advance(60)
    for replica in (client, other):
        found = row(replica)
        assert (found["paused_by"], found["resumed_by"]) == (None, "eve")


@pytest.mark.rule("26.79")
def test_what_was_done_on_airflows_page_shows_as_such(
    client: Client, register: Callable[..., Response], airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    airflow.set_paused(NAME, paused=True)
    clock.advance(60)
    assert row(client)["paused_by"] == "in Airflow"
    airflow.set_paused(NAME, paused=False)
    client.post(f"/workflows/{NAME}/pause", headers={"Dli-User": "ada"})
    airflow.set_paused(NAME, paused=False)
    clock.advance(60)
    assert row(client)["resumed_by"] == "in Airflow"


@pytest.mark.rule("26.79", "5.21")
def test_a_damaged_record_is_put_aside_and_a_newer_one_stays(
    client: Client, register: Callable[..., Response], store: MemoryStore, clock: ManualClock
) -> None:
    register()
    store.put("basecamp/pauses.json", b"{", expected=MISSING)
    assert client.post(f"/workflows/{NAME}/pause", headers={"Dli-User": "ada"}).json()["paused"]
    clock.advance(60)
    assert row(client)["paused_by"] == "ada"
    assert list(store.list("basecamp/quarantine/basecamp/pauses.json"))
    (info,) = store.list("basecamp/pauses.json")
    newer = b'{"format": 99, "pauses": "elsewhere"}'
    store.put(info.key, newer, expected=info.etag)
    clock.advance(60)
    assert client.post(f"/workflows/{NAME}/unpause").status_code == 200
    assert store.get_many([info.key])[info.key].body == newer
