"""What stands between a store and a real S3 server, and does to its answers what a test tells it to."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from s3 import S3

FAULT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)

    @property
    def is_listing(self) -> bool:
        return "list-type=2" in self.path


Fault = Callable[["Handler"], None]
Rule = Callable[[Request], Fault | None]


def answer(status: int, code: str = "") -> Fault:
    """Answer in the server's place, with an error document of that code."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode() if code else b""
    return lambda handler: handler.reply(status, {}, body)


def hang(handler: Handler) -> None:
    """Answer nothing while the test lasts."""
    handler.server.ended.wait(FAULT_SECONDS)
    handler.close_connection = True


def cut_short(handler: Handler) -> None:
    """Send half of the server's answer, then close the connection."""
    status, headers, body = handler.ask_server()
    handler.reply(status, headers, body, sent=len(body) // 2)
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def stall(handler: Handler) -> None:
    """Send half of the server's answer, and no more while the test lasts."""
    status, headers, body = handler.ask_server()
    handler.reply(status, headers, body, sent=len(body) // 2)
    hang(handler)


class Handler(BaseHTTPRequestHandler):
    """Hands a request on, unless the rule has a fault for it."""

    server: Proxy
    protocol_version = "HTTP/1.1"
    request_body: bytes

    def do(self) -> None:
        self.request_body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        self.server.asked.append(request)
        fault = self.server.rule(request)
        if fault:
            fault(self)
        else:
            self.reply(*self.ask_server())

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do  # noqa: N815 - the standard library's names

    def ask_server(self) -> tuple[int, dict[str, str], bytes]:
        """Ask the real server; the host stays the one that was signed."""
        connection = http.client.HTTPConnection(self.server.behind, timeout=60)
        try:
            connection.request(self.command, self.path, self.request_body, dict(self.headers))
            found = connection.getresponse()
            return found.status, dict(found.getheaders()), found.read()
        finally:
            connection.close()

    def reply(self, status: int, headers: dict[str, str], body: bytes, *, sent: int | None = None) -> None:
        """Send an answer, or the first bytes of it."""
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])

    def log_message(self, *_: Any) -> None:
        pass


class Proxy(ThreadingHTTPServer):
    """A server in front of the real one.

    Attributes:
        rule: Says for each request what is to go wrong with it, if anything.
        asked: The requests that came.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, place: S3) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = urlsplit(place.endpoint).netloc
        self.place = place.through(f"http://127.0.0.1:{self.server_port}")
        self.rule: Rule = lambda _: None
        self.asked: list[Request] = []
        self.ended = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that went away."""


@contextmanager
def proxy(place: S3) -> Iterator[Proxy]:
    """Start a proxy in front of a place's server."""
    server = Proxy(place)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
