from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from basecamp.airflow.models import LogEvent
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.shared.clock import ManualClock
from dataspec.errors import DliError

PAGE = (Path(__file__).parents[4] / "docs" / "api.md").read_text()
RUN = ("sales.daily", "sales.daily_20240115_093045")

_PART = re.compile(
    r"<!-- (?P<event>.*?) -->|^```http\n(?P<request>.*?)^```\n\n```json\n(?P<answer>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Example:
    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer: Any


def parts() -> Iterator[Example | str]:
    """Yield the page's examples, and what happens between them."""
    for part in _PART.finditer(PAGE):
        if part["event"]:
            yield part["event"]
            continue
        head, _, body = part["request"].partition("\n\n")
        first, *headers = head.strip().splitlines()
        method, path = first.split()
        status, _, answer = part["answer"].partition("\n")
        named = dict(line.split(": ", 1) for line in headers)
        yield Example(method, path, named, body, int(status.removeprefix("// ")), json.loads(answer))


def fits(answer: Any, documented: Any) -> bool:
    """Say whether an answer is what is documented, where "…" stands for anything."""
    if documented == "…":
        return True
    if isinstance(documented, dict) and isinstance(answer, dict):
        return answer.keys() == documented.keys() and all(
            fits(answer[key], documented[key]) for key in answer
        )
    if isinstance(documented, list) and isinstance(answer, list):
        return len(answer) == len(documented) and all(map(fits, answer, documented))
    return bool(answer == documented)


@pytest.fixture
def events(airflow: MemoryAirflow, clock: ManualClock, client: Client) -> dict[str, Callable[[], None]]:
    def start() -> None:
        clock.advance(2)
        row = client.get("/workflows/sales.daily").json()
        airflow.start(*RUN, source=row["source_type"], spec_hash=row["spec_hash"])
        airflow.log_event(*RUN, LogEvent(message="Parameters: {…}", timestamp=clock.now(), level="info"))
        clock.advance(10)

    def complete() -> None:
        start()
        airflow.end(*RUN, "success")

    def go_down() -> None:
        client.get("/workflows", params={"dataset": "sales.*"})
        airflow.down = "Connection refused"
        clock.advance(45)

    def come_back() -> None:
        airflow.down = None

    return {
        "the run starts": start,
        "the run completes": complete,
        "Airflow goes down": go_down,
        "Airflow is back": come_back,
    }


@pytest.mark.rule("19.1", "19.2", "19.7")
def test_every_example_is_answered_as_documented(
    client: Client, events: dict[str, Callable[[], None]]
) -> None:
    count = 0
    for part in parts():
        if isinstance(part, str):
            events[part]()
            continue
        count += 1
        sent = part.headers | ({"Content-Type": "application/json"} if part.body else {})
        answer = client.request(part.method, f"http://test{part.path}", headers=sent, content=part.body)
        assert (answer.status_code, answer.json()) == (part.status, part.answer) or fits(
            [answer.status_code, answer.json()], [part.status, part.answer]
        ), (part.method, part.path)
    assert count == PAGE.count("```http")


@pytest.mark.rule("19.1", "19.2", "19.3", "19.4")
def test_every_route_is_documented(client: Client) -> None:
    table = PAGE.split("## Headers")[0].replace("`…/unpause`", "`POST /workflows/{name}/unpause`")
    for path, operations in client.get("http://test/openapi.json").json()["paths"].items():
        for method in operations:
            shown = path.removeprefix("/api/v1")
            assert f"`{method.upper()} {shown}`" in table or f"`{shown}`" in table, (method, path)


def test_every_query_parameter_and_header_is_documented(client: Client) -> None:
    for operations in client.get("http://test/openapi.json").json()["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                assert parameter["name"].lower() in PAGE.lower(), parameter["name"]


@pytest.mark.rule("19.9")
def test_every_code_that_the_server_answers_is_documented() -> None:
    of_others = {"error", "invalid_settings", "server_unreachable"}
    of_others |= {"missing_driver", "engine_unreachable", "run_failed"}  # of runs on a person's machine
    table = PAGE.split("## Errors")[1].split("## Examples")[0]
    kinds = [DliError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.__module__ == "dataspec.errors" and kind.code not in of_others:
            assert f"`{kind.code}`" in table, kind
