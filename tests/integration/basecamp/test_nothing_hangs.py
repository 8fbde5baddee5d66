"""A store or an Airflow that hangs: every route answers in time, and all is well soon after it answers again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.routing import APIRoute

from basecamp.airflow.authorization import Everyone
from basecamp.airflow.connect import late_gateway
from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.airflow.transport import AirflowTransport
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.shared.clock import SystemClock
from basecamp.web.routes import router
from dataspec.store import MemoryStore, Store
from dataspec.store.base import MISSING
from dataspec.store.bucket import BucketStore, StoreTimeouts
from http_proxy import FAULT_SECONDS, Fault, Proxy, hang, proxy, stall
from s3 import S3

SHORT = StoreTimeouts(connect=1, request=2, retry=1, call=2)
REQUEST_SECONDS = 3.0
BOUND_SECONDS = FAULT_SECONDS / 2
"""Well above the budget of a request and the wait for a DAG: the machine may be busy with other things."""
HEALTH_SECONDS = 1.0
"""Well below the budget of a request."""
AT_ONCE = 6
HEALTH_ROUTES = frozenset({"/healthz", "/readyz"})
KNOWN_ROUTES = (
    "/api/v1/datasets",
    "/api/v1/datasets/sales.daily",
    "/api/v1/workflows",
    "/api/v1/workflows/sales.daily",
    "/api/v1/runs",
)
RUN = "sales.daily_20240115_093045"
YAML = """\
name: sales.daily
type: Dataset
owner: engineer@example.com
team: "@data-engineering"
query_file: query.sql
parameters:
  - name: execution_date
    type: date
schedule:
  cron: "0 9 * * *"
  timezone: Asia/Seoul
"""
SQL = "SELECT '{{ execution_date }}' AS day"
SPEC = {"yaml": YAML, "files": {"query.sql": SQL}}
PLACES = {
    "name": "sales.daily",
    "run_id": RUN,
    "backfill_id": RUN,
    "action": "runs",
    "version": "0" * 16,
    "digest": "x",
    "path": "nothing",
}
BODIES: dict[tuple[str, str], Any] = {
    ("PUT", "/api/v1/datasets/{name}"): SPEC,
    ("PATCH", "/api/v1/datasets/{name}"): {"cron": "0 10 * * *"},
    ("POST", "/api/v1/datasets/validate"): SPEC,
    ("POST", "/api/v1/datasets/{name}/rollback"): {"version": "0" * 16},
    ("POST", "/api/v1/workflows/{name}/runs"): {"parameters": {"execution_date": "2024-01-14"}},
    ("POST", "/api/v1/workflows/{name}/backfills"): {"start": "2024-01-01", "end": "2024-01-03"},
    ("POST", "/api/v1/notifications/test"): {"name": "sales.daily"},
    ("POST", "/api/v1/logins"): {"machine": "laptop"},
    ("POST", "/api/v1/logins/token"): {"device_code": "BCDFGHJK.x"},
}


@dataclass(frozen=True, slots=True)
class Answered:
    """A response, with its route and how long it took."""

    method: str
    route: str
    response: httpx.Response
    seconds: float

    @property
    def place(self) -> str:
        return f"{self.method} {self.route}: {self.response.status_code} after {self.seconds:.1f} s, {self.response.text[:300]}"


class Served:
    """A server on a port, with its background loops."""

    def __init__(self, app: FastAPI, url: str) -> None:
        self.app = app
        self.client = httpx.Client(base_url=url, timeout=2 * FAULT_SECONDS, headers={"Origin": url})

    def walk(self, *, at_once: int = AT_ONCE) -> list[Answered]:
        """Send a request to every route, some at a time."""
        document = self.app.openapi()["paths"]
        routes = [(method.upper(), path) for path, methods in document.items() for method in methods]
        routes += [
            (method, page.path)
            for page in router.routes
            if isinstance(page, APIRoute)
            for method in sorted(page.methods or ())
        ]
        bodies = {
            (method, path)
            for method, path in routes
            if document.get(path, {}).get(method.lower(), {}).get("requestBody", {}).get("required")
        }
        assert bodies <= BODIES.keys()
        with ThreadPoolExecutor(at_once) as callers:
            return list(callers.map(lambda one: self._answered(*one), routes))

    def _answered(self, method: str, route: str) -> Answered:
        body = BODIES.get((method, route))
        is_form = method == "POST" and not route.startswith("/api/")
        url = route.replace(":path}", "}").format(**PLACES)
        began = time.monotonic()
        response = self.client.request(method, url, json=body, data={"key": "k"} if is_form else None)
        return Answered(method, route, response, time.monotonic() - began)

    def check_health(self) -> None:
        """Check that the health waits for nothing: on a busy machine some answers come late, not all."""
        for route in HEALTH_ROUTES:
            answers = (self._answered("GET", route) for _ in range(50))
            assert any(one.seconds < HEALTH_SECONDS for one in answers), route

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def wait_until(self, is_so: Callable[[], bool], *, seconds: float = FAULT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, self.get("/readyz").text
            time.sleep(0.05)


@contextmanager
def served(store: Store, gateway: AirflowGateway) -> Iterator[Served]:
    services = build_services(store, gateway, SystemClock())
    app = create_app(services, pages=router, request_seconds=REQUEST_SECONDS)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    for loop in services.loops:
        loop.start()
    one = Served(app, f"http://127.0.0.1:{listener.getsockname()[1]}")
    try:
        one.wait_until(lambda: server.started)
        yield one
    finally:
        for loop in services.loops:
            loop.end()
        services.reconciler.end()
        one.client.close()
        server.should_exit = True
        thread.join()


@contextmanager
def silent(start: bytes = b"") -> Iterator[str]:
    """Accept connections, send the start of a response, and nothing more."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    held: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            connection.sendall(start)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in held:
            connection.close()


HALF = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
each_silence = pytest.mark.parametrize("start", [b"", HALF], ids=["nothing", "half a response"])


def bucket(place: S3) -> BucketStore:
    parts = urlsplit(place.url)
    unquoted = "true" if "unquoted_etags=true" in parts.query else "false"
    options = place.options | {"unquoted_etags": unquoted}
    return BucketStore(parts.netloc, parts.path.strip("/"), options, limits=SHORT)


@pytest.fixture
def between(s3: S3) -> Iterator[Proxy]:
    if not s3.endpoint.startswith("http://"):
        pytest.skip("the proxy of the tests speaks plain HTTP")
    with proxy(s3.endpoint) as started:
        yield started


@pytest.fixture
def good(between: Proxy, s3: S3) -> Iterator[Served]:
    """A server whose store and Airflow answer, and that has listed its dataset."""
    store, airflow = bucket(s3.through(between.url)), MemoryAirflow(now=SystemClock().now)
    airflow.load("earlier.dataset", tags=["source:manual"])
    processor = MemoryDags(airflow, s3.store(), SystemClock().now)
    airflow.on_parse = lambda _dag: processor.refresh()
    with served(store, airflow) as server:
        server.wait_until(lambda: server.client.put("/api/v1/datasets/sales.daily", json=SPEC).is_success)
        server.wait_until(lambda: server.get("/readyz").json()["status"] == "ready")
        server.wait_until(lambda: all(server.get(path).is_success for path in KNOWN_ROUTES))
        yield server


def check_walk(answers: list[Answered], codes: set[str]) -> None:
    """Check that each route has answered in time, and that an error says what is down."""
    for one in answers:
        assert one.seconds < BOUND_SECONDS, one.place
        assert one.response.status_code != 500, one.place
        if one.response.status_code > 500 and one.route.startswith("/api/"):
            assert one.response.json()["code"] in codes, one.place
    assert len(answers) > 40


@pytest.mark.rule("18.16", "18.17")
@pytest.mark.parametrize("fault", [hang, stall])
def test_every_route_answers_while_a_store_hangs_that_answered_before(
    good: Served, between: Proxy, fault: Fault
) -> None:
    with between.failing(fault):
        first = good.walk()
        again = good.walk()
        good.check_health()
        known = {path: good.get(path) for path in KNOWN_ROUTES}
        good.wait_until(lambda: good.get("/readyz").json()["status"] == "degraded")
        readiness = good.get("/readyz")
    check_walk(first, {"store_unreachable"})
    check_walk(again, {"store_unreachable"})
    assert {path: answer.status_code for path, answer in known.items()} == dict.fromkeys(KNOWN_ROUTES, 200)
    assert readiness.status_code == 200, "a load balancer keeps it"
    assert readiness.json()["age_seconds"]["store"] < BOUND_SECONDS
    began = time.monotonic()
    good.wait_until(lambda: good.get("/readyz").json()["status"] == "ready")
    good.wait_until(lambda: good.client.put("/api/v1/datasets/sales.daily", json=SPEC).is_success)
    good.wait_until(lambda: not good.get("/api/v1/workflows").json()["warnings"])
    assert time.monotonic() - began < BOUND_SECONDS


@pytest.mark.rule("18.18")
def test_a_write_that_a_store_does_not_answer_says_what_is_not_known(good: Served, between: Proxy) -> None:
    # Without its entry in the audit log nothing would be written.
    between.rule = lambda request: hang if request.method == "PUT" and "/audit/" not in request.path else None
    answer = good.client.put("/api/v1/datasets/sales.daily", json=SPEC | {"yaml": YAML + "tags: [a]\n"})
    assert answer.status_code == 503
    assert "is not known: look before you repeat this." in answer.json()["detail"]


@pytest.mark.rule("18.9", "18.16")
@each_silence
def test_every_route_answers_with_a_store_that_never_did(start: bytes) -> None:
    with silent(start) as endpoint:
        options = {
            "endpoint": endpoint,
            "access_key_id": "x",
            "secret_access_key": "x",
            "region": "us-east-1",
        }
        store = BucketStore("bucket", "", options, limits=SHORT)
        with served(store, MemoryAirflow(now=SystemClock().now)) as server:
            check_walk(server.walk(), {"store_unreachable"})
            server.check_health()
            readiness = server.get("/readyz")
    assert (readiness.status_code, readiness.json()["status"]) == (503, "starting")


@pytest.mark.rule("15.3", "18.16")
@each_silence
def test_every_route_answers_while_airflow_hangs(start: bytes) -> None:
    store = MemoryStore()
    store.put("manual/query.sql", SQL.encode(), expected=MISSING)
    store.put("manual/sales.daily.yaml", YAML.encode(), expected=MISSING)
    with (
        silent(start) as url,
        AirflowTransport(url, Everyone(), timeout_seconds=1) as transport,
        served(store, late_gateway(transport)) as server,
    ):
        answers = server.walk()
        server.check_health()
    check_walk(answers, {"airflow_unreachable", "not_loaded"})
