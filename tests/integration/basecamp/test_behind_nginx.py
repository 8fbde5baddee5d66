"""A server behind nginx, with the site of ``deploy/nginx.conf``: names, prefix, addresses, sizes, mistakes."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import nginx
from integration.basecamp.test_serve import Serve, settings
from memory_server import SPEC, SQL, memory_server
from s3 import free_port

CLIENT = "127.0.0.3"


@dataclass(frozen=True)
class Behind:
    """A server behind a proxy."""

    url: str
    plain_port: int
    server: Serve
    company: nginx.Company

    def client(self) -> httpx.Client:
        """Return a client of the server."""
        return client_of(self.url, self.company)


def client_of(url: str, company: nginx.Company) -> httpx.Client:
    """Return a client on another address of this machine than the proxy and the server."""
    context = ssl.create_default_context(cafile=str(company.bundle))
    transport = httpx.HTTPTransport(verify=context, local_address=CLIENT)
    return httpx.Client(base_url=url, transport=transport, timeout=120)


@pytest.fixture(scope="module", params=["", "/basecamp"], ids=["root", "prefix"])
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    nginx.program()
    folder = tmp_path_factory.mktemp("nginx")
    company, ports = nginx.Company(folder), {name: free_port() for name in ("plain", "tls", "basecamp")}
    public = f"https://{nginx.HOST}:{ports['tls']}{request.param}"
    environment = settings(folder) | {
        "BASECAMP_PUBLIC_URL": public,
        "BASECAMP_TRUSTED_PROXIES": "127.0.0.1",
    }
    server = Serve(environment, folder / "basecamp.log", "--port", str(ports["basecamp"]))
    site = nginx.site(ports, company.certificate, company.key)
    if request.param:
        site = site.replace("location / {", f"location {request.param}/ {{")
    try:
        server.url()
        with nginx.running(folder, site, ports["tls"]):
            yield Behind(public, ports["plain"], server, company)
    finally:
        server.process.kill()
        server.process.wait()


@pytest.mark.rule("26.90")
def test_pages_forms_and_redirects_stay_at_the_public_address(behind: Behind) -> None:
    with behind.client() as client:
        page = client.get("/workflows/none.such", headers={"Accept": "text/html"})
        assert page.status_code in {404, 503}
        assert "127.0.0.1" not in page.text
        form = {"Origin": str(client.base_url.copy_with(path="/")).rstrip("/")}
        own = client.post("/workflows/none.such/pause", headers=form)
        assert own.status_code not in {403, 421}, own.text
        other = client.post("/workflows/none.such/pause", headers={"Origin": "https://evil.example.com"})
        assert other.status_code == 403
        redirect = client.get("/workflows/none.such/pause")
        assert redirect.status_code in {302, 303, 307}
        assert redirect.headers["location"].startswith(httpx.URL(behind.url).path.rstrip("/") + "/workflows/")


@pytest.mark.rule("26.90")
def test_plain_http_leads_to_https(behind: Behind) -> None:
    answer = httpx.get(f"http://{nginx.HOST}:{behind.plain_port}/runs?limit=2", timeout=120)
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{nginx.HOST}/runs?limit=2"


@pytest.mark.rule("26.90")
def test_the_log_names_the_caller_not_the_proxy_and_believes_no_one_else(behind: Behind) -> None:
    with behind.client() as client:
        client.get("/api/v1/whose-address", headers={"X-Forwarded-For": "192.0.2.9"})
    behind.server.wait_until(lambda: "/api/v1/whose-address" in behind.server.log)
    # nginx adds the address that it has seen to what the caller says, for which nobody vouches.
    line = next(line for line in behind.server.log.splitlines() if "/api/v1/whose-address" in line)
    assert f" {CLIENT} " in line, line


@pytest.mark.rule("26.90")
def test_a_caller_that_is_no_trusted_proxy_can_name_no_address(tmp_path: Path) -> None:
    server = Serve(settings(tmp_path), tmp_path / "log")
    try:
        httpx.get(f"{server.url()}/api/v1/forged", headers={"X-Forwarded-For": "192.0.2.9"}, timeout=120)
        server.wait_until(lambda: "/api/v1/forged" in server.log)
        assert "192.0.2.9" not in server.log
    finally:
        server.process.kill()
        server.process.wait()


@pytest.mark.rule("26.90")
def test_a_request_that_is_too_large_gets_basecamps_own_error(behind: Behind) -> None:
    with behind.client() as client:
        answer = client.put("/api/v1/datasets/a.b", content=b'{"yaml": "' + b"x" * (2 * 1024 * 1024) + b'"}')
        assert answer.status_code == 413
        assert answer.json()["title"] == "The request is too large."


@pytest.mark.rule("26.90")
def test_a_call_that_waits_longer_than_a_minute_gets_its_answer(tmp_path: Path) -> None:
    """nginx itself gives up after 60 s, unless its site says otherwise."""
    company, ports = nginx.Company(tmp_path), {name: free_port() for name in ("plain", "tls")}
    url = f"https://{nginx.HOST}:{ports['tls']}"
    with memory_server(tmp_path / "server.log", "--loads-nothing") as server:
        ports["basecamp"] = httpx.URL(server.url).port or 0
        site = nginx.site(ports, company.certificate, company.key)
        with nginx.running(tmp_path, site, ports["tls"]), client_of(url, company) as client:
            body = {"yaml": SPEC.format(name="a.slow", note="New"), "files": {"query.sql": SQL}}
            answer = client.put("/api/v1/datasets/a.slow?wait=62", json=body, headers={"Host": "localhost"})
    assert (answer.status_code, answer.json()["code"]) == (504, "not_loaded"), answer.text


@pytest.mark.rule("26.90")
def test_the_proxy_sends_nothing_twice_that_changes_something() -> None:
    site = nginx.SITE.read_text(encoding="utf-8")
    assert "proxy_next_upstream error timeout;" in site  # without non_idempotent


@pytest.mark.rule("26.90")
def test_the_command_line_works_through_it(behind: Behind, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dli", "workflow", "list", "--server-url", behind.url],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "SSL_CERT_FILE": str(behind.company.bundle),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Airflow" in done.stdout + done.stderr, done.stderr


def test_the_systemd_unit_is_valid() -> None:
    """``systemd-analyze`` knows every key; it only misses the program, which is not installed here."""
    unit = nginx.SITE.parent / "basecamp.service"
    if not Path("/usr/bin/systemd-analyze").exists():
        pytest.skip("needs systemd-analyze")
    done = subprocess.run(
        ["/usr/bin/systemd-analyze", "verify", str(unit)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    complaints = [
        line
        for line in done.stderr.splitlines()
        if "is not executable" not in line and "basecamp.service" in line
    ]
    assert complaints == []
