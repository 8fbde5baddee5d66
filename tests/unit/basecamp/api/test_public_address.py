"""The server behind a proxy, at the address that users open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.api.middleware import LOOPBACK_HOSTS
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import SystemClock
from basecamp.shared.public_address import OWN_PATHS, PublicAddress
from basecamp.web.routes import router
from dataspec.errors import InvalidSettings
from dataspec.store import MemoryStore
from http_proxy import Proxy, proxy
from served_app import served

PUBLIC = PublicAddress.parse("https://Data.Example:8443/basecamp/")
BROWSER = {"Host": "data.example:8443", "Accept": "text/html"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": PUBLIC.origin}
ADDRESS = re.compile(r'(?:href|src|action|hx-get)="([^"]+)"')

Publish = Callable[..., None]


@dataclass
class User:
    """A browser at the public address."""

    client: httpx.Client

    def get(self, address: str) -> httpx.Response:
        return self.client.get(urljoin(PUBLIC.url + "/", address).removeprefix(PUBLIC.origin))

    def post(self, address: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        return self.client.post(PUBLIC.prefix + address, data=fields, headers=FORM | headers)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    services = build_services(MemoryStore(), MemoryAirflow(), SystemClock())
    return create_app(services, hosts=LOOPBACK_HOSTS, public=PUBLIC, pages=router)


@pytest.fixture(scope="module")
def running(app: FastAPI) -> Iterator[Proxy]:
    with served(app) as address, proxy(address) as server:
        yield server


@pytest.fixture
def front(running: Proxy, app: FastAPI, services: Services) -> Proxy:
    """A proxy in front of the server; it passes host and path on."""
    app.state.services = services
    running.keeps_host, running.removed_prefix = True, ""
    return running


@pytest.fixture(params=["host and path passed on", "host replaced", "prefix removed", "both"])
def user(front: Proxy, request: pytest.FixtureRequest) -> Iterator[User]:
    front.keeps_host = request.param in {"host and path passed on", "prefix removed"}
    front.removed_prefix = PUBLIC.prefix if request.param in {"prefix removed", "both"} else ""
    with httpx.Client(base_url=front.url, headers=BROWSER, timeout=120) as client:
        yield User(client)


@pytest.mark.rule("18.15")
def test_the_forms_of_the_page_work_behind_a_proxy(user: User, publish: Publish, services: Services) -> None:
    publish()
    paused = user.post("/workflows/sales.daily/pause", {})
    assert (paused.status_code, paused.headers["location"]) == (303, "/basecamp/workflows/sales.daily")
    assert services.workflows.get("sales.daily").value.paused
    user.post("/workflows/sales.daily/unpause", {})
    started = user.post("/workflows/sales.daily/runs", {"p.execution_date": "2024-01-14"})
    assert user.get(started.headers["location"]).status_code == 200
    run_id = started.headers["location"].rpartition("/")[2]
    assert user.post(f"/runs/{run_id}/stop", {"reason": "wrong"}).status_code == 303
    assert services.run_lookup.get(run_id).value.status == "KILLED"


@pytest.mark.rule("18.15")
@pytest.mark.parametrize("start", ["", "runs", "workflows/sales.daily", "docs", "nothing"])
def test_every_link_and_file_of_a_page_is_below_the_prefix(user: User, publish: Publish, start: str) -> None:
    publish()
    page = user.get(start)
    assert page.status_code == (404 if start == "nothing" else 200)
    found = [address for address in ADDRESS.findall(page.text) if not address.startswith("#")]
    assert found
    for address in found:
        if address.startswith("https://airflow.example.com"):
            continue
        assert address.startswith("/basecamp/")
        if "/pause" not in address and "/runs" not in address:
            assert user.get(address).status_code == 200


@pytest.mark.rule("18.15")
@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("runs/", "/basecamp/runs"),
        ("api/v1/runs/?limit=1", "/basecamp/api/v1/runs?limit=1"),
        ("workflows/x/pause", "/basecamp/workflows/x"),
        ("docs/", "/basecamp/docs"),
    ],
)
def test_a_redirect_never_names_a_host(user: User, path: str, target: str) -> None:
    answer = user.get(path)
    assert (answer.status_code // 100, answer.headers["location"]) == (3, target)


@pytest.mark.rule("18.15")
def test_the_description_of_the_api_names_the_prefix_and_a_run_its_address(
    user: User, publish: Publish
) -> None:
    publish()
    assert user.get("openapi.json").json()["servers"] == [{"url": "/basecamp"}]
    answer = user.client.post(
        "/basecamp/api/v1/workflows/sales.daily/runs",
        json={"parameters": {"execution_date": "2024-01-14"}},
        headers={"Accept": "*/*"},
    )
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/basecamp/api/v1/runs/{answer.json()['run_id']}"
    run = user.client.get(answer.headers["location"], headers={"Accept": "*/*"})
    assert run.json()["run_id"] == answer.json()["run_id"]


@pytest.mark.rule("26.3")
@pytest.mark.parametrize(
    "origin",
    [
        "http://data.example:8443",
        "https://data.example",
        "https://data.example:9999",
        "https://data.example:8443.evil.example",
        "https://data.example:8443/basecamp",
        "https://user@data.example:8443",
        "https://evil.example",
        "null",
    ],
)
def test_a_page_of_another_origin_changes_nothing_behind_a_proxy(user: User, origin: str) -> None:
    assert user.post("/workflows/sales.daily/pause", {}, Origin=origin).status_code == 403
    answer = user.client.post("/basecamp/api/v1/sync", headers={"Origin": origin, "Accept": "*/*"})
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")


@pytest.mark.rule("26.2")
@pytest.mark.parametrize("host", ["evil.example", "data.example.evil.example", "xdata.example"])
def test_a_foreign_host_is_refused_beside_the_public_one(front: Proxy, host: str) -> None:
    answer = httpx.get(f"{front.url}/runs", headers={"Host": host}, timeout=120)
    assert answer.status_code == 421
    assert "BASECAMP_PUBLIC_URL" in answer.json()["detail"]


@pytest.mark.rule("26.2", "26.3")
def test_this_machine_is_served_beside_the_public_address(front: Proxy) -> None:
    front.keeps_host = False
    own = {"Origin": f"http://{front.behind}"}
    assert httpx.post(f"http://{front.behind}/api/v1/sync", headers=own, timeout=120).status_code == 200
    other = {"Origin": "http://127.0.0.1:1"}
    assert httpx.post(f"http://{front.behind}/api/v1/sync", headers=other, timeout=120).status_code == 403


def test_a_path_with_two_slashes_does_not_lead_to_another_host(user: User) -> None:
    answer = user.client.get("//evil.example/%2e%2e/")
    assert not answer.headers.get("location", "/").startswith("//")


@pytest.mark.parametrize(
    ("url", "origin", "host", "prefix"),
    [
        ("https://data.example", "https://data.example", "data.example", ""),
        ("https://DATA.example:443/", "https://data.example", "data.example", ""),
        ("http://[::1]:8800/a/b.c/", "http://[::1]:8800", "::1", "/a/b.c"),
        ("https://데이터.example/x", "https://xn--2n1bp39av7g.example", "xn--2n1bp39av7g.example", "/x"),
    ],
)
def test_a_public_url_is_read_as_a_browser_sends_it(url: str, origin: str, host: str, prefix: str) -> None:
    address = PublicAddress.parse(url)
    assert (address.origin, address.host, address.prefix) == (origin, host, prefix)


@pytest.mark.rule("18.2")
@pytest.mark.parametrize(
    "url",
    [
        "data.example",
        "ftp://data.example",
        "https://data.example:0",
        "https://data.example?x=1",
        "https://data.example/#x",
        "https://u:p@data.example",
        "https://data.example/a b",
        "https://data.example/a/../b",
        "https://data.example//a",
        "https://data.example/runs",
        "https://data.example/api/basecamp",
    ],
)
def test_a_public_url_that_can_not_work_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings, match="BASECAMP_PUBLIC_URL"):
        PublicAddress.parse(url)


def test_the_paths_that_a_prefix_must_not_have_are_those_of_the_routes(services: Services) -> None:
    app = create_app(services, pages=router)
    routes = [*app.openapi()["paths"], *(route.path for route in router.routes if hasattr(route, "path"))]
    first = {path.split("/")[1] for path in routes if not path.startswith(("/{", "/?")) and path != "/"}
    assert first | {"docs", "openapi.json", "static-offline-docs"} == OWN_PATHS


@pytest.mark.rule("18.15")
@pytest.mark.parametrize(
    "host", ["data.example/evil", "me@data.example", "data.example:x", "data.example:1:2"]
)
def test_a_host_that_is_not_one_is_refused(front: Proxy, host: str) -> None:
    with httpx.Client(base_url=front.url, headers=BROWSER | {"Host": host}, timeout=120) as client:
        assert client.get("/runs/").status_code == 421


@pytest.mark.rule("18.15")
@pytest.mark.parametrize("host", ["my_server:1", "data.example/evil", "me@data.example"])
def test_a_redirect_of_any_host_names_none(
    client_of: Callable[[FastAPI], httpx.Client], services: Services, host: str
) -> None:
    app = create_app(services, public=PUBLIC, pages=router)
    redirect = client_of(app).get("http://test/runs/?limit=1", headers={"Host": host}, follow_redirects=False)
    assert redirect.headers["location"] == "/basecamp/runs?limit=1"


@pytest.mark.rule("18.15")
@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://BÜCHER.example/", "https://xn--bcher-kva.example"),
        ("https://日本。jp", "https://xn--wgv71a.jp"),
    ],
)
def test_a_host_in_other_letters_is_the_one_that_browsers_send(written: str, origin: str) -> None:
    assert PublicAddress.parse(written).origin == origin


@pytest.mark.rule("18.15")
@pytest.mark.parametrize(
    "url",
    ["https://a b.example", " https://a.example ", "https://a\\b", "https://[fe80::1%25lo]", "https://a☃b.-"],
)
def test_a_host_that_no_browser_sends_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(InvalidSettings):
        PublicAddress.parse(url)
