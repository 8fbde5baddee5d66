"""The last run of each dataset, in its row: whatever its age, and whatever else has run since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.models import RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.shared.clock import ManualClock
from dataspec.store import MemoryStore

Register = Callable[..., Response]
Start = Callable[..., str]
Execute = Callable[..., None]


def last_runs(client: Client) -> dict[str, Any]:
    """Return the status and the id of the last run of each dataset."""
    answer = client.get("/workflows")
    assert answer.status_code == 200, answer.text
    assert answer.json()["warnings"] == []
    found = {row["dataset_name"]: row["last_run"] for row in answer.json()["items"]}
    return {name: (last["status"], last["run_id"]) if last else None for name, last in found.items()}


def run_others(airflow: MemoryAirflow, clock: ManualClock, count: int) -> None:
    """Let a DAG that is no dataset run many times."""
    airflow.load("etl")
    for number in range(count):
        clock.advance(1)
        airflow.trigger("etl", f"etl_{number}", logical_date=clock.now(), conf={})
        airflow.start("etl", f"etl_{number}", source="", spec_hash="")
        airflow.end("etl", f"etl_{number}", "success")


@pytest.mark.rule("22.37")
def test_a_row_shows_the_run_that_was_created_last_in_each_of_its_states(
    register: Register, start: Start, execute: Execute, client: Client
) -> None:
    register()
    assert last_runs(client) == {"sales.daily": None}
    first = start()
    assert last_runs(client) == {"sales.daily": ("PENDING", first)}
    execute(first)
    assert last_runs(client) == {"sales.daily": ("RUNNING", first)}
    second = start()
    execute(first, "success")
    assert last_runs(client) == {"sales.daily": ("PENDING", second)}
    client.post(f"/runs/{second}/stop")
    assert last_runs(client) == {"sales.daily": ("KILLED", second)}
    shown = client.get("/workflows/sales.daily").json()["last_run"]
    assert set(shown) == {"run_id", "status", "created_at", "finished_at"}


@pytest.mark.rule("22.37")
def test_a_retry_shows_and_so_does_its_end(
    register: Register, start: Start, execute: Execute, client: Client
) -> None:
    register()
    run_id = start()
    for _ in range(2):
        execute(run_id, "failed")
    assert last_runs(client) == {"sales.daily": ("FAILED", run_id)}
    assert client.post(f"/runs/{run_id}/retry").status_code == 200
    assert last_runs(client) == {"sales.daily": ("PENDING", run_id)}
    execute(run_id, "success")
    assert last_runs(client) == {"sales.daily": ("COMPLETED", run_id)}


@pytest.mark.rule("22.37")
@pytest.mark.parametrize("known_before", [False, True])
def test_runs_of_others_hide_no_last_run(
    register: Register,
    start: Start,
    execute: Execute,
    client: Client,
    airflow: MemoryAirflow,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    known_before: bool,
) -> None:
    monkeypatch.setattr("basecamp.runs.last_runs.MAX_PAGES", 2)
    register()
    register("sales.never")
    run_id = start()
    execute(run_id, "success")
    if known_before:
        assert last_runs(client)["sales.daily"] == ("COMPLETED", run_id)
    run_others(airflow, clock, 450)
    assert last_runs(client) == {"sales.daily": ("COMPLETED", run_id), "sales.never": None}
    other = start("sales.never")
    assert last_runs(client) == {"sales.daily": ("COMPLETED", run_id), "sales.never": ("PENDING", other)}


@pytest.mark.rule("22.37")
def test_a_pass_costs_the_same_however_many_runs_airflow_has(
    register: Register,
    start: Start,
    execute: Execute,
    client: Client,
    airflow: MemoryAirflow,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[RunFilter] = []
    list_runs = airflow.list_runs

    def counted(wanted: RunFilter, **options: Any) -> Any:
        asked.append(wanted)
        return list_runs(wanted, **options)

    def requests() -> int:
        asked.clear()
        last_runs(client)
        return len(asked)

    monkeypatch.setattr(airflow, "list_runs", counted)
    register()
    run_id = start()
    execute(run_id, "success")
    requests()
    few = requests()
    run_others(airflow, clock, 950)
    clock.advance(120)
    requests()
    assert (few, requests()) == (3, 3)


@pytest.mark.rule("22.37")
def test_a_run_that_was_deleted_gives_way_to_the_one_before(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    first = start()
    execute(first, "success")
    second = start()
    assert last_runs(client) == {"sales.daily": ("PENDING", second)}
    airflow.delete_run("sales.daily", second)
    assert last_runs(client) == {"sales.daily": ("COMPLETED", first)}


@pytest.mark.rule("22.37")
def test_a_removed_dataset_that_comes_back_has_its_last_run(
    register: Register, start: Start, execute: Execute, client: Client
) -> None:
    register()
    run_id = start()
    execute(run_id, "success")
    assert last_runs(client) == {"sales.daily": ("COMPLETED", run_id)}
    assert client.delete("/datasets/sales.daily").status_code == 200
    assert last_runs(client) == {}
    register()
    assert last_runs(client) == {"sales.daily": ("COMPLETED", run_id)}


@pytest.mark.rule("22.37")
def test_another_dags_code_built_nothing(
    register: Register, start: Start, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    run_id = start()
    airflow.start_other("sales.daily", run_id)
    airflow.end("sales.daily", run_id, "success")
    assert client.get(f"/runs/{run_id}").json()["status"] == "FAILED"
    assert last_runs(client) == {"sales.daily": ("FAILED", run_id)}


@pytest.mark.rule("22.37")
def test_while_airflow_is_silent_the_last_runs_are_those_of_before(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    run_id = start()
    execute(run_id, "success")
    last_runs(client)
    airflow.down = "it is off"
    [row] = client.get("/workflows").json()["items"]
    assert row["last_run"]["run_id"] == run_id


def result(client: Client) -> dict[str, Any]:
    shown: dict[str, Any] = client.get("/workflows/sales.daily").json()["last_result"]
    (listed,) = client.get("/workflows").json()["items"]
    assert listed["last_result"] == shown
    return shown


@pytest.fixture
def end(start: Start, execute: Execute, clock: ManualClock) -> Callable[[str], str]:
    """Let a run end, after all its attempts."""

    def end(state: str) -> str:
        run_id = start()
        execute(run_id, state)
        if state == "failed":
            execute(run_id, state)
        clock.advance(60)
        return run_id

    return end


@pytest.mark.rule("38.16")
def test_last_result_stays_while_the_next_run_is_active_with_the_failures_in_a_row(
    register: Register, client: Client, start: Start, end: Callable[[str], str]
) -> None:
    register()
    start()
    assert client.get("/workflows/sales.daily").json()["last_result"] is None
    end("success")
    first = end("failed")
    assert (result(client)["run_id"], result(client)["failures"]) == (first, 1)
    since = result(client)["since"]
    last = end("failed")
    start()
    shown = result(client)
    assert (shown["status"], shown["run_id"], shown["failures"], shown["since"]) == ("FAILED", last, 2, since)
    end("success")
    assert (result(client)["status"], result(client)["failures"]) == ("COMPLETED", 0)


@pytest.mark.rule("38.16")
def test_another_replica_finds_the_same_result_however_many_other_runs_there_are(
    register: Register,
    client: Client,
    client_of: Callable[[Any], Client],
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    start: Start,
    end: Callable[[str], str],
) -> None:
    register()
    end("success")
    for _ in range(3):
        end("failed")
    run_others(airflow, clock, 250)
    start()
    other = client_of(create_app(build_services(store, airflow, clock)))
    assert result(other) == result(client)
    assert result(other)["failures"] == 3


@pytest.mark.rule("38.16")
def test_result_of_a_run_that_is_retried_is_that_of_its_last_end(
    register: Register, client: Client, execute: Execute, end: Callable[[str], str]
) -> None:
    register()
    run_id = end("failed")
    assert result(client)["status"] == "FAILED"
    client.post(f"/runs/{run_id}/retry")
    assert result(client)["status"] == "FAILED"
    execute(run_id, "success")
    assert result(client)["status"] == "COMPLETED"


@pytest.mark.rule("38.16")
def test_looks_cost_no_more_with_more_ended_runs(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock, end: Callable[[str], str]
) -> None:
    register()
    end("failed")
    result(client)

    def requests() -> int:
        clock.advance(61)
        before = airflow.requests
        result(client)
        return airflow.requests - before

    few = requests()
    for _ in range(30):
        end("success")
    run_others(airflow, clock, 30)
    result(client)
    clock.advance(3600)
    result(client)
    assert requests() <= few


@pytest.mark.rule("38.17")
def test_list_shows_only_datasets_whose_last_result_is_as_asked(
    register: Register, client: Client, end: Callable[[str], str]
) -> None:
    register("sales.other")
    register()
    end("failed")

    def names(**query: Any) -> list[str]:
        return [row["dataset_name"] for row in client.get("/workflows", params=query).json()["items"]]

    assert names(status="failed") == ["sales.daily"]
    assert names(status="completed") == names(late=True) == []
    assert len(names()) == 2
    assert client.get("/workflows", params={"status": "bad"}).status_code == 400
