"""The page on a store and an Airflow in memory, with a clock that the test sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from basecamp.airflow.models import LogEvent
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.runs.start import RunRequest
from basecamp.server.wiring import build_services
from basecamp.shared.clock import ManualClock, SystemClock
from basecamp.shared.waiting import run_through
from basecamp.web.routes import router
from dataspec.catalog.spec_storage import Release, manual_key, write_release
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

ORIGIN = "http://basecamp.test"

YAML = """\
name: {name}
type: Dataset
owner: engineer@example.com
team: "@data-engineering"
description: Clicks of one day.
tags: [clicks]
query_file: query.sql
parameters:
  - name: execution_date
    type: date
  - name: limit
    type: integer
    default: 100
    description: No more rows than this.
schedule:
  cron: "0 9 * * *"
  timezone: Asia/Seoul
"""
SQL = "SELECT * FROM clicks WHERE day = '{{ execution_date }}' LIMIT {{ limit }}"


@dataclass(eq=False)
class Part:
    """An element of a page, with what is in it."""

    tag: str
    attributes: dict[str, str]
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


class Page(HTMLParser):
    """A page as a browser reads it."""

    VOID = frozenset({"meta", "link", "input", "img", "wbr", "br"})

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.status = answer.status_code
        self.headers = answer.headers
        self.parts: list[Part] = []
        self._open: list[Part] = []
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        part = Part(tag, {name: value or "" for name, value in attrs})
        self.parts.append(part)
        if tag not in self.VOID:
            self._open.append(part)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for part in self._open:
            part.texts.append(data)

    def all(self, tag: str, **attributes: str) -> list[Part]:
        """Return the elements that have these attributes; ``class_`` names one of the classes."""
        word = attributes.pop("class_", None)
        return [
            part
            for part in self.parts
            if part.tag == tag
            and attributes.items() <= part.attributes.items()
            and (word is None or word in part.attributes.get("class", "").split())
        ]

    def one(self, tag: str, **attributes: str) -> Part:
        found = self.all(tag, **attributes)
        assert len(found) == 1, [part.attributes for part in found]
        return found[0]

    def rows(self) -> list[list[str]]:
        """Return the text of the first cells of the table, row for row."""
        return [
            [cell.strip() for cell in re.split(r"\s{2,}", "".join(part.texts).strip()) if cell.strip()]
            for part in self.all("tr")[1:]
        ]

    @property
    def text(self) -> str:
        return self.one("main").text


class World:
    """The server, and what happens behind its back."""

    def __init__(self, app: FastAPI) -> None:
        self.clock = ManualClock(datetime(2024, 1, 15, 9, 30, 45, tzinfo=UTC))
        self.store = MemoryStore(now=self.clock.now)
        self.airflow = MemoryAirflow(now=self.clock.now)
        self._dags = MemoryDags(self.airflow, self.store, self.clock.now)
        self.services = build_services(
            self.store, self.airflow, self.clock, airflow_public_url="https://airflow.example.com"
        )
        self._app = app
        app.state.services = self.services

    def publish(self, name: str = "sales.daily", replace: Mapping[str, str] | None = None) -> None:
        """Let CI/CD copy a spec into ``code/``, and Airflow load it."""
        self.put(f"code/{name}/query.sql", SQL)
        self.put(f"code/{name}/{name}.yaml", make_yaml(name, replace))

    def register(self, name: str = "sales.daily", replace: Mapping[str, str] | None = None) -> None:
        """Register a manual spec, and let Airflow load it."""
        files = {"query.sql": SQL} if "query_file" in make_yaml(name, replace) else {}
        write_release(self.store, manual_key(name), Release(make_yaml(name, replace).encode(), files))
        self._loaded()

    def put(self, key: str, text: str) -> None:
        """Write an object, whatever was there, and let Airflow see it."""
        stored = self.store.get(key)
        self.store.put(key, text.encode(), expected=stored.etag if stored else MISSING)
        self._loaded()

    def _loaded(self) -> None:
        self._dags.refresh()
        self.clock.advance(60)

    def start(self, name: str = "sales.daily", **parameters: Any) -> str:
        """Start a run, and return its id."""
        self.clock.advance(1)
        order = RunRequest(dataset=name, parameters={"execution_date": "2024-01-14"} | parameters)
        return run_through(self.services.run_starter.start(order, requested_by="dana"), self.clock).run_id

    def execute(self, run_id: str, state: Any = None, name: str = "sales.daily", log: str = "") -> None:
        """Let the next attempt of a run start, write to its log, and end where a state is given."""
        dag = self.airflow.get_dag(name)
        assert dag is not None
        assert dag.loaded is not None
        self.airflow.start(name, run_id, source=dag.loaded.source, spec_hash=dag.loaded.spec_hash)
        for line in log.splitlines():
            error = line if line.startswith("Error") else None
            event = LogEvent(message=line, timestamp=self.clock.now(), level="info", error=error)
            self.airflow.log_event(name, run_id, event)
        if state is not None:
            self.airflow.end(name, run_id, state)

    def get(self, address: str, **headers: str) -> Page:
        """Open a page."""
        return Page(self.ask("GET", address, headers={"Accept": "text/html", **headers}))

    def post(
        self, address: str, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send a form of a page of this server, unless other headers are given."""
        sent = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"} if headers is None else headers
        return self.ask("POST", address, data=dict(fields or {"key": ""}), headers=dict(sent))

    def ask(self, method: str, address: str, **request: Any) -> Response:
        async def ask() -> Response:
            transport = ASGITransport(self._app, raise_app_exceptions=False)
            async with AsyncClient(transport=transport, base_url=ORIGIN) as client:
                return await client.request(method, address, **request)

        return anyio.run(ask)


def make_yaml(name: str, replace: Mapping[str, str] | None = None) -> str:
    text = YAML.format(name=name)
    for old, new in (replace or {}).items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="session")
def app() -> FastAPI:
    """The application, made once since that takes a while; it holds nothing but its services."""
    return create_app(build_services(MemoryStore(), MemoryAirflow(), SystemClock()), pages=router)


@pytest.fixture(scope="session")
def signed_app() -> FastAPI:
    """The application of a server with sign-in, which a test makes by ``SignedWorld``."""
    return create_app(build_services(MemoryStore(), MemoryAirflow(), SystemClock()), pages=router)


@pytest.fixture
def world(app: FastAPI) -> World:
    return World(app)


@pytest.fixture
def page_of() -> Callable[[Response], Page]:
    return Page
