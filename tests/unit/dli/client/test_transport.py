from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataspec.errors import InternalError, InvalidSettings, ServerUnreachable
from dli.client.client import Transport
from dli.client.protocol import RETRY_DELAYS_SECONDS, Call
from s3 import free_port
from unit.dli.scripted_server import (
    CERTIFICATE,
    answer,
    drip,
    half,
    half_headers,
    half_status,
    no_end_of_headers,
    raw,
    reset,
    scripted,
    silence,
    tunnel_to,
)

HTML = b"<html><body><h1>Bad Gateway</h1></body></html>"


class Sender(Transport):
    """A transport that makes the call itself."""

    def send(self, method: str, *path: str, **options: Any) -> Any:
        return self.call(Call(method, path, **options))


Connect = Callable[..., Sender]


class Naps:
    """Notes how long the transport would have slept."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def connect(naps: Naps) -> Iterator[Connect]:
    """Make transports in an empty environment that are closed in the end."""
    made: list[Sender] = []

    def make(url: str, **options: Any) -> Sender:
        made.append(Sender(url, **{"environ": {}, "sleep": naps, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_call_sends_json_and_returns_json(connect: Connect) -> None:
    with scripted(answer({"ok": True}), answer([1])) as server:
        transport = connect(server.url, user="dana")
        assert transport.send("POST", "workflows", "a.b", "runs", body={"x": "한국"}) == {"ok": True}
        assert transport.send(
            "GET", "runs", query={"limit": 3, "dataset": None, "running": True, "x": False, "wait": 0}
        )
    post, get = server.received
    assert (post.method, post.target, post.body.decode()) == (
        "POST",
        "/api/v1/workflows/a.b/runs",
        '{"x": "\\ud55c\\uad6d"}',
    )
    assert post.headers["content-type"] == "application/json"
    assert post.headers["dli-user"] == "dana"
    assert get.target == "/api/v1/runs?limit=3&running=true&wait=0"


@pytest.mark.rule("26.8")
def test_a_part_of_a_route_can_not_break_out_of_it(connect: Connect) -> None:
    with scripted(answer({})) as server:
        transport = connect(server.url)
        transport.send("GET", "runs", "a/../b?c#d 한", "logs")
    assert server.received[0].target == "/api/v1/runs/a%2F..%2Fb%3Fc%23d%20%ED%95%9C/logs"


def test_calls_share_one_connection(connect: Connect) -> None:
    with scripted(answer(1), answer(2), answer(3)) as server:
        transport = connect(server.url)
        assert [transport.send("GET", "runs") for _ in range(3)] == [1, 2, 3]
    assert [received.connection for received in server.received] == [1, 1, 1]


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew(naps: Naps, connect: Connect) -> None:
    with scripted(answer(1, close=True), answer(2)) as server:
        transport = connect(server.url)
        assert [transport.send("GET", "runs"), transport.send("GET", "runs")] == [1, 2]
    assert [received.connection for received in server.received] == [1, 2]


def test_an_answer_that_says_close_is_not_asked_on_again(naps: Naps, connect: Connect) -> None:
    with scripted(answer(1, headers="Connection: close\r\n", close=True), answer(2)) as server:
        transport = connect(server.url)
        assert [transport.send("GET", "runs"), transport.send("GET", "runs")] == [1, 2]
    assert naps.taken == []


@pytest.mark.rule("20.12")
@pytest.mark.parametrize("fault", [silence, reset, half, half_status, half_headers, no_end_of_headers])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_call_that_may_be_repeated_survives_a_broken_connection(
    fault: object, method: str, naps: Naps, connect: Connect
) -> None:
    with scripted(fault, answer({"ok": 1})) as server:  # type: ignore[arg-type]
        transport = connect(server.url)
        assert transport.send(method, "runs", body={}) == {"ok": 1}
    assert naps.taken == [RETRY_DELAYS_SECONDS[0]]


@pytest.mark.rule("20.12")
def test_a_post_with_a_key_is_sent_again_with_the_same_key(naps: Naps, connect: Connect) -> None:
    with scripted(half, silence, answer({"run_id": "a"})) as server:
        transport = connect(server.url)
        assert transport.send("POST", "x", body={"a": 1}, headers={"Idempotency-Key": "k"}) == {"run_id": "a"}
    assert [(r.headers["idempotency-key"], r.body) for r in server.received] == [("k", b'{"a": 1}')] * 3


@pytest.mark.rule("20.12")
def test_a_post_without_a_key_is_never_sent_twice(naps: Naps, connect: Connect) -> None:
    with scripted(silence, answer({})) as server:
        transport = connect(server.url)
        with pytest.raises(ServerUnreachable) as error:
            transport.send("POST", "x", body={})
    assert "the connection ended without an answer" in (error.value.detail or "")
    assert len(server.received) == 1


def test_a_connection_that_always_breaks_is_given_up(naps: Naps, connect: Connect) -> None:
    with scripted(*[half] * 10) as server:
        transport = connect(server.url)
        with pytest.raises(ServerUnreachable) as error:
            transport.send("GET", "runs")
    assert tuple(naps.taken) == RETRY_DELAYS_SECONDS
    assert len(server.received) == len(RETRY_DELAYS_SECONDS) + 1
    assert "the connection ended in the middle of the answer" in (error.value.detail or "")


def test_a_server_that_is_not_there_is_reported_at_once_with_what_to_do(naps: Naps, connect: Connect) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServerUnreachable) as error:
        connect(url).send("GET", "runs")
    assert error.value.title == "Cannot connect to server. Check your connection settings."
    assert error.value.detail == (
        f"{url}: connection refused\nStart one with: basecamp dev, or set DLI_SERVER_URL"
    )
    assert naps.taken == []


def test_a_host_that_does_not_exist_is_named_with_the_reason(connect: Connect) -> None:
    with pytest.raises(ServerUnreachable) as error:
        connect("http://basecamp.invalid").send("GET", "runs")
    assert (error.value.detail or "").startswith("http://basecamp.invalid: ")


def test_no_call_takes_longer_than_its_timeout_however_the_answer_drips(connect: Connect) -> None:
    started = time.monotonic()
    with scripted(drip) as server, pytest.raises(ServerUnreachable) as error:
        connect(server.url, timeout_seconds=0.3).send("GET", "runs")
    assert time.monotonic() - started < 300, "it drips for half an hour"
    assert "no answer within 0.3 s" in (error.value.detail or "")


def test_an_answer_in_chunks_and_one_that_ends_with_the_connection_are_read_whole(connect: Connect) -> None:
    chunks = raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1, 2\r\n4;x=y\r\n, 3]\r\n0\r\n\r\n"
    )
    until_close = raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[4]")
    with scripted(chunks, until_close) as server:
        transport = connect(server.url)
        assert transport.send("GET", "a") == [1, 2, 3]
        assert transport.send("GET", "b") == [4]


def test_what_comes_before_the_answer_is_passed_over(connect: Connect) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    with scripted(raw(early + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7")) as server:
        transport = connect(server.url)
        assert transport.send("GET", "a") == 7


def test_a_large_answer_is_read_whole(connect: Connect) -> None:
    rows = [{"name": "n" * 100, "number": number} for number in range(50_000)]
    with scripted(answer(rows)) as server:
        transport = connect(server.url)
        assert transport.send("GET", "a") == rows


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "404 Not Found", "200 OK"])
def test_an_answer_that_is_not_basecamps_means_that_the_server_is_not_reached(
    status: str, connect: Connect
) -> None:
    with (
        scripted(answer(HTML, status=status, kind="text/html; charset=utf-8")) as server,
        pytest.raises(ServerUnreachable) as error,
    ):
        connect(server.url).send("GET", "runs")
    assert f"{server.url}: answered {status}" in (error.value.detail or "")


def test_a_server_that_fails_with_a_page_of_html_is_not_the_callers_fault(connect: Connect) -> None:
    with (
        scripted(answer(HTML, status="500 Internal Server Error", kind="text/html")) as server,
        pytest.raises(InternalError) as error,
    ):
        connect(server.url).send("GET", "runs")
    assert error.value.title == "The server failed."
    assert server.url in (error.value.detail or "")


def test_what_is_not_http_is_said_to_be_so_and_not_asked_again(naps: Naps, connect: Connect) -> None:
    with scripted(raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")) as server, pytest.raises(ServerUnreachable) as error:
        connect(server.url).send("GET", "runs")
    assert "the answer is not HTTP" in (error.value.detail or "")
    assert naps.taken == []


def test_a_redirection_is_shown_not_followed(connect: Connect) -> None:
    moved = answer(b"", status="308 Permanent Redirect", headers="Location: https://b.example/api\r\n")
    with scripted(moved) as server, pytest.raises(ServerUnreachable) as error:
        connect(server.url).send("GET", "runs")
    assert "it redirects to https://b.example/api" in (error.value.detail or "")


def test_each_call_is_logged_in_one_line_and_warnings_of_the_server_are_passed_on(connect: Connect) -> None:
    lines: list[str] = []
    warnings: list[str] = []
    with scripted(answer({}, headers="Dli-Warning: Airflow does not answer; 12 s old.\r\n")) as server:
        transport = connect(server.url, log=lines.append, warn=warnings.append)
        transport.send("GET", "runs", "a")
    assert len(lines) == 1
    assert lines[0].startswith("GET /api/v1/runs/a: 200 in ")
    assert warnings == ["Airflow does not answer; 12 s old."]


@pytest.mark.rule("26.6")
def test_a_server_below_a_path_with_a_password_is_reached_and_the_password_not_shown(
    connect: Connect,
) -> None:
    with scripted(answer({}), answer({}, status="502 Bad Gateway")) as server:
        url = server.url.replace("//", "//dana:s%40crt@") + "/basecamp/"
        transport = connect(url)
        transport.send("GET", "runs")
        with pytest.raises(ServerUnreachable) as error:
            transport.send("GET", "runs")
    assert server.received[0].target == "/basecamp/api/v1/runs"
    assert server.received[0].headers["authorization"] == "Basic ZGFuYTpzQGNydA=="
    assert "s@crt" not in (error.value.detail or "")
    assert "s%40crt" not in (error.value.detail or "")


def test_a_call_goes_through_the_proxy_that_the_environment_names(connect: Connect) -> None:
    with scripted(answer({"by": "proxy"})) as proxy:
        environ = {"http_proxy": proxy.url.replace("//", "//dana:secret@")}
        transport = connect("http://basecamp.example:8800", environ=environ)
        assert transport.send("GET", "runs") == {"by": "proxy"}
    received = proxy.received[0]
    assert received.target == "http://basecamp.example:8800/api/v1/runs"
    assert received.headers["host"] == "basecamp.example:8800"
    assert received.headers["proxy-authorization"] == "Basic ZGFuYTpzZWNyZXQ="


def test_https_goes_through_a_proxy_in_a_tunnel(connect: Connect) -> None:
    with scripted(answer({"by": "server"}), tls=True) as server, scripted(tunnel_to(server.port)) as proxy:
        environ = {"HTTPS_PROXY": proxy.url, "REQUESTS_CA_BUNDLE": str(CERTIFICATE)}
        transport = connect("https://basecamp.example", environ=environ)
        assert transport.send("GET", "runs") == {"by": "server"}
        transport.close()
    assert (proxy.received[0].method, proxy.received[0].target) == ("CONNECT", "basecamp.example:443")
    assert server.received[0].target == "/api/v1/runs"


def test_a_proxy_that_hangs_up_is_asked_again(naps: Naps, connect: Connect) -> None:
    with (
        scripted(answer({"by": "server"}), tls=True) as server,
        scripted(silence, silence, tunnel_to(server.port)) as proxy,
    ):
        environ = {"HTTPS_PROXY": proxy.url, "REQUESTS_CA_BUNDLE": str(CERTIFICATE)}
        transport = connect("https://basecamp.example", environ=environ)
        assert transport.send("GET", "runs") == {"by": "server"}
        transport.close()
    assert tuple(naps.taken) == RETRY_DELAYS_SECONDS[:2]


def test_a_proxy_that_refuses_is_named(connect: Connect) -> None:
    with scripted(answer(HTML, status="403 Forbidden", kind="text/html")) as proxy:
        transport = connect("https://basecamp.example", environ={"https_proxy": proxy.url})
        with pytest.raises(ServerUnreachable) as error:
            transport.send("GET", "runs")
    assert f"the proxy {proxy.url} answered 403 to CONNECT" in (error.value.detail or "")


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_that_a_variable_names_is_trusted(variable: str, connect: Connect) -> None:
    with scripted(answer({"ok": 1}), tls=True) as server:
        transport = connect(server.url, environ={variable: str(CERTIFICATE)})
        assert transport.send("GET", "runs") == {"ok": 1}


def test_openssls_own_variable_is_trusted(monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with scripted(answer({"ok": 1}), tls=True) as server:
        transport = connect(server.url, environ={"SSL_CERT_FILE": str(CERTIFICATE)})
        assert transport.send("GET", "runs") == {"ok": 1}


def test_a_certificate_that_nobody_vouches_for_is_refused_with_the_reason(connect: Connect) -> None:
    with scripted(answer({}), tls=True) as server, pytest.raises(ServerUnreachable) as error:
        connect(server.url).send("GET", "runs")
    assert "self-signed certificate" in (error.value.detail or "")


def test_a_certificate_of_another_host_is_refused(connect: Connect) -> None:
    with scripted(answer({}), tls=True) as server, scripted(tunnel_to(server.port)) as proxy:
        environ = {"https_proxy": proxy.url, "REQUESTS_CA_BUNDLE": str(CERTIFICATE)}
        with pytest.raises(ServerUnreachable) as error:
            connect("https://other.example", environ=environ).send("GET", "runs")
    assert "other.example" in (error.value.detail or "")


def test_a_bundle_of_certificates_that_is_not_there_is_named(connect: Connect) -> None:
    with (
        scripted(answer({}), tls=True) as server,
        pytest.raises(InvalidSettings, match="REQUESTS_CA_BUNDLE names: /nowhere"),
    ):
        connect(server.url, environ={"REQUESTS_CA_BUNDLE": "/nowhere"}).send("GET", "runs")
