"""Clients that take too much: connections, time, log lines. A real server, with short limits where time passes."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from basecamp.api.security_headers import SECURITY_HEADERS
from memory_server import MemoryServer, memory_server

FILES = 1024
IDLE_SOCKETS = 1100
LIMIT_SECONDS = 1.5
PATIENCE_SECONDS = 120.0
"""Generous: the machine may be busy. A request that waits for the clients of others waits for them for ever."""
LONGER_SECONDS = 8.0
"""A limit that a busy machine keeps between two requests."""
ESTABLISHED = "01"
FLOOD = 2400
TIMES_AS_MUCH = 4
"""As one connection after the other; a search of all connections for each one beyond the limit takes 7 times as much."""
SMALL_LOG = 20_000
HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
UPLOAD = b"PUT /api/v1/datasets/a.b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


@contextmanager
def clients(server: MemoryServer, count: int) -> Iterator[list[socket.socket]]:
    """Open connections."""
    port = urlsplit(server.url).port
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS))
            for _ in range(count)
        ]


def check_health(server: MemoryServer) -> None:
    """Ask for the health over a new connection."""
    with urllib.request.urlopen(f"{server.url}/healthz", timeout=PATIENCE_SECONDS) as answer:
        assert json.load(answer) == {"status": "ok"}


def is_closed(client: socket.socket) -> bool:
    """Return whether the server has closed a connection, after reading what it sent before."""
    client.settimeout(PATIENCE_SECONDS)
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def connections(server: MemoryServer) -> int:
    """Return the number of connections that the server has open."""
    port = f":{urlsplit(server.url).port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == ESTABLISHED for row in rows)


def open_files(server: MemoryServer) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


@pytest.mark.rule("27.5")
def test_more_idle_connections_than_files_leave_the_server_quick(log: Path) -> None:
    with memory_server(log, "--files", str(FILES)) as server, clients(server, IDLE_SOCKETS):
        check_health(server)
        assert open_files(server) < FILES
        assert log.stat().st_size < SMALL_LOG


@pytest.mark.rule("27.5")
def test_a_flood_of_connections_beyond_the_limit_costs_little_time(log: Path) -> None:
    with memory_server(log) as server:
        began = server.cpu_seconds
        for _ in range(FLOOD):
            with clients(server, 1):
                pass
        check_health(server)
        between = server.cpu_seconds
        with clients(server, FLOOD):
            check_health(server)
        assert server.cpu_seconds - between < TIMES_AS_MUCH * (between - began)


@pytest.mark.rule("27.5")
def test_a_new_connection_takes_the_place_of_the_one_that_has_waited_longest(log: Path) -> None:
    with memory_server(log, "--connections", "3") as server, clients(server, 4) as (first, *others):
        assert is_closed(first)
        for other in others:
            other.sendall(HEAD + b"\r\n")
            assert other.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.rule("27.5")
def test_without_a_waiting_connection_a_new_one_is_refused(log: Path) -> None:
    """A request that is being received or worked on is not interrupted."""
    with memory_server(log, "--connections", "3") as server, clients(server, 3) as busy:
        for client in busy:
            client.sendall(UPLOAD.replace(b"Host", b"Expect: 100-continue\r\nHost"))
            assert client.recv(100).startswith(b"HTTP/1.1 100")
        with clients(server, 1) as (refused,):
            assert refused.recv(100).startswith(b"HTTP/1.1 503")
        for client in busy:
            client.sendall(b" " * 1000)
            assert client.recv(100).startswith(b"HTTP/1.1 4")


@pytest.mark.rule("26.9")
def test_the_refusals_of_connections_have_the_headers_of_every_response(log: Path) -> None:
    with memory_server(log, "--connections", "1") as server:
        with clients(server, 1) as (bad,):
            bad.sendall(b"no HTTP\r\n\r\n")
            invalid = bad.recv(10_000)
        with clients(server, 1) as (busy,):
            busy.sendall(UPLOAD.replace(b"Host", b"Expect: 100-continue\r\nHost"))
            assert busy.recv(100).startswith(b"HTTP/1.1 100")
            with clients(server, 1) as (refused,):
                no_place = refused.recv(10_000)
    for answer, status in ((invalid, b"400"), (no_place, b"503")):
        assert answer.startswith(b"HTTP/1.1 " + status)
        for name, value in SECURITY_HEADERS.items():
            assert f"\r\n{name.lower()}: {value}\r\n".encode() in answer


@pytest.mark.rule("27.6")
@pytest.mark.parametrize("sent", [b"", HEAD, UPLOAD + b"x"], ids=["nothing", "head", "body"])
def test_a_slow_request_is_given_up_however_steadily_it_comes(log: Path, sent: bytes) -> None:
    with memory_server(log, "--seconds", str(LIMIT_SECONDS)) as server, clients(server, 20) as slow:
        began = time.monotonic()
        for client in slow:
            client.sendall(sent)
        while time.monotonic() - began < 2 * LIMIT_SECONDS:
            check_health(server)
            for client in slow if sent else ():
                try:
                    client.sendall(b"x")
                except ConnectionError:
                    continue
            time.sleep(0.2)
        assert all(is_closed(client) for client in slow)
        assert log.stat().st_size < SMALL_LOG


@pytest.mark.rule("27.6")
def test_an_idle_connection_is_closed_after_its_last_answer(log: Path) -> None:
    with memory_server(log, "--seconds", str(LONGER_SECONDS)) as server:
        client = HTTPConnection("127.0.0.1", urlsplit(server.url).port or 0)
        client.auto_open = 0  # a second connection would be an error
        client.connect()
        for _ in range(6):
            client.request("GET", "/healthz")
            assert client.getresponse().read()
            time.sleep(LONGER_SECONDS / 5)
        assert is_closed(client.sock)
        client.close()


@pytest.mark.rule("27.6")
def test_a_client_that_does_not_read_its_answers_is_given_up(log: Path) -> None:
    options = ("--seconds", str(LIMIT_SECONDS), "--datasets", "500")
    request = b"GET /api/v1/workflows?limit=500 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with memory_server(log, *options) as server, clients(server, 5) as greedy:
        for client in greedy:
            client.sendall(request * 200)
        check_health(server)
        until(lambda: connections(server) == 0)


@pytest.mark.rule("27.7")
def test_without_free_files_the_log_has_one_line_a_second(log: Path) -> None:
    with memory_server(log, "--files", "256", "--free-files", "20") as server:
        began, used = time.monotonic(), server.cpu_seconds
        with clients(server, 100):
            until(lambda: "No connection can be accepted" in log.read_text())
            time.sleep(3)
            told = log.read_text().count("No connection can be accepted")
            seconds, used = time.monotonic() - began, server.cpu_seconds - used
            assert told <= seconds + 1
            assert used < seconds / 2
        check_health(server)


@pytest.mark.rule("27.7")
def test_a_flood_of_invalid_requests_does_not_fill_the_log(log: Path) -> None:
    with memory_server(log) as server:
        began = time.monotonic()
        for _ in range(10):
            with clients(server, 50) as bad:
                for client in bad:
                    client.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
                assert all(is_closed(client) for client in bad)
        told = log.read_text().count("Invalid HTTP request")
        assert told <= 10 * (time.monotonic() - began + 2)
