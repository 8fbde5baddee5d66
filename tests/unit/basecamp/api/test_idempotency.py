"""`Idempotency-Key`: the first answer comes again, whatever has changed since, and nothing happens a second time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.models import RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.runs.all_runs import all_runs
from basecamp.shared.clock import ManualClock
from basecamp.shared.idempotency import PREFIX
from dataspec.errors import StoreUnreachable
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

Register = Callable[..., Response]
NAME = "sales.daily"
SPEC = f"/datasets/{NAME}"
KEY = {"Idempotency-Key": "k"}
DATES = {"start": "2024-01-01", "end": "2024-01-03"}
CHANGES_NOTHING = {"/api/v1/datasets/validate"}
SIGNING_IN = {"/api/v1/logins", "/api/v1/logins/token", "/api/v1/logout"}
"""An answer with a secret is not kept for a repeated request; a second sign-out has no effect."""


class Forgetful(MemoryStore):
    """A store in which a replica dies, or the store fails, right before an answer, or all of the work, is kept."""

    forgets = False
    forgets_all = False

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        if self.forgets_all and key.startswith(PREFIX) and expected != MISSING:
            raise StoreUnreachable("The store does not answer.", detail="memory:")
        if self.forgets and key.startswith(PREFIX) and b'"answer"' in body:
            raise StoreUnreachable("The store does not answer.", detail="memory:")
        return super().put(key, body, expected=expected)


@pytest.fixture
def store(clock: ManualClock) -> Forgetful:
    return Forgetful(now=clock.now)


@pytest.fixture
def body(make_yaml: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    def body(limit: int = 100) -> dict[str, Any]:
        yaml = make_yaml(replace={"default: 100": f"default: {limit}"})
        return {"yaml": yaml, "files": {"query.sql": "SELECT 1 AS one"}}

    return body


def text(store: MemoryStore) -> str:
    stored = store.get(f"manual/{NAME}.yaml")
    return stored.body.decode() if stored else ""


def run(client: Client, **more: Any) -> Response:
    return client.post(
        f"/workflows/{NAME}/runs", json={"parameters": {"execution_date": "2024-01-14"}}, headers=KEY, **more
    )


def repeated(request: Callable[[], Response], first: Response) -> None:
    again = request()
    assert (again.status_code, again.json()) == (first.status_code, first.json()), again.text
    assert again.headers.get("ETag") == first.headers.get("ETag")


@pytest.mark.rule("19.11")
def test_every_route_that_changes_something_takes_a_key(client: Client) -> None:
    paths = client.get("http://test/openapi.json").json()["paths"]
    changing = {
        (method, path): operation
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method in {"post", "put", "patch", "delete"} and path not in CHANGES_NOTHING | SIGNING_IN
    }
    assert len(changing) >= 12
    for route, operation in changing.items():
        assert "idempotency-key" in {one["name"].lower() for one in operation.get("parameters", ())}, route


@pytest.mark.rule("19.11")
@pytest.mark.parametrize("since", ["removed", "changed"])
def test_a_repeated_run_or_backfill_is_not_checked_against_todays_spec(
    register: Register, client: Client, airflow: MemoryAirflow, make_yaml: Callable[..., str], since: str
) -> None:
    register()

    def start() -> Response:
        return client.post(f"/workflows/{NAME}/backfills", json=DATES, headers={"Idempotency-Key": "b"})

    first, first_backfill = run(client), start()
    assert (first.status_code, first_backfill.status_code) == (201, 201)
    if since == "removed":
        assert client.delete(SPEC, params={"accept_active": True}).is_success
    else:
        yaml = make_yaml(replace={"  - name: execution_date\n    type: date\n": ""})
        assert client.put(SPEC, json={"yaml": yaml, "files": {"query.sql": "SELECT 1 AS one"}}).is_success
    repeated(lambda: run(client), first)
    repeated(start, first_backfill)
    assert len(list(all_runs(airflow, RunFilter()))) == 1


@pytest.mark.rule("19.11")
def test_a_repeated_run_is_shown_as_it_is_and_starts_nothing_though_it_is_gone_or_airflow_is_down(
    register: Register, client: Client, airflow: MemoryAirflow, execute: Callable[..., None]
) -> None:
    register()
    first = run(client)
    run_id = first.json()["run_id"]
    execute(run_id, "success")
    assert run(client).json()["status"] == "COMPLETED"
    airflow.down = "connection refused"
    repeated(lambda: run(client), first)
    airflow.down = None
    airflow.delete_run(NAME, run_id)
    repeated(lambda: run(client), first)
    assert list(all_runs(airflow, RunFilter())) == []


@pytest.mark.rule("16.9")
@pytest.mark.parametrize("forgets", [False, True], ids=["answered", "died before its answer"])
def test_a_repeated_removal_leaves_what_another_person_has_registered_since(
    client: Client, store: Forgetful, body: Callable[..., dict[str, Any]], *, forgets: bool
) -> None:
    assert client.put(SPEC, json=body(1)).status_code == 201
    store.forgets = forgets
    first = client.delete(SPEC, headers=KEY)
    assert first.status_code == 200
    assert client.put(SPEC, json=body(2)).status_code == 201
    repeated(lambda: client.delete(SPEC, headers=KEY), first)
    assert "default: 2" in text(store)


@pytest.mark.rule("16.9")
def test_a_repeated_removal_leaves_the_same_spec_that_was_registered_again(
    client: Client, store: Forgetful, body: Callable[..., dict[str, Any]]
) -> None:
    assert client.put(SPEC, json=body(1)).status_code == 201
    store.forgets = True
    first = client.delete(SPEC, headers=KEY)
    assert client.put(SPEC, json=body(1)).status_code == 201
    repeated(lambda: client.delete(SPEC, headers=KEY), first)
    assert "default: 1" in text(store)


@pytest.mark.rule("16.9")
def test_a_removal_of_which_nobody_knows_whether_it_took_place_says_so(
    client: Client, store: Forgetful, body: Callable[..., dict[str, Any]]
) -> None:
    assert client.put(SPEC, json=body(1)).status_code == 201
    store.forgets_all = True
    assert client.delete(SPEC, headers=KEY).status_code == 200
    assert client.put(SPEC, json=body(2)).status_code == 201
    again = client.delete(SPEC, headers=KEY)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert "default: 2" in text(store)


@pytest.mark.rule("16.1")
def test_a_repeated_registration_stores_nothing_that_was_replaced_and_removed_since(
    client: Client, store: Forgetful, body: Callable[..., dict[str, Any]]
) -> None:
    store.forgets = True
    first = client.put(SPEC, json=body(1), headers=KEY)
    assert client.put(SPEC, json=body(2)).status_code == 200
    assert client.delete(SPEC).status_code == 200
    again = client.put(SPEC, json=body(1), headers=KEY)
    assert (first.status_code, again.status_code, text(store)) == (201, 409, "")


@pytest.mark.rule("16.1")
def test_a_repeated_registration_writes_nothing_over_what_came_since(
    client: Client, store: Forgetful, body: Callable[..., dict[str, Any]]
) -> None:
    headers = KEY | {"If-None-Match": "*"}
    first = client.put(SPEC, json=body(1), headers=headers)
    assert first.status_code == 201
    repeated(lambda: client.put(SPEC, json=body(1), headers=headers), first)
    assert client.put(SPEC, json=body(2)).status_code == 200
    repeated(lambda: client.put(SPEC, json=body(1), headers=headers), first)
    assert "default: 2" in text(store)


@pytest.mark.rule("16.1")
def test_a_registration_that_died_before_its_answer_knows_its_own_spec(
    client: Client, store: Forgetful, body: Callable[..., dict[str, Any]]
) -> None:
    store.forgets = True
    headers = KEY | {"If-None-Match": "*"}
    first = client.put(SPEC, json=body(1), headers=headers)
    repeated(lambda: client.put(SPEC, json=body(1), headers=headers), first)
    assert client.put(SPEC, json=body(2)).status_code == 200
    assert client.put(SPEC, json=body(1), headers=headers).status_code == 412
    assert "default: 2" in text(store)


@pytest.mark.rule("19.13")
@pytest.mark.parametrize("forgets", [False, True], ids=["answered", "died before its answer"])
def test_a_repeated_change_changes_nothing_that_came_since(
    client: Client, store: Forgetful, body: Callable[..., dict[str, Any]], *, forgets: bool
) -> None:
    etag = client.put(SPEC, json=body()).headers["ETag"]
    store.forgets = forgets

    def change() -> Response:
        return client.patch(SPEC, json={"cron": "0 7 * * *"}, headers=KEY | {"If-Match": etag})

    first = change()
    assert first.status_code == 200
    repeated(change, first)
    assert client.patch(SPEC, json={"cron": "0 8 * * *"}).is_success
    again = change()
    assert again.status_code == (412 if forgets else 200)
    assert "0 8 * * *" in text(store)


@pytest.mark.rule("7.2")
def test_a_repeated_pause_or_resume_changes_nothing_that_came_since(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()

    def order(verb: str, key: str) -> Response:
        return client.post(f"/workflows/{NAME}/{verb}", headers={"Idempotency-Key": key})

    paused, resumed = order("pause", "1"), order("unpause", "2")
    repeated(lambda: order("pause", "1"), paused)
    assert not airflow.list_dags()[-1].is_paused
    order("pause", "3")
    repeated(lambda: order("unpause", "2"), resumed)
    assert airflow.list_dags()[-1].is_paused


@pytest.mark.rule("13.1")
def test_a_repeated_stop_leaves_the_run_alone_that_was_retried_since(
    register: Register, client: Client, start: Callable[..., str]
) -> None:
    register()
    run_id = start()

    def stop() -> Response:
        return client.post(f"/runs/{run_id}/stop", json={"reason": "wrong"}, headers=KEY)

    first = stop()
    assert first.json()["status"] == "KILLED"
    assert client.post(f"/runs/{run_id}/retry").json()["status"] == "PENDING"
    repeated(stop, first)
    assert client.get(f"/runs/{run_id}").json()["status"] == "PENDING"


def _spoiled(plan: dict[str, Any], name: str, damage: str) -> dict[str, Any]:
    if damage == "is missing":
        return {each: value for each, value in plan.items() if each != name}
    return plan | {name: None if damage == "is null" else "x" if name in {"at", "counter"} else 5}


@pytest.mark.rule("5.22", "19.11")
@pytest.mark.parametrize("damage", ["is missing", "is null", "is of another type"])
@pytest.mark.parametrize("route", ["put", "patch", "delete", "runs", "backfills", "retry"])
def test_a_key_whose_plan_lacks_a_value_is_refused_by_name(
    route: str,
    damage: str,
    register: Register,
    client: Client,
    store: Forgetful,
    body: Callable[..., dict[str, Any]],
    start: Callable[..., str],
) -> None:
    register()
    run_id = start()
    client.post(f"/runs/{run_id}/stop")
    requests: dict[str, Callable[[], Response]] = {
        "put": lambda: client.put(SPEC, json=body(5), headers=KEY),
        "patch": lambda: client.patch(SPEC, json={"cron": "0 7 * * *"}, headers=KEY),
        "delete": lambda: client.delete(SPEC, headers=KEY),
        "runs": lambda: run(client),
        "backfills": lambda: client.post(f"/workflows/{NAME}/backfills", json=DATES, headers=KEY),
        "retry": lambda: client.post(f"/runs/{run_id}/retry", headers=KEY),
    }
    earlier = {info.key for info in store.list(PREFIX)}
    store.forgets = True
    first = requests[route]()
    assert first.is_success
    kept = next(
        stored
        for info in store.list(PREFIX)
        if info.key not in earlier
        and (stored := store.get(info.key)) is not None
        and json.loads(stored.body)["plan"]
    )
    record, etag = json.loads(kept.body), kept.etag
    plan = {name: value for name, value in record["plan"].items() if name != "done"}
    for name in plan:
        spoiled = json.dumps(record | {"plan": _spoiled(plan, name, damage)}).encode()
        etag = store.put(kept.key, spoiled, expected=etag)
        again = requests[route]()
        if (route, name) in {("backfills", "at"), ("delete", "etag")}:
            # What the first request left says enough: its plan is active, its spec is gone.
            assert again.status_code == first.status_code
            continue
        assert again.status_code == 409, (name, again.text)
        assert kept.key in again.json()["detail"]


@pytest.mark.rule("19.11")
def test_a_repeated_check_reports_the_same_changes(client: Client, publish: Callable[..., None]) -> None:
    publish()
    first = client.post("/sync", headers=KEY)
    assert [change["change"] for change in first.json()["changes"]] == ["added"]
    repeated(lambda: client.post("/sync", headers=KEY), first)
    assert client.post("/sync").json()["changes"] == []


@pytest.mark.rule("5.22", "19.11")
@pytest.mark.parametrize("damage", [b"{", b'{"request": 7}', b'"text"'])
def test_a_repeated_request_whose_record_is_damaged_is_refused_and_says_which_object(
    register: Register, client: Client, store: MemoryStore, damage: bytes
) -> None:
    register()
    assert client.post(f"/workflows/{NAME}/pause", headers=KEY).status_code == 200
    client.post(f"/workflows/{NAME}/unpause")
    [info] = list(store.list(PREFIX))
    store.put(info.key, damage, expected=info.etag)
    again = client.post(f"/workflows/{NAME}/pause", headers=KEY)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert again.json()["title"] == "The record of this Idempotency-Key can't be read."
    assert info.key in again.json()["detail"]
    assert not client.get(f"/workflows/{NAME}").json()["paused"]


@pytest.mark.rule("5.22", "19.11")
def test_a_repeated_request_whose_first_answer_is_damaged_is_refused_and_says_which_object(
    register: Register, client: Client, store: MemoryStore
) -> None:
    register()
    client.post(f"/workflows/{NAME}/pause", headers=KEY)
    [info] = list(store.list(PREFIX))
    stored = store.get(info.key)
    assert stored is not None
    body = json.dumps(json.loads(stored.body) | {"answer": {"dataset_name": 7}}).encode()
    store.put(info.key, body, expected=info.etag)
    again = client.post(f"/workflows/{NAME}/pause", headers=KEY)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert info.key in again.json()["detail"]
