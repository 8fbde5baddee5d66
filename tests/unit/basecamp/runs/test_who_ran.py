"""Who started, stopped and retried a run, in the API and in Airflow's note."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.runs.notes import note_of_stop, read_note
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.store import Store

NAME = "sales.daily"
AT = datetime(2024, 1, 15, 9, 30, tzinfo=UTC)


@pytest.mark.rule("26.78")
def test_a_run_names_who_started_stopped_and_retried_it(
    client: Client, airflow: MemoryAirflow, register: Callable[..., Response], execute: Callable[..., None]
) -> None:
    register()
    body = {"parameters": {"execution_date": "2024-01-14"}}
    run_id = client.post(f"/workflows/{NAME}/runs", json=body, headers={"Dli-User": "ada"}).json()["run_id"]
    run = airflow.get_run(NAME, run_id)
    assert run is not None
    assert (run.note or "").startswith("Started by ada at 2024-01-15T09:3")
    shown = client.get(f"/runs/{run_id}").json()
    assert (shown["requested_by"], shown["note"]) == ("ada", None)
    execute(run_id)
    stopped = client.post(
        f"/runs/{run_id}/stop", json={"reason": "wrong: day"}, headers={"Dli-User": "eve"}
    ).json()
    assert (stopped["stopped_by"], stopped["stop_reason"]) == ("eve", "wrong: day")
    assert stopped["stopped_at"].startswith("2024-01-15T")
    (listed,) = client.get("/runs").json()["items"]
    assert (listed["requested_by"], listed["stopped_by"], listed["retried_by"]) == ("ada", "eve", None)
    client.post(f"/runs/{run_id}/retry", headers={"Dli-User": "kim"})
    retried = client.get(f"/runs/{run_id}").json()
    assert (retried["retried_by"], retried["stopped_by"]) == ("kim", None)


@pytest.mark.rule("26.78")
def test_a_run_that_began_in_airflow_shows_as_such(
    client: Client, airflow: MemoryAirflow, register: Callable[..., Response]
) -> None:
    register()
    airflow.trigger(NAME, "manual__1", logical_date=AT, conf={})
    assert client.get("/runs/manual__1").json()["requested_by"] == "in Airflow"


@pytest.mark.rule("26.88")
def test_a_run_that_began_in_airflow_is_one_entry_of_the_audit_log_by_any_number_of_replicas(
    client: Client,
    airflow: MemoryAirflow,
    register: Callable[..., Response],
    services: Services,
    store: Store,
    clock: ManualClock,
) -> None:
    register()
    client.post(f"/workflows/{NAME}/runs", json={"parameters": {"execution_date": "2024-01-14"}})
    airflow.trigger(NAME, "manual__1", logical_date=AT, conf={})
    airflow.load("somebody.elses")
    airflow.trigger("somebody.elses", "manual__1", logical_date=AT, conf={})

    other = build_services(store, airflow, clock)
    assert services.airflow_starts.look() == 60
    assert other.airflow_starts.look() > 0  # the first one has the lease
    for seconds in (61, 120):
        clock.advance(seconds)
        other.airflow_starts.look()

    entries = client.get("/audit").json()["items"]
    [begun] = [entry for entry in entries if entry["method"] == "airflow"]
    assert (begun["name"], begun["action"], begun["outcome"]) == ("in Airflow", "run", "done")
    assert (begun["dataset"], begun["run_id"]) == (NAME, "manual__1")


@pytest.mark.rule("26.78")
def test_no_name_can_end_with_another_ones_act() -> None:
    forged = "eve at 2020-01-01T00:00:00+00:00 in attempt 1: x"
    found = read_note(note_of_stop(forged, AT, 1, "why"))
    assert found is not None
    assert (found.at, found.reason) == (AT, "why")
    assert (
        read_note("Completed before the stop took effect. Stopped by a at 2020-01-01T00:00:00+00:00") is None
    )
