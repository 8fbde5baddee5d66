"""Requests that the server refuses, because it would not carry them out as they were meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.to_thread
import pytest
from httpx import Client, Response

from basecamp.api.app import create_app
from basecamp.services import Services
from basecamp.web.routes import router

Register = Callable[..., Response]
PROBLEM = "application/problem+json"
SINCE = "/runs?since="


@pytest.fixture
def page_client(client_of: Callable[[Any], Client], services: Services) -> Client:
    client = client_of(create_app(services, pages=router))
    client.base_url = "http://test"
    return client


def _operations(client: Client) -> list[tuple[str, str]]:
    paths = client.get("http://test/openapi.json").json()["paths"]
    return [(method, path) for path, operations in paths.items() for method in operations]


@pytest.mark.rule("19.18")
def test_every_route_refuses_an_unknown_query_parameter(client: Client) -> None:
    for method, path in _operations(client):
        answer = client.request(method, f"http://test{path.replace('{', '').replace('}', '')}?dry_run=true")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_usage"), (method, path)
        assert answer.headers["content-type"] == PROBLEM
        assert answer.json()["title"] == "Unknown query parameter 'dry_run'.", (method, path)


@pytest.mark.rule("19.18")
def test_a_removal_with_a_typing_error_removes_nothing(client: Client, register: Register) -> None:
    register()
    answer = client.delete("/datasets/sales.daily?acept_active=true")
    assert answer.json()["title"] == "Unknown query parameter 'acept_active'."
    assert answer.json()["detail"] == (
        "Did you mean 'accept_active'? Accepted: source, stop, accept_active, accept_dependents, reason."
    )
    assert client.get("/datasets/sales.daily").status_code == 200


@pytest.mark.rule("19.18")
@pytest.mark.parametrize(
    "address",
    [
        "/runs?limit=1&limit=2",
        "/datasets/x?source=code&source=manual",
        "/workflows?running=true&running=true",
    ],
)
def test_a_parameter_that_occurs_twice_is_refused(client: Client, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 400
    assert "occurs 2 times" in answer.json()["title"]


@pytest.mark.rule("19.18")
def test_an_idempotency_key_that_is_sent_twice_is_refused(client: Client) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = client.delete("/datasets/x", headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (400, "The header 'Idempotency-Key' occurs twice.")


@pytest.mark.rule("19.18")
@pytest.mark.parametrize(
    "address",
    [
        "/?sourc=code",
        "/runs?stat=failed",
        "/runs?limit=20&limit=50",
        "/workflows/x?sorce=code",
        "/docs?url=x",
    ],
)
def test_a_page_refuses_what_it_does_not_know(page_client: Client, address: str) -> None:
    answer = page_client.get(address, headers={"Accept": "text/html"})
    assert answer.status_code == 400
    assert "query parameter" in answer.text
    kind = "application/problem+json" if address.startswith("/docs") else "text/html; charset=utf-8"
    assert answer.headers["content-type"] == kind


@pytest.mark.rule("19.18")
def test_a_page_ignores_what_counts_its_readers(page_client: Client) -> None:
    assert page_client.get("/runs?utm_source=mail&utm_source=x&fbclid=1&limit=50").status_code == 200
    assert page_client.get("/api/v1/runs?utm_source=mail").status_code == 400


@pytest.mark.rule("19.19")
@pytest.mark.parametrize("word", ["off", "no", "0", "1", "yes", "on", "True", "TRUE", "f", '"true"', ""])
@pytest.mark.parametrize("address", ["/workflows?running=", "/workflows?enabled_only=", "/backfills?active="])
def test_a_boolean_in_a_query_is_true_or_false(client: Client, address: str, word: str) -> None:
    answer = client.get(address + word)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_usage")
    assert client.get(f"{address}true").status_code == client.get(f"{address}false").status_code == 200


@pytest.mark.rule("19.19")
@pytest.mark.parametrize("value", ["off", "no", "false", 0, 1, "", 0.0])
@pytest.mark.parametrize("route", ["runs", "backfills"])
def test_a_dry_run_is_asked_for_by_a_boolean_alone(
    client: Client, register: Register, route: str, value: object
) -> None:
    register()
    body = {"start": "2024-01-01", "end": "2024-01-02"} if route == "backfills" else {}
    answer = client.post(f"/workflows/sales.daily/{route}", json={**body, "dry_run": value})
    assert answer.status_code == 400
    assert "body.dry_run: " in answer.json()["detail"]
    assert client.get("/runs").json()["items"] == []


@pytest.mark.rule("19.19")
@pytest.mark.parametrize("number", ["1.0", "+1", " 1", "1_0", "0x1", "01", "1e0", "٣", "", "NaN"])
def test_a_number_in_a_query_is_written_as_in_json(client: Client, number: str) -> None:
    assert client.get("/runs", params={"limit": number}).status_code == 400


@pytest.mark.rule("19.19")
@pytest.mark.parametrize("number", ["Infinity", "1_0", " 1", "+1", "1."])
def test_seconds_to_wait_are_written_as_in_json(client: Client, number: str) -> None:
    answer = client.put("/datasets/x", params={"wait": number}, json={"yaml": ""})
    assert "query.wait: " in answer.json()["detail"]


@pytest.mark.rule("19.7")
@pytest.mark.parametrize(
    "time",
    [
        "2024-01-15",
        "1705309200",
        "2024-01-15T09:00:00",
        "2024-01-15T09:00Z",
        "2024-01-15 09:00:00Z",
        "20240115T090000Z",
        "2024-W03-1T09:00:00Z",
        "2024-02-30T09:00:00Z",
        "2024-01-15T09:00:00+0900",
        "now",
    ],
)
def test_a_time_is_written_as_in_rfc_3339(client: Client, time: str) -> None:
    answer = client.get("/runs", params={"since": time})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_usage")


@pytest.mark.rule("19.7")
@pytest.mark.parametrize(
    "time", ["2024-01-15T09:00:00Z", "2024-01-15t09:00:00.123456789z", "2024-01-15T09:00:00%2B09:00"]
)
def test_a_time_of_rfc_3339_is_accepted(client: Client, time: str) -> None:
    assert client.get(SINCE + time).status_code == 200


def test_a_plus_that_was_not_encoded_is_explained(client: Client) -> None:
    assert "%2B" in client.get(f"{SINCE}2024-01-15T09:00:00+09:00").json()["detail"]


@pytest.mark.rule("19.19")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"dry_run": true, "dry_run": false}', 'The key "dry_run" occurs twice'),
        (b'{"parameters": {"a": 1, "a": 2}}', 'The key "a" occurs twice'),
        (b'{"parameters": {"a": NaN}}', "NaN is not a number in JSON"),
        (b'{"parameters": {"a": -Infinity}}', "-Infinity is not a number in JSON"),
    ],
)
def test_a_body_that_can_be_read_in_two_ways_is_refused(client: Client, content: bytes, told: str) -> None:
    answer = client.post("/workflows/x/runs", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    assert told in answer.json()["title"]


@pytest.mark.rule("19.19")
def test_a_body_on_a_route_without_one_is_refused(client: Client, register: Register) -> None:
    register()
    answer = client.request("DELETE", "/datasets/sales.daily", json={"dry_run": True})
    assert (answer.status_code, answer.json()["title"]) == (400, "This request takes no body.")
    assert client.get("/datasets/sales.daily").status_code == 200
    assert client.post("/sync", json={}).status_code == 200


@pytest.mark.rule("19.20")
@pytest.mark.parametrize(
    "accept", ["text/html", "application/xml", "application/json;q=0", "text/*, image/png"]
)
def test_a_caller_that_does_not_read_json_is_told(client: Client, accept: str) -> None:
    answer = client.get("/runs", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (406, PROBLEM)


@pytest.mark.rule("19.20")
@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/*", "application/json; charset=utf-8", "text/html,application/xml;q=0.9,*/*;q=0.8"],
)
def test_a_caller_that_reads_json_gets_it(client: Client, accept: str) -> None:
    assert client.get("/runs", headers={"Accept": accept}).status_code == 200


@pytest.mark.rule("19.18")
def test_a_body_of_a_read_is_refused_like_that_of_a_removal(client: Client) -> None:
    for method in ("GET", "HEAD", "DELETE"):
        answer = client.request(method, "/datasets/x", content=b'{"source": "manual"}')
        assert answer.status_code == 400, method
    assert client.request("GET", "/datasets", content=b"{}").status_code == 200
    assert client.request("GET", "/datasets", content=b" " * 3_000_000).status_code == 413


@pytest.mark.rule("18.26")
@pytest.mark.parametrize("path", ["/workflows", "/workflows/sales.daily", "/runs", "/datasets", "/backfills"])
def test_a_request_that_reads_uses_a_thread_once(
    client: Client, register: Callable[..., Response], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    register()
    in_threads: list[object] = []
    run_sync = anyio.to_thread.run_sync

    async def noting(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        in_threads.append(function)
        return await run_sync(function, *arguments, **options)

    monkeypatch.setattr(anyio.to_thread, "run_sync", noting)
    assert client.get(path).status_code == 200
    assert len(in_threads) == 1
