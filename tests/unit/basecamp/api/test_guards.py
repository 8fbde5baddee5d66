from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from httpx import Client, Response
from starlette.types import Message, Receive, Scope, Send

from basecamp.api.app import create_app
from basecamp.api.middleware import LOOPBACK_HOSTS, BodyLimit
from basecamp.services import Services

Register = Callable[..., Response]
PROBLEM = "application/problem+json"


@pytest.fixture
def guarded(client_of: Callable[[Any], Client], services: Services) -> Client:
    """A client of a server as it is on loopback."""
    client = client_of(create_app(services, hosts=LOOPBACK_HOSTS))
    client.base_url = "http://127.0.0.1:8800/api/v1"
    return client


@pytest.mark.rule("26.2")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8800", "localhost:8800", "LOCALHOST", "[::1]:8800"])
def test_the_own_hosts_are_answered(guarded: Client, host: str) -> None:
    assert guarded.get("/workflows", headers={"Host": host}).status_code == 200


@pytest.mark.rule("26.2")
@pytest.mark.parametrize(
    "host", ["evil.example.com", "127.0.0.1.evil.com:8800", "127.0.0.2", "", "[::1", "localhost@x"]
)
def test_a_foreign_host_name_is_refused(guarded: Client, host: str) -> None:
    answer = guarded.get("/workflows", headers={"Host": host})
    assert (answer.status_code, answer.headers["content-type"]) == (421, PROBLEM)


@pytest.mark.rule("26.2")
def test_health_is_answered_by_address_as_a_load_balancer_asks(guarded: Client) -> None:
    for address in ("10.1.2.3:8800", "[fd00::1]"):
        assert guarded.get("http://127.0.0.1/healthz", headers={"Host": address}).status_code == 200
        assert guarded.get("/workflows", headers={"Host": address}).status_code == 421
    assert guarded.get("http://127.0.0.1/healthz", headers={"Host": "evil.example.com"}).status_code == 421


@pytest.mark.rule("26.3")
@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://127.0.0.1:9999", "http://["])
def test_a_page_of_another_site_changes_nothing(guarded: Client, origin: str) -> None:
    answer = guarded.post("/workflows/x/pause", headers={"Origin": origin})
    assert answer.json()["code"] == "cross_origin"
    assert (answer.status_code, answer.headers["content-type"]) == (403, PROBLEM)


@pytest.mark.rule("26.3")
def test_a_page_of_the_server_itself_may_change_things(guarded: Client) -> None:
    answer = guarded.post("/workflows/x/pause", headers={"Origin": "http://127.0.0.1:8800"})
    assert answer.json()["code"] == "dataset_not_found"


@pytest.mark.rule("26.3")
def test_no_other_site_may_read_answers(client: Client) -> None:
    answer = client.get("/workflows", headers={"Origin": "https://evil.example.com"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.rule("27.1")
def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    answer = client.put("/datasets/x", content=b"x" * (2 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)
    assert answer.json()["title"] == "The request is too large."


@pytest.mark.rule("27.1")
def test_a_body_that_grows_too_large_without_saying_so_is_refused(client: Client) -> None:
    chunks = (b"x" * 65536 for _ in range(40))
    assert client.put("/datasets/x", content=chunks).status_code == 413


@pytest.mark.rule("19.14")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"yaml": ', "body: not JSON"),
        (b"[]", "body: "),
        (b'{"yaml": 5}', "body.yaml: "),
        (b"{}", "body.yaml: field required"),
        (b'{"yaml": "", "flies": {}}', "body.flies: unknown key"),
        (b'{"yaml": "", "files": {"a": 1}}', "body.files.a: "),
        (b'{"yaml": "\\ud800"}', "which is not a character"),
        (b'{"yaml": "", "files": {"\\udfff": ""}}', "which is not a character"),
        (b"\xff\xfe", "body"),
    ],
)
def test_a_wrong_body_is_told_by_its_place(client: Client, content: bytes, told: str) -> None:
    answer = client.put("/datasets/x", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    assert answer.json()["code"] == "invalid_usage"
    assert told in f"{answer.json()['title']} {answer.json().get('detail')}"


@pytest.mark.rule("19.19")
def test_a_body_that_is_no_json_by_its_type_is_refused(client: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = client.post("/workflows/x/runs", content=b"{}", headers={"Content-Type": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (415, PROBLEM)
        assert "Content-Type: application/json" in answer.json()["title"]


@pytest.mark.rule("19.19")
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity, gzip"])
def test_a_compressed_body_is_refused(client: Client, coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = client.post("/workflows/x/runs", content=gzip.compress(b"{}"), headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert answer.json()["title"] == "The body must not be compressed: send no Content-Encoding."
    plain = client.post(
        "/workflows/x/runs", content=b"{}", headers=headers | {"Content-Encoding": "identity"}
    )
    assert plain.status_code == 404


@pytest.mark.rule("27.6")
def test_a_request_that_was_cut_off_in_its_body_is_not_carried_out(portal: BlockingPortal) -> None:
    received: list[Message] = [
        {"type": "http.request", "body": b"execution_date=2024-01-1", "more_body": True},
        {"type": "http.disconnect"},
    ]
    carried_out: list[Message] = []
    sent: list[Message] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        carried_out.append(await receive())

    async def receive() -> Message:
        return received.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"25")]}
    portal.call(BodyLimit(app), scope, receive, send)
    assert (carried_out, sent) == ([], [])


@pytest.mark.parametrize("wait", ["-1", "121", "nan", "inf", "soon"])
def test_a_wrong_wait_is_refused(client: Client, wait: str) -> None:
    answer = client.put(f"/datasets/x?wait={wait}", json={"yaml": ""})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_usage")


@pytest.mark.rule("19.9")
def test_unknown_pages_and_wrong_methods_are_problems_too(client: Client) -> None:
    unknown = client.get("/nothing")
    wrong = client.delete("/runs")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "invalid_usage")
    assert wrong.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.rule("19.16")
def test_a_mistake_in_the_program_shows_a_number_and_no_inner_details(
    client_of: Callable[[Any], Client], services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(services)

    @app.get("/boom")
    def boom() -> None:
        raise RuntimeError("password=hunter2")

    client = client_of(app)
    client.base_url = "http://test"
    answer = client.get("/boom")
    number = answer.json()["detail"].split("error ")[1].split(".")[0]
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "hunter2" not in answer.text
    assert any(number in record.getMessage() and record.exc_info for record in caplog.records)


@pytest.mark.rule("18.11")
def test_each_request_leaves_one_line_without_query_headers_or_body(
    register: Register, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "basecamp.requests")
    headers = {"Authorization": "Bearer hunter2", "Dli-User": "kim%0AGET /forged 200"}
    client.get("/runs", params={"cursor": "hunter2"}, headers=headers)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "basecamp.requests"]
    assert line.startswith("GET /api/v1/runs 400 ")
    assert "hunter2" not in line
    assert "\n" not in line


@pytest.mark.rule("18.11")
def test_a_line_break_in_an_address_does_not_forge_a_line(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "basecamp.requests")
    client.get("/workflows/a%0AGET%20/forged")
    assert all("\n" not in record.getMessage() for record in caplog.records)


@pytest.mark.rule("18.10")
def test_figures_are_counted_by_route(register: Register, client: Client) -> None:
    register()
    client.get("/workflows/sales.daily")
    client.base_url = "http://test"
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    counted = 'basecamp_http_requests_total{method="GET",route="/api/v1/workflows/{name}",status="200"}'
    assert counted in answer.text
    assert "sales.daily" not in answer.text


@pytest.mark.rule("19.17")
def test_the_page_of_the_api_loads_nothing_from_other_hosts(client: Client) -> None:
    client.base_url = "http://test"
    page = client.get("/docs").text
    addresses = [
        part.split('"')[0] for part in page.replace("'", '"').split('"')[1:] if "//" in part.split('"')[0]
    ]
    assert not addresses
    for file in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert file in page
        assert client.get(f"/static-offline-docs/{file}").status_code == 200


@pytest.mark.rule("19.17")
def test_the_description_names_every_route_and_its_problems(client: Client) -> None:
    client.base_url = "http://test"
    description = client.get("/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    assert {"/api/v1/workflows", "/api/v1/runs/{run_id}/stop", "/api/v1/datasets/{name}"} <= description[
        "paths"
    ].keys()
    for path in description["paths"].values():
        for operation in path.values():
            assert "422" not in operation["responses"]
            assert PROBLEM in operation["responses"]["default"]["content"]
    assert "WorkflowRun" in json.dumps(description["components"])
