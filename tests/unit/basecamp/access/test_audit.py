"""The audit log, through the API of a server on a store and an Airflow in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.audit.log import REFUSED
from basecamp.access.audit.reader import BATCH, AuditFilter
from basecamp.access.audit.records import Actor, Target
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.errors import StoreUnreachable
from dataspec.store import MemoryStore
from dataspec.store.base import Found

PREFIX = "basecamp/audit/"


@pytest.fixture(autouse=True)
def time_passes(clock: ManualClock, client: Client) -> None:
    """Let a second pass after each request, so that the order of entries is known."""
    send = client.send
    client.send = lambda *arguments, **options: _then_later(clock, send(*arguments, **options))  # type: ignore[method-assign]


def _then_later(clock: ManualClock, answer: Response) -> Response:
    clock.advance(1)
    return answer


def entries(client: Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/audit", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def stored(store: MemoryStore) -> dict[str, dict[str, Any]]:
    infos = list(store.list(PREFIX))
    return {info.key: json.loads(store.get_many([info.key])[info.key].body) for info in infos}


@pytest.mark.rule("26.70")
def test_a_change_has_an_intention_and_an_outcome(
    client: Client, store: MemoryStore, register: Callable[..., Response]
) -> None:
    """Each object is written once; the intention says who wants what, the outcome what became of it."""
    registered = register().json()
    kinds = {key.split(".", 1)[1]: body for key, body in stored(store).items()}
    assert kinds.keys() == {"intention.json", "outcome.json"}
    [entry] = entries(client)
    assert entry["action"] == "register"
    assert entry["dataset"] == "sales.daily"
    assert (entry["name"], entry["method"], entry["role"]) == ("anonymous", "open", "admin")
    assert (entry["spec_hash_before"], entry["spec_hash_after"]) == (None, registered["spec_hash"])
    assert (entry["outcome"], entry["status"], entry["code"]) == ("done", 201, None)
    [key] = [key for key in stored(store) if key.endswith(".intention.json")]
    assert key.startswith(f"{PREFIX}2024/01/15/093045")


@pytest.mark.rule("26.70")
@pytest.mark.parametrize(
    ("method", "path", "body", "action"),
    [
        ("POST", "/workflows/sales.daily/pause", None, "pause"),
        ("POST", "/workflows/sales.daily/unpause", None, "unpause"),
        (
            "POST",
            "/workflows/sales.daily/runs",
            {"parameters": {"execution_date": "2024-01-01"}},
            "start run",
        ),
        (
            "POST",
            "/workflows/sales.daily/backfills",
            {"start": "2024-01-01", "end": "2024-01-02"},
            "start backfill",
        ),
        ("PATCH", "/datasets/sales.daily", {"cron": "0 7 * * *"}, "update"),
        ("DELETE", "/datasets/sales.daily", None, "unregister"),
        ("POST", "/sync", None, "sync"),
        ("POST", "/notifications/test", {"name": "sales.daily"}, "send test"),
        ("POST", "/runs/nothing/stop", {"reason": "wrong day"}, "stop run"),
        ("POST", "/runs/nothing/retry", None, "retry run"),
        ("POST", "/backfills/nothing/stop", None, "stop backfill"),
    ],
)
def test_every_route_that_changes_something_is_audited(
    client: Client, register: Callable[..., Response], method: str, path: str, body: Any, action: str
) -> None:
    register()
    answer = client.request(method, path, json=body, headers={"Dli-User": "ada"})
    entry = entries(client)[0]
    assert (entry["action"], entry["name"], entry["status"]) == (action, "ada", answer.status_code)
    assert (entry["outcome"] == "refused") == answer.is_client_error
    assert entry["code"] == (answer.json()["code"] if answer.is_error else None)
    assert entry["reason"] == (body or {}).get("reason")


@pytest.mark.rule("26.70")
def test_a_preview_is_no_change(
    client: Client, store: MemoryStore, register: Callable[..., Response]
) -> None:
    register()
    before = stored(store)
    body = {"parameters": {"execution_date": "2024-01-01"}, "dry_run": True}
    assert client.post("/workflows/sales.daily/runs", json=body).status_code == 200
    assert stored(store) == before


@pytest.mark.rule("26.70")
def test_a_repeated_request_is_an_entry_that_says_so(
    client: Client, register: Callable[..., Response]
) -> None:
    register()
    body, headers = {"parameters": {"execution_date": "2024-01-01"}}, {"Idempotency-Key": "k1"}
    answers = [client.post("/workflows/sales.daily/runs", json=body, headers=headers) for _ in range(2)]
    repeated, first, _ = entries(client)
    assert (first["outcome"], repeated["outcome"]) == ("done", "repeated")
    assert {first["run_id"], repeated["run_id"]} == {answer.json()["run_id"] for answer in answers}


@pytest.mark.rule("26.71")
def test_a_change_is_refused_if_its_intention_can_not_be_stored(
    client: Client, store: MemoryStore, register: Callable[..., Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store refuses the audit log alone; nothing else is written then."""
    put = store.put

    def refusing(key: str, body: bytes, *, expected: str) -> str:
        if key.startswith(PREFIX):
            raise StoreUnreachable("The store refuses the credentials.", detail="403")
        return put(key, body, expected=expected)

    register()
    before = [(info.key, info.etag) for info in store.list("")]
    monkeypatch.setattr(store, "put", refusing)
    answer = client.patch("/datasets/sales.daily", json={"cron": "0 7 * * *"})
    assert (answer.status_code, answer.json()["title"]) == (503, REFUSED)
    assert [(info.key, info.etag) for info in store.list("")] == before


@pytest.mark.rule("26.71")
def test_an_outcome_that_can_not_be_stored_does_not_undo_the_change(
    client: Client,
    store: MemoryStore,
    register: Callable[..., Response],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Such an entry looks as one of a server that was killed between the two: its outcome is unknown."""
    put = store.put

    def refusing(key: str, body: bytes, *, expected: str) -> str:
        if key.endswith(".outcome.json"):
            raise StoreUnreachable("The store is full.")
        return put(key, body, expected=expected)

    register()
    monkeypatch.setattr(store, "put", refusing)
    assert client.post("/workflows/sales.daily/pause").json()["paused"]
    assert (entries(client)[0]["outcome"], entries(client)[0]["status"]) == ("unknown", None)
    assert "could not be stored: The store is full." in caplog.text
    assert "Traceback" not in caplog.text, "an outage of the store is no fault of the program"


@pytest.mark.rule("26.72")
def test_no_name_forges_a_line_and_no_body_is_stored(
    client: Client, store: MemoryStore, register: Callable[..., Response]
) -> None:
    register()
    body = {"parameters": {"execution_date": "2024-01-01", "limit": "s3cret-value"}}
    headers = {
        "Dli-User": "eve%0Aadmin%1b%5B31m",
        "Idempotency-Key": "s3cret-key",
        "Authorization": "Bearer s3cret",
    }
    assert client.post("/workflows/sales.daily/runs", json=body, headers=headers).status_code == 422
    assert client.post("/workflows/sales.daily/runs?x=1", content=b"{s3cret", headers=headers).is_client_error
    assert client.post("/workflows/sales.daily/runs", content=b"{s3cret", headers=headers).is_client_error
    assert entries(client)[0]["name"] == "eveadmin[31m"
    assert "s3cret" not in json.dumps(stored(store))


@pytest.mark.rule("26.73")
def test_the_id_of_a_request_is_in_its_response_log_problem_and_entry(
    client: Client, register: Callable[..., Response], caplog: pytest.LogCaptureFixture
) -> None:
    register()
    caplog.set_level("INFO")
    answer = client.post("/workflows/missing/pause", headers={"X-Request-Id": "abc-123"})
    assert answer.headers["X-Request-Id"] == "abc-123"
    assert entries(client)[0]["request_id"] == "abc-123"
    logged = [vars(record) for record in caplog.records if record.name == "basecamp.requests"]
    assert (logged[0]["request_id"], logged[0]["user"]) == ("abc-123", "anonymous")
    made = client.get("/workflows", headers={"X-Request-Id": "a b\tc"}).headers["X-Request-Id"]
    assert len(made) == 32
    assert made != client.get("/workflows").headers["X-Request-Id"]


@pytest.mark.rule("26.74")
def test_entries_are_filtered_and_paged_from_the_newest(
    client: Client, register: Callable[..., Response], clock: ManualClock
) -> None:
    register("a.one")
    register("b.two")
    clock.advance(timedelta(days=150).total_seconds())
    for name in ("a.one", "b.two", "a.one"):
        client.post(f"/workflows/{name}/pause", headers={"Dli-User": "ada"})
    assert [entry["dataset"] for entry in entries(client, limit=2)] == ["a.one", "b.two"]
    assert {entry["dataset"] for entry in entries(client, dataset="a.one")} == {"a.one"}
    assert len(entries(client, user="ada")) == 3
    assert len(entries(client, user="eve")) == 0
    assert len(entries(client, since=entries(client)[1]["at"])) == 2
    found, cursor = [], None
    while True:
        page = client.get("/audit", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        found += [(entry["dataset"], entry["action"]) for entry in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == [
        *((name, "pause") for name in ("a.one", "b.two", "a.one")),
        ("b.two", "register"),
        ("a.one", "register"),
    ]


@pytest.mark.rule("26.73")
def test_the_problem_of_a_server_has_the_id_of_its_request(
    client: Client, airflow: MemoryAirflow, register: Callable[..., Response]
) -> None:
    register()
    airflow.down = "Connection refused"
    answer = client.post("/workflows/sales.daily/pause", headers={"X-Request-Id": "abc-123"})
    assert (answer.status_code, answer.json()["request_id"]) == (503, "abc-123")


@pytest.mark.rule("26.74")
def test_a_page_of_many_entries_reads_few_objects(
    services: Services, store: MemoryStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest of 10,000 entries cost the listings of a day's hours and the objects of one batch."""
    for number in range(10_000):
        with services.audit_log.change(
            Actor(name="ada", method="open"), "pause", Target(dataset=f"a.d{number}")
        ):
            clock.advance(5)
    read: list[str] = []
    get_many = store.get_many

    def counting(keys: Iterable[str]) -> Found:
        read.extend(keys := list(keys))
        return get_many(keys)

    monkeypatch.setattr(store, "get_many", counting)
    began = time.process_time()
    page = services.audit_reader.page(AuditFilter(), limit=50)
    assert [entry.dataset for entry in page.items] == [f"a.d{number}" for number in range(9_999, 9_949, -1)]
    assert len(read) <= 2 * BATCH
    assert time.process_time() - began < 2


@pytest.mark.rule("26.70")
def test_a_server_that_dies_within_a_change_leaves_an_entry_with_an_unknown_outcome(
    services: Services, clock: ManualClock, client: Client, store: MemoryStore, airflow: MemoryAirflow
) -> None:
    """Another replica shows it."""
    services.audit_log.begin(Actor(name="ada", method="open"), "pause", Target(dataset="a.one"))
    other = build_services(store, airflow, clock)
    (entry,) = other.audit_reader.page(AuditFilter(), limit=5).items
    assert (entry.name, entry.outcome, entry.finished_at) == ("ada", "unknown", None)
