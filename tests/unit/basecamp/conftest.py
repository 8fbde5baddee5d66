"""The server on a store and an Airflow in memory, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from httpx import ASGITransport, BaseTransport, ByteStream, Client, Request, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock, SystemClock
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

YAML = """\
name: {name}
type: Dataset
owner: engineer@example.com
team: "@data-engineering"
query_file: query.sql
parameters:
  - name: execution_date
    type: date
  - name: limit
    type: integer
    default: 100
schedule:
  cron: "0 9 * * *"
  timezone: Asia/Seoul
"""
SQL = "SELECT * FROM clicks WHERE day = '{{ execution_date }}' LIMIT {{ limit }}"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2024, 1, 15, 9, 30, 45, 123456, tzinfo=UTC))


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(now=clock.now)


@pytest.fixture
def airflow(clock: ManualClock) -> MemoryAirflow:
    return MemoryAirflow(now=clock.now)


@pytest.fixture
def dags(airflow: MemoryAirflow, store: MemoryStore, clock: ManualClock) -> MemoryDags:
    """Airflow's DAG processor, which looks at the store when it is asked to, or waited for.

    It has a DAG already, so there is one that it can be asked to parse.
    """
    dags = MemoryDags(airflow, store, clock.now)
    airflow.load("earlier.dataset", tags=["source:manual"])
    airflow.on_parse = lambda _dag: dags.refresh()
    clock.on_wait.append(dags.refresh)
    return dags


@pytest.fixture
def services(store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, dags: MemoryDags) -> Services:
    return build_services(store, airflow, clock, airflow_public_url="https://airflow.example.com")


class AppTransport(BaseTransport):
    """Sends requests straight to an application, on the event loop of another thread."""

    def __init__(self, app: Any, portal: BlockingPortal) -> None:
        self._transport = ASGITransport(app, raise_app_exceptions=False)
        self._portal = portal

    def handle_request(self, request: Request) -> Response:
        return self._portal.call(self._answer, request)

    async def _answer(self, request: Request) -> Response:
        sent = Request(
            request.method, request.url, headers=request.headers, stream=ByteStream(request.read())
        )
        answer = await self._transport.handle_async_request(sent)
        body = await answer.aread()
        return Response(answer.status_code, headers=answer.headers, content=body, request=request)


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def client_of(portal: BlockingPortal) -> Callable[[Any], Client]:
    """Return a client of an application."""
    return lambda app: Client(transport=AppTransport(app, portal), base_url="http://test/api/v1")


@pytest.fixture(scope="session")
def app() -> FastAPI:
    """Return the application, made once since that takes a while; it holds nothing but its services."""
    return create_app(build_services(MemoryStore(), MemoryAirflow(), SystemClock()))


@pytest.fixture
def client(app: FastAPI, services: Services, client_of: Callable[[Any], Client]) -> Client:
    app.state.services = services
    return client_of(app)


@pytest.fixture
def make_yaml() -> Callable[..., str]:
    """Return a spec's YAML; keyword arguments replace one text by another."""

    def make(name: str = "sales.daily", replace: Mapping[str, str] | None = None) -> str:
        text = YAML.format(name=name)
        for old, new in (replace or {}).items():
            assert old in text
            text = text.replace(old, new)
        return text

    return make


@pytest.fixture
def register(client: Client, make_yaml: Callable[..., str]) -> Callable[..., Response]:
    """Register a manual spec over the API; it must be accepted."""

    def register(
        name: str = "sales.daily", replace: Mapping[str, str] | None = None, **more: Any
    ) -> Response:
        body = {"yaml": make_yaml(name, replace), "files": {"query.sql": SQL}} | more
        answer: Response = client.put(f"/datasets/{name}", json=body)
        assert answer.is_success, answer.text
        return answer

    return register


@pytest.fixture
def publish(
    store: MemoryStore, clock: ManualClock, dags: MemoryDags, make_yaml: Callable[..., str]
) -> Callable[..., None]:
    """Let CI/CD copy a spec into code/; Airflow loads it."""

    def publish(name: str = "sales.daily", replace: Mapping[str, str] | None = None) -> None:
        for key, text in ((f"code/{name}.yaml", make_yaml(name, replace)), ("code/query.sql", SQL)):
            stored = store.get(key)
            store.put(key, text.encode(), expected=stored.etag if stored else MISSING)
        dags.refresh()
        clock.advance(60)

    return publish


@pytest.fixture
def start(client: Client, clock: ManualClock) -> Callable[..., str]:
    """Start a run over the API a second after whatever was before; return its id."""

    def start(name: str = "sales.daily", **parameters: Any) -> str:
        clock.advance(1)
        given = {"execution_date": "2024-01-14"} | parameters
        answer = client.post(f"/workflows/{name}/runs", json={"parameters": given})
        assert answer.status_code == 201, answer.text
        run_id: str = answer.json()["run_id"]
        return run_id

    return start


@pytest.fixture
def execute(airflow: MemoryAirflow, client: Client) -> Callable[..., None]:
    """Let Airflow start the next attempt of a run, and end it where a state is given."""

    def execute(run_id: str, state: Any = None, name: str = "sales.daily") -> None:
        row = client.get(f"/workflows/{name}").json()
        airflow.start(name, run_id, source=row["source_type"], spec_hash=row["spec_hash"])
        if state is not None:
            airflow.end(name, run_id, state)

    return execute
