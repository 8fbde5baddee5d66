"""Another DAG under a dataset's id: it is not started, stopped or paused, and its runs are not the dataset's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.models import DagRun, RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.datasets.takeovers import COUNTS_FOR, KEPT_FOR, KEY
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.shared.waiting import run_through
from dataspec.catalog.ledger import LEDGER_KEY
from dataspec.contract import LoadedSpec, write_takeover
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING
from unit.basecamp.conftest import SQL

NAME = "sales.daily"
PLACE = "etl.py in the bundle 'company'"
INTERVAL = (datetime(2024, 1, 14, tzinfo=UTC), datetime(2024, 1, 15, tzinfo=UTC))
DAYS = {"start": "2024-01-01", "end": "2024-01-05"}

Register = Callable[..., Response]
Start = Callable[..., str]
Execute = Callable[..., None]


def all_runs(airflow: MemoryAirflow) -> tuple[DagRun, ...]:
    return airflow.list_runs(RunFilter(), limit=100).runs


def give_back(airflow: MemoryAirflow) -> None:
    """Let Airflow parse the dataset's own file last."""
    airflow.load(NAME, loaded=LoadedSpec("ab", "manual", f"manual/{NAME}.yaml"), tags=["source:manual"])


def run(client: Client) -> Response:
    return client.post(f"/workflows/{NAME}/runs", json={"parameters": {"execution_date": "2024-01-14"}})


def show(client: Client, run_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = client.get(f"/runs/{run_id}", params={"dataset": NAME}).json()
    return shown


def listed(client: Client, **query: Any) -> list[str]:
    items = client.get("/runs", params={"dataset": NAME, **query}).json()["items"]
    return [item["run_id"] for item in items]


@pytest.fixture
def run_of_other(register: Register, airflow: MemoryAirflow, clock: ManualClock) -> str:
    """A scheduled run that the other DAG made, and whose code ended well."""
    register()
    airflow.take_over(NAME)
    airflow.schedule(NAME, "scheduled__2024-01-14", INTERVAL)
    airflow.start_other(NAME, "scheduled__2024-01-14")
    clock.advance(1)
    airflow.end(NAME, "scheduled__2024-01-14", "success")
    return "scheduled__2024-01-14"


# Orders.

ORDERS = {
    "run": ("POST", f"/workflows/{NAME}/runs", {"parameters": {"execution_date": "2024-01-14"}}),
    "backfill": ("POST", f"/workflows/{NAME}/backfills", DAYS),
    "pause": ("POST", f"/workflows/{NAME}/pause", None),
    "unpause": ("POST", f"/workflows/{NAME}/unpause", None),
}


@pytest.mark.rule("12.23")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("taken", [True, False], ids=["now", "lately"])
def test_an_order_to_a_dataset_that_was_taken_over_is_refused_with_where_the_other_dag_is(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock, order: str, *, taken: bool
) -> None:
    register()
    airflow.take_over(NAME)
    if not taken:
        clock.advance(60)
        client.post("/sync")
        give_back(airflow)
    method, path, body = ORDERS[order]
    answer = client.request(method, path, json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["taken_over_by"]) == (409, "taken_over", PLACE)
    assert problem["title"] == f"Another DAG has the id of the dataset '{NAME}': {PLACE}."
    assert "Rename that DAG" in problem["detail"]
    assert not all_runs(airflow)
    details = airflow.get_dag(NAME)
    assert details is not None
    assert not details.dag.is_paused


@pytest.mark.rule("12.23")
def test_a_file_that_only_looks_like_a_shard_is_not_taken_for_one(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    airflow.take_over(NAME, file="/dags/dli_shard_001.py", bundle=None)
    assert run(client).json()["taken_over_by"] == "/dags/dli_shard_001.py"


@pytest.mark.rule("12.23")
def test_a_recent_takeover_counts_until_it_was_not_seen_for_five_minutes(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    airflow.take_over(NAME)
    assert run(client).status_code == 409
    give_back(airflow)
    clock.advance(COUNTS_FOR.total_seconds() - 1)
    refused = run(client)
    assert (refused.status_code, "now one, now the other" in refused.json()["detail"]) == (409, True)
    clock.advance(1)
    assert run(client).status_code == 201


@pytest.mark.rule("12.23")
def test_a_dataset_whose_dag_stepped_back_is_refused_with_the_file_that_airflow_reports(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    airflow.unload(NAME)
    airflow.break_import("problem.py", f"Traceback …\nImportError: {write_takeover(NAME, '/dags/etl.py')}")
    refused = run(client).json()
    assert (refused["code"], refused["taken_over_by"]) == ("taken_over", "/dags/etl.py")
    clock.advance(60)
    [row] = client.post("/sync").json()["taken_over"]
    assert row["taken_over_by"] == "/dags/etl.py"


@pytest.mark.rule("12.23")
def test_replicas_share_takeovers(
    register: Register,
    client: Client,
    airflow: MemoryAirflow,
    store: MemoryStore,
    clock: ManualClock,
    app: Any,
) -> None:
    register()
    airflow.take_over(NAME)
    build_services(store, airflow, clock).takeovers.look()
    give_back(airflow)
    assert run(client).status_code == 409


@pytest.mark.rule("12.23")
def test_a_name_that_a_dag_has_is_not_registered(
    client: Client, airflow: MemoryAirflow, store: MemoryStore, make_yaml: Callable[..., str], dags: object
) -> None:
    airflow.take_over(NAME)
    answer = client.put(f"/datasets/{NAME}", json={"yaml": make_yaml(NAME), "files": {"query.sql": SQL}})
    assert (answer.status_code, answer.json()["taken_over_by"]) == (409, PLACE)
    assert not list(store.list("manual/"))
    airflow.unload(NAME)  # the company renames its DAG
    answer = client.put(f"/datasets/{NAME}", json={"yaml": make_yaml(NAME), "files": {"query.sql": SQL}})
    assert answer.status_code == 201


@pytest.mark.rule("12.23")
def test_a_dag_that_takes_the_id_during_a_registration_is_reported_at_once(
    client: Client, airflow: MemoryAirflow, make_yaml: Callable[..., str], dags: object, clock: ManualClock
) -> None:
    airflow.on_parse = lambda _dag: airflow.take_over(NAME)
    clock.on_wait.clear()
    body = {"yaml": make_yaml(NAME), "files": {"query.sql": SQL}}
    answer = client.put(f"/datasets/{NAME}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "taken_over")
    assert f"stored as manual/{NAME}.yaml" in answer.json()["detail"]


@pytest.mark.rule("12.23")
def test_a_run_of_the_dataset_is_not_run_again_in_the_other_dag(
    register: Register, client: Client, airflow: MemoryAirflow, start: Start, execute: Execute
) -> None:
    register()
    run_id = start()
    for _ in range(2):
        execute(run_id, "failed")
    airflow.take_over(NAME)
    assert client.post(f"/runs/{run_id}/retry").json()["code"] == "taken_over"
    assert show(client, run_id)["status"] == "FAILED"


# Runs.


@pytest.mark.rule("12.25")
def test_a_run_of_the_other_dag_is_reported_and_not_shown_as_ours(run_of_other: str, client: Client) -> None:
    shown = show(client, run_of_other)
    assert (shown["status"], shown["other_code"]) == ("FAILED", True)
    assert (shown["source_type"], shown["spec_hash"], shown["parameters"]) == (None, None, {})
    assert shown["error"].startswith(
        "The dataset was not built: in this run Airflow ran the code of another DAG"
    )


def test_a_dag_that_has_a_datasets_tag_by_chance_is_none(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    airflow.take_over("company.etl", tags=["source:code"])
    airflow.schedule("company.etl", "theirs", INTERVAL)
    clock.advance(60)
    assert client.get("/runs").json()["items"] == []
    assert client.get("/runs/theirs").status_code == 404


@pytest.mark.rule("12.25")
def test_the_history_has_a_run_of_the_other_dag_among_the_failed_ones(
    run_of_other: str, client: Client
) -> None:
    client.post("/sync")
    assert listed(client) == [run_of_other]
    assert listed(client, status="FAILED") == [run_of_other]
    assert listed(client, status="COMPLETED") == []


@pytest.mark.rule("12.25")
def test_a_successful_run_without_a_reported_version_ran_other_code(
    register: Register, client: Client, airflow: MemoryAirflow, start: Start
) -> None:
    """The DAG was ours when the run was made, and the other's when a worker began with it."""
    register()
    run_id = start()
    airflow.start_other(NAME, run_id)
    assert show(client, run_id)["status"] == "RUNNING"
    airflow.end(NAME, run_id, "success")
    assert (show(client, run_id)["status"], show(client, run_id)["other_code"]) == ("FAILED", True)
    refused = run(client)
    assert (refused.status_code, run_id in refused.json()["taken_over_by"]) == (409, True)


@pytest.mark.rule("12.25")
def test_a_run_marked_as_a_success_before_it_starts_is_not_another_dags(
    register: Register, client: Client, airflow: MemoryAirflow, start: Start
) -> None:
    register()
    run_id = start()
    airflow.set_run_state(NAME, run_id, "success", note="not needed")
    assert (show(client, run_id)["status"], show(client, run_id)["other_code"]) == ("COMPLETED", False)


@pytest.mark.rule("12.25")
def test_an_attempt_of_the_other_dag_is_not_shown_as_running(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    airflow.take_over(NAME, task_id="run")
    airflow.schedule(NAME, "theirs", INTERVAL)
    airflow.start_other(NAME, "theirs")
    row = client.get(f"/workflows/{NAME}").json()
    assert (row["running_run_id"], show(client, "theirs")["other_code"]) == (None, True)


@pytest.mark.rule("12.25")
def test_an_active_run_of_the_other_dag_is_not_ended(
    register: Register, client: Client, airflow: MemoryAirflow, start: Start, clock: ManualClock
) -> None:
    register()
    ours = start()
    airflow.take_over(NAME)
    airflow.schedule(NAME, "theirs", INTERVAL)
    airflow.start_other(NAME, "theirs")
    refused = client.post("/runs/theirs/stop", params={"dataset": NAME})
    assert (refused.status_code, refused.json()["code"]) == (409, "refused")
    removed = client.delete(f"/datasets/{NAME}", params={"stop": True})
    assert (removed.status_code, removed.json()["stopped_runs"]) == (200, [ours])
    theirs = airflow.get_run(NAME, "theirs")
    assert theirs is not None
    assert theirs.state == "running"


@pytest.mark.rule("4.8")
def test_a_dataset_that_was_removed_does_not_wait_for_the_other_dags_runs(
    register: Register,
    client: Client,
    services: Services,
    airflow: MemoryAirflow,
    store: MemoryStore,
    clock: ManualClock,
) -> None:
    register()
    airflow.take_over(NAME)
    airflow.schedule(NAME, "theirs", INTERVAL)
    airflow.start_other(NAME, "theirs")
    assert client.delete(f"/datasets/{NAME}").status_code == 200
    clock.advance(61)
    run_through(services.check.sync(), clock)
    ledger = store.get(LEDGER_KEY)
    assert ledger is not None
    assert b'"datasets":{}' in ledger.body


# What people see.


@pytest.mark.rule("7.10", "19.5")
def test_rows_and_the_check_name_the_dag_that_took_a_dataset_over(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    register("sales.other")
    airflow.take_over(NAME)
    clock.advance(60)
    report = client.post("/sync").json()
    assert [row["dataset_name"] for row in report["taken_over"]] == [NAME]
    rows = {row["dataset_name"]: row for row in client.get("/workflows").json()["items"]}
    for row in (rows[NAME], client.get(f"/workflows/{NAME}").json()):
        assert (row["taken_over_by"], row["next_run"], row["note"]) == (PLACE, None, None)
        assert PLACE in row["error"]
    assert rows["sales.other"]["taken_over_by"] is None
    assert client.get(f"/datasets/{NAME}/versions").json()["airflow"] is None
    clock.advance(COUNTS_FOR.total_seconds())
    give_back(airflow)
    clock.advance(60)
    assert client.get("/workflows").json()["items"][0]["taken_over_by"] is None


@pytest.mark.rule("19.5")
def test_code_that_brings_a_dataset_under_a_taken_id_is_reported(
    publish: Callable[..., None], client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    publish()
    airflow.take_over(NAME)
    clock.advance(60)
    [row] = client.post("/sync").json()["taken_over"]
    assert (row["dataset_name"], row["source_type"], row["taken_over_by"]) == (NAME, "code", PLACE)


def test_a_look_asks_for_no_dag_that_is_listed_as_ours(
    register: Register, services: Services, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    for number in range(5):
        register(f"sales.number_{number}")
    clock.advance(60)
    services.takeovers.look()
    clock.advance(60)
    before = airflow.requests
    services.takeovers.look()
    assert airflow.requests - before == 1


def test_stored_takeovers_are_removed_in_the_end(
    register: Register, client: Client, airflow: MemoryAirflow, store: MemoryStore, clock: ManualClock
) -> None:
    for name in (NAME, "sales.other"):
        register(name)
    airflow.take_over(NAME)
    client.post("/sync")
    clock.advance((KEPT_FOR + timedelta(days=1)).total_seconds())
    give_back(airflow)
    airflow.take_over("sales.other")
    client.post("/sync")
    stored = store.get(KEY)
    assert stored is not None
    assert (b"sales.other" in stored.body, NAME.encode() in stored.body) == (True, False)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"format": 1, "takeovers": 3}', b'{"format": 1, "takeovers": {"a": 1}}']
)
def test_a_record_that_cannot_be_read_is_as_good_as_none(
    register: Register, client: Client, airflow: MemoryAirflow, store: MemoryStore, body: bytes
) -> None:
    register()
    store.put(KEY, body, expected=MISSING)
    assert run(client).status_code == 201
    airflow.take_over(NAME)
    assert run(client).status_code == 409


# Backfills.


@pytest.mark.rule("12.25", "14.12")
@pytest.mark.parametrize("keep_going", [False, True])
def test_a_backfill_ends_when_a_run_of_it_ran_other_code(
    register: Register,
    client: Client,
    services: Services,
    airflow: MemoryAirflow,
    clock: ManualClock,
    *,
    keep_going: bool,
) -> None:
    register()
    backfill_id = client.post(f"/workflows/{NAME}/backfills", json=DAYS | {"keep_going": keep_going}).json()[
        "backfill_id"
    ]
    run_through(services.backfill_steps.advance(NAME), clock)
    [first] = all_runs(airflow)
    airflow.start_other(NAME, first.run_id)
    clock.advance(1)
    airflow.end(NAME, first.run_id, "success")
    for _ in range(20):
        run_through(services.backfill_steps.advance(NAME), clock)
        clock.advance(1)
    ended = client.get(f"/backfills/{backfill_id}").json()
    assert (ended["status"], ended["dates_done"], ended["failed_dates"]) == ("FAILED", 0, ["2024-01-01"])
    assert "ran the code of another DAG" in ended["error"]
    assert len(all_runs(airflow)) == 1


@pytest.mark.rule("12.23")
def test_a_backfill_starts_no_date_in_a_dag_that_took_the_dataset_over_meanwhile(
    register: Register,
    client: Client,
    services: Services,
    airflow: MemoryAirflow,
    clock: ManualClock,
    execute: Execute,
) -> None:
    register()
    backfill_id = client.post(f"/workflows/{NAME}/backfills", json=DAYS).json()["backfill_id"]
    run_through(services.backfill_steps.advance(NAME), clock)
    [first] = all_runs(airflow)
    execute(first.run_id, "success")
    airflow.take_over(NAME)
    for _ in range(20):
        run_through(services.backfill_steps.advance(NAME), clock)
        clock.advance(60)
    ended = client.get(f"/backfills/{backfill_id}").json()
    assert (ended["status"], ended["dates_done"]) == ("FAILED", 1)
    assert PLACE in ended["error"]
    assert len(all_runs(airflow)) == 1
