"""The server's log: text or JSON, with the id of the request that has caused a line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from basecamp.server.logs import LogFormat, configure_logging
from basecamp.shared.request_facts import REQUEST_ID

log = logging.getLogger("basecamp.example")


@pytest.fixture(autouse=True)
def the_log_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def request_id() -> Iterator[str]:
    """The id of the request that this test is."""
    token = REQUEST_ID.set("abc-123")
    yield "abc-123"
    REQUEST_ID.reset(token)


def lines(capsys: pytest.CaptureFixture[str], form: LogFormat, *, error: bool = False) -> list[str]:
    """Return the lines of an entry."""
    configure_logging("info", form)
    try:
        int("한글")
    except ValueError:
        log.warning("%d of %s", 3, "sales.daily", exc_info=error, extra={"status": 404})
    return capsys.readouterr().err.splitlines()


@pytest.mark.rule("27.8")
def test_a_line_of_text_ends_with_the_id_of_its_request(
    capsys: pytest.CaptureFixture[str], request_id: str
) -> None:
    (line,) = lines(capsys, "text")
    assert line.endswith(f" WARNING 3 of sales.daily [{request_id}]")


@pytest.mark.rule("27.8")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_outside_of_requests_has_none(capsys: pytest.CaptureFixture[str], form: LogFormat) -> None:
    (line,) = lines(capsys, form)
    assert "request_id" not in line
    assert "[" not in line


@pytest.mark.rule("27.8")
def test_a_line_of_json_is_one_object_with_its_facts(
    capsys: pytest.CaptureFixture[str], request_id: str
) -> None:
    (line,) = lines(capsys, "json", error=True)
    found = json.loads(line)
    assert datetime.fromisoformat(found.pop("time")).utcoffset() == timedelta()
    assert found.pop("exc_info").endswith("base 10: '한글'")
    assert found == {
        "level": "WARNING",
        "logger": "basecamp.example",
        "message": "3 of sales.daily",
        "status": 404,
        "request_id": request_id,
    }
