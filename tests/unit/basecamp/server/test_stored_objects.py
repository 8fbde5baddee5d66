"""Objects in the store that this version can't read: of a newer format, or damaged; each costs one thing at most."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import QUARANTINE_PREFIX
from basecamp.shared.waiting import run_through
from dataspec.catalog.ledger import LEDGER_KEY
from dataspec.store import MemoryStore, StoredObject
from dataspec.store.base import MISSING

Register = Callable[..., Response]
NAME, OTHER, TAKEN = "sales.daily", "sales.weekly", "sales.taken"
RANGE = {"start": "2024-01-01", "end": "2024-01-03"}
DATE = {"parameters": {"execution_date": "2024-01-14"}}
WITH_CHANNELS = {
    "  timezone: Asia/Seoul\n": """\
  timezone: Asia/Seoul
  notifications:
    on_failure:
      - {type: slack, channel: "#failures"}
    on_success:
      - {type: slack, channel: "#data"}
"""
}
KEYS = {
    "ledger": LEDGER_KEY,
    "version": "basecamp/versions/",
    "active plan": "basecamp/backfills/active/",
    "ended plan": "basecamp/backfills/ended/",
    "notice": "basecamp/outbox/",
    "position": "basecamp/runs.json",
    "takeovers": "basecamp/takeovers.json",
    "reservation": "basecamp/idempotency/",
    "lease": "basecamp/leases/check.json",
    "map": f"manual/{NAME}.files.json",
    "housekeeping": "basecamp/housekeeping.json",
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda body: body[: len(body) // 2],
    "another shape": lambda _: b"[1, 2]",
    "no keys": lambda _: b"{}",
    "null": lambda _: b"null",
    "not UTF-8": lambda body: body.replace(b'"', b"\xff", 3),
    "nested": lambda _: b"[" * 100_000,
    "format of a wrong type": lambda body: json.dumps({**json.loads(body), "format": "one"}).encode(),
    "wrong types inside": lambda body: json.dumps(_spoiled(json.loads(body))).encode(),
}


def _spoiled(value: Any) -> Any:
    """Return JSON with each innermost value replaced by one of another type."""
    if isinstance(value, dict) and value:
        return {key: each if key == "format" else _spoiled(each) for key, each in value.items()}
    return {"unexpected": [None]}


@pytest.fixture
def day(
    client: Client,
    services: Services,
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Register,
    execute: Callable[..., None],
) -> None:
    """A store with an object of each kind."""
    register(replace=WITH_CHANNELS)
    register(OTHER)
    register(TAKEN)
    services.run_watch.poll()
    clock.advance(1)
    body = {"parameters": {"execution_date": "2024-01-13"}}
    run = client.post(f"/workflows/{NAME}/runs", json=body, headers={"Idempotency-Key": "first"}).json()
    execute(run["run_id"], "success")
    services.run_watch.poll()
    first = client.post(f"/workflows/{NAME}/backfills", json=RANGE).json()
    client.post(f"/backfills/{first['backfill_id']}/stop")
    run_through(services.backfill_steps.advance(NAME), services.work.clock)
    clock.advance(1)
    client.post(f"/workflows/{NAME}/backfills", json=RANGE)
    airflow.take_over(TAKEN)
    client.post(f"/workflows/{TAKEN}/runs", json=DATE)
    services.check.check()
    services.housekeeping.turn()
    clock.advance(timedelta(hours=25).total_seconds())


def one_of(store: MemoryStore, kind: str) -> StoredObject:
    keys = [info.key for info in store.list(KEYS[kind]) if "/quarantine/" not in info.key]
    if kind in {"version", "active plan", "ended plan"}:
        keys = [key for key in keys if kind == "version" or NAME in key]
    found = store.get(keys[0])
    assert found is not None
    return found


def everything(client: Client, services: Services, clock: ManualClock) -> list[Response]:
    """Use every route and every loop, as users and replicas do in a day."""
    plain = client.base_url
    answers = []
    for loop in (
        services.takeovers.loop,
        services.delivery.loop,
        services.run_watch.loop,
        services.check.loop,
        services.housekeeping.loop,
    ):
        loop.call()
    services.delivery.wait_until_idle(5)
    for _ in range(2):
        services.reconciler.look()
    backfills = [each["backfill_id"] for each in client.get("/backfills").json()["items"]]
    reads = [
        "/datasets",
        f"/datasets/{NAME}",
        f"/datasets/{NAME}/versions",
        "/workflows",
        f"/workflows/{NAME}",
    ]
    reads += [
        "/runs",
        f"/runs?dataset={NAME}",
        "/backfills",
        f"/backfills?dataset={NAME}",
        "/backfills?active=true",
    ]
    reads += [
        f"/backfills/{each}" for each in (*backfills, f"{NAME}_20240115_093046", f"{NAME}_20240115_093047")
    ]
    answers += [client.get(path) for path in reads]
    with_key = {"Idempotency-Key": "first"}
    body = {"parameters": {"execution_date": "2024-01-13"}}
    answers.append(client.post(f"/workflows/{NAME}/runs", json=body, headers=with_key))
    answers.append(client.post(f"/workflows/{NAME}/runs", json=DATE))
    for name in (NAME, OTHER):
        answers.append(client.post(f"/workflows/{name}/backfills", json=RANGE))
        answers.append(client.post(f"/workflows/{name}/backfills", json=RANGE | {"resume": True}))
    answers += [client.post(f"/backfills/{each}/stop") for each in backfills]
    answers += [client.post(f"/workflows/{NAME}/{verb}") for verb in ("pause", "unpause")]
    answers.append(client.post("/sync"))
    answers.append(client.patch(f"/datasets/{NAME}", json={"cron": "0 8 * * *"}))
    answers.append(client.post(f"/workflows/{TAKEN}/runs", json=DATE))
    clock.advance(3)
    answers.append(client.delete(f"/datasets/{OTHER}?accept_active=true"))
    client.base_url = "http://test"
    answers += [client.get(path) for path in ("/", f"/workflows/{NAME}", "/runs")]
    client.base_url = plain
    return answers


def ready(client: Client, services: Services) -> Response:
    services.readiness.look()
    plain, client.base_url = client.base_url, "http://test"
    answer = client.get("/readyz")
    client.base_url = plain
    return answer


@pytest.mark.rule("5.21")
@pytest.mark.usefixtures("day")
@pytest.mark.parametrize("kind", KEYS)
def test_newer_format_survives_a_day_of_every_operation(
    kind: str, client: Client, services: Services, store: MemoryStore, clock: ManualClock, caplog: Any
) -> None:
    before = one_of(store, kind)
    newer = json.dumps({**json.loads(before.body), "format": 99, "later": {"a": [1]}}).encode()
    store.put(before.key, newer, expected=before.etag)
    for _ in range(2):
        answers = everything(client, services, clock)
        assert [answer for answer in answers if answer.status_code == 500] == []
        clock.advance(timedelta(hours=13).total_seconds())
    services.housekeeping.clean()
    after = store.get(before.key)
    assert after is not None, "it was removed"
    assert after.body == newer
    refused = [answer for answer in answers if answer.status_code in {422, 503} and before.key in answer.text]
    assert bool(refused) == (kind in {"ledger", "active plan", "takeovers", "map"})


@pytest.mark.rule("5.21", "18.9")
@pytest.mark.usefixtures("day")
@pytest.mark.parametrize("kind", ["ledger", "active plan", "notice", "position", "takeovers", "housekeeping"])
def test_replica_that_is_too_old_for_an_object_is_not_ready_and_says_which(
    kind: str, client: Client, services: Services, store: MemoryStore, clock: ManualClock, caplog: Any
) -> None:
    assert ready(client, services).status_code == 200
    before = one_of(store, kind)
    newer = json.dumps({**json.loads(before.body), "format": 99}).encode()
    etag = store.put(before.key, newer, expected=before.etag)
    for _ in range(2):
        everything(client, services, clock)
    answer = ready(client, services)
    assert (answer.status_code, answer.json()["status"]) == (503, "outdated")
    assert f"'{before.key}' in the store was written by a newer version" in answer.json()["checks"]["objects"]
    assert "Update this replica." in answer.json()["checks"]["objects"]
    logged = [line for line in caplog.text.splitlines() if "ERROR" in line and f"'{before.key}'" in line]
    assert len(logged) == 1
    store.put(before.key, before.body, expected=etag)
    clock.advance(61)
    assert ready(client, services).status_code == 200


@pytest.mark.rule("5.22", "14.17")
@pytest.mark.usefixtures("day")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KEYS)
def test_damaged_object_is_named_and_put_aside_and_costs_no_request(
    kind: str,
    damage: str,
    client: Client,
    services: Services,
    store: MemoryStore,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = one_of(store, kind)
    body = DAMAGES[damage](before.body)
    store.put(before.key, body, expected=before.etag)
    answers = everything(client, services, clock)
    assert [answer.text for answer in answers if answer.status_code >= 500] == []
    if kind in {"lease", "version", "map", "reservation"}:
        return
    everything(client, services, clock)
    copies = [store.get(info.key) for info in store.list(f"{QUARANTINE_PREFIX}{before.key}/")]
    assert [copy.body for copy in copies if copy] == [body]
    assert f"'{before.key}' in the store can't be read" in caplog.text
    assert before.key in ready(client, services).json()["checks"]["objects"]
    after = store.get(before.key)
    assert after is None or after.body != body


@pytest.mark.rule("5.21", "18.9")
def test_a_replica_that_only_looks_whether_it_is_ready_finds_a_newer_ledger(
    client: Client, services: Services, store: MemoryStore
) -> None:
    """Another replica may have the leases of all the work that reads it."""
    store.put(LEDGER_KEY, b'{"format": 99}', expected=MISSING)
    answer = ready(client, services)
    assert (answer.status_code, answer.json()["status"]) == (503, "outdated")
