"""The last run of each dataset, in its row: whatever its age, and whatever else has run since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.models import RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.shared.clock import ManualClock

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
