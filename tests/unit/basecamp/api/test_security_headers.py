"""What every kind of response tells browsers not to do with it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from httpx import Client

from basecamp.api.app import create_app
from basecamp.api.middleware import LOOPBACK_HOSTS
from basecamp.services import Services
from basecamp.web.rendering import static_address
from basecamp.web.routes import router

HTML = {"Accept": "text/html"}


@pytest.fixture
def browser(client_of: Callable[[Any], Client], services: Services) -> Client:
    """A client of a server with its pages, and with a route that fails."""
    app = create_app(services, hosts=LOOPBACK_HOSTS, pages=router)

    def boom() -> None:
        raise RuntimeError

    app.router.add_api_route("/api/boom", boom)
    client = client_of(app)
    client.base_url = "http://127.0.0.1:8800"
    return client


@pytest.mark.rule("26.9")
def test_no_response_can_be_framed_or_taken_for_another_type(browser: Client) -> None:
    kinds = {
        "/": 200,
        "/workflows/none": 404,
        "/no-such-page": 404,
        "/runs/": 307,
        "/workflows/x/pause": 303,
        static_address("", "app.js"): 200,
        "/docs": 200,
        "/static-offline-docs/swagger-ui.css": 200,
        "/static-offline-docs/none": 404,
        "/openapi.json": 200,
        "/redoc": 404,
        "/schemas/dataset.json": 200,
        "/healthz": 200,
        "/metrics": 200,
        "/api/v1/runs": 406,
        "/api/v1/none": 404,
        "/api/boom": 500,
    }
    for address, status in kinds.items():
        answer = browser.get(address, headers=HTML)
        assert answer.status_code == status, address
        _is_guarded(answer.headers, address)
    etag = browser.get("/openapi.json").headers["etag"]
    _is_guarded(browser.get("/openapi.json", headers={"If-None-Match": etag}).headers, "304")
    _is_guarded(browser.options("/api/v1/runs").headers, "OPTIONS")
    _is_guarded(browser.delete("/api/v1/runs").headers, "405")
    _is_guarded(browser.post("/api/v1/sync", headers={"Origin": "https://evil.example"}).headers, "403")
    _is_guarded(browser.post("/api/v1/sync", content=b"x" * (3 << 20)).headers, "413")
    _is_guarded(browser.get("/", headers={"Host": "evil.example"}).headers, "421")


def _is_guarded(headers: Any, what: str) -> None:
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy, what
    assert "default-src 'none'" in policy, what
    assert "base-uri 'none'" in policy, what
    assert headers["x-frame-options"] == "DENY", what
    assert headers["x-content-type-options"] == "nosniff", what
    assert headers["referrer-policy"] == "same-origin", what
    assert headers["cross-origin-resource-policy"] == "same-origin", what
    assert "cache-control" in headers, what


@pytest.mark.rule("26.9")
def test_the_page_of_the_api_runs_its_own_script_alone(browser: Client) -> None:
    page = browser.get("/docs")
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    allowed = page.headers["content-security-policy"].split("script-src ")[1].split(";")[0]
    assert allowed == f"'self' 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
