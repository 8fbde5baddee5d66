"""What depends on what among the registered datasets, with the state of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.principal import Role
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.models import WorkflowGraph
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING
from unit.basecamp.api.sign_in import bearer, person, signing_in
from unit.dataspec.specs import spec_text

Put = Callable[..., None]


@pytest.fixture
def put(store: MemoryStore, dags: MemoryDags, clock: ManualClock) -> Put:
    """Put specs into ``code/``; Airflow loads them."""

    def put(**specs: str) -> None:
        for name, more in specs.items():
            stored = store.get(f"code/{name}.yaml")
            text = spec_text(name, extra=more)
            store.put(f"code/{name}.yaml", text.encode(), expected=stored.etag if stored else MISSING)
        dags.refresh()
        clock.advance(60)

    return put


def graph(client: Client, **query: Any) -> dict[str, Any]:
    answer = client.get("/graph", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def edges(found: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(edge["upstream"], edge["downstream"], edge["declared"]) for edge in found["edges"]]


@pytest.mark.rule("32.1")
def test_each_dataset_comes_after_its_upstream_with_its_source_and_status(
    client: Client, register: Callable[..., Response], put: Put, airflow: MemoryAirflow
) -> None:
    put(z="")
    register("a.manual", replace={"owner:": "depends_on: [z]\nowner:"})
    put(b="depends_on: [a.manual, gone]\n")
    airflow.set_paused("z", paused=True)
    found = graph(client)
    assert [(node["name"], node["source_type"], node["status"]) for node in found["datasets"]] == [
        ("z", "code", "paused"),
        ("a.manual", "manual", "active"),
        ("b", "code", "active"),
    ]
    assert edges(found) == [("a.manual", "b", True), ("z", "a.manual", True)]
    assert [node["missing"] for node in found["datasets"]] == [[], [], ["gone"]]
    assert (found["cycles"], found["warnings"]) == ([], [])


@pytest.mark.rule("32.1")
def test_of_one_dataset_it_shows_what_is_up_and_downstream_alone(client: Client, put: Put) -> None:
    put(a="", b="depends_on: [a]\n", c="depends_on: [b]\n", other="depends_on: [a]\n", lonely="")
    assert [node["name"] for node in graph(client, dataset="b")["datasets"]] == ["a", "b", "c"]
    missing = client.get("/graph", params={"dataset": "bb"})
    assert (missing.status_code, missing.json()["code"]) == (404, "dataset_not_found")


@pytest.mark.rule("32.2")
def test_an_edge_that_only_the_sql_shows_is_a_warning(
    client: Client, store: MemoryStore, dags: MemoryDags
) -> None:
    for name, sql in (("up", "insert into up select 1"), ("down", "insert into down select * from up")):
        store.put(f"code/{name}.yaml", spec_text(name, sql=sql).encode(), expected=MISSING)
    dags.refresh()
    found = graph(client)
    assert found["edges"] == [{"upstream": "up", "downstream": "down", "declared": False, "tables": ["up"]}]
    assert found["warnings"] == [
        "down: its SQL reads up, which 'up' builds, and 'depends_on' does not say so: no run waits for it."
    ]


@pytest.mark.rule("32.1")
def test_a_cycle_and_an_invalid_spec_are_shown_and_nothing_breaks(client: Client, put: Put) -> None:
    put(a="depends_on: [b]\n", b="depends_on: [a]\n", bad="depends_on: 5\n")
    found = graph(client)
    assert found["cycles"] == [["a", "b"]]
    states = {node["name"]: node["status"] for node in found["datasets"]}
    assert states == {"a": "active", "b": "active", "bad": "invalid"}


@pytest.mark.rule("32.3")
def test_a_viewer_of_a_team_sees_its_datasets_alone(
    client_of: Callable[[Any], Client], services: Services, put: Put
) -> None:
    ops, fin = "team: '@ops'\n", "team: '@fin'\n"
    put(
        up=ops,
        mid=f"{fin}depends_on: [up]\n",
        down=f"{ops}depends_on: [mid]\n",
        own=f"{ops}depends_on: [up]\n",
    )
    signed = client_of(create_app(services, credentials=signing_in(person("vera", Role.VIEWER, "@ops"))))
    found = signed.get("/graph", headers=bearer("vera")).json()
    assert {node["name"] for node in found["datasets"]} == {"up", "down", "own"}
    assert edges(found) == [("up", "own", True)]
    assert "mid" not in {name for node in found["datasets"] for name in node["missing"]}
    refused = signed.get("/graph", params={"dataset": "mid"}, headers=bearer("vera"))
    assert refused.status_code == 404


@pytest.mark.rule("32.5")
def test_a_thousand_datasets_in_ten_layers_take_less_than_a_second(services: Services, put: Put) -> None:
    layers = {
        f"l{layer}.d{number}": f"depends_on: [l{layer - 1}.d{number}, l{layer - 1}.d{(number + 1) % 100}]\n"
        if layer
        else ""
        for layer in range(10)
        for number in range(100)
    }
    put(**layers)
    services.graph.of()  # the catalog is read
    began = time.process_time()
    found: WorkflowGraph = services.graph.of()
    took = time.process_time() - began
    assert len(found.datasets) == 1000
    assert len(found.edges) == 1800
    assert took < 5, took  # a second of the processor at most, unless that is slow
