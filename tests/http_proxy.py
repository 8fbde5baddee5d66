"""What stands between Basecamp and a real server, and does to its answers what a test tells it to."""

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

FAULT_SECONDS = 120
HELD_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


Fault = Callable[["Handler"], None]
Rule = Callable[[Request], Fault | None]


def answer(status: int, body: str = "", **headers: str) -> Fault:
    """Answer in the server's place."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.reply(status, sent, body.encode())


def hang_up(handler: Handler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True


def swallow(handler: Handler) -> None:
    """Let the server act, then close the connection without its answer."""
    handler.ask_server()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


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
        request = Request(
            self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, self.request_body
        )
        self.server.asked.append(request)
        fault = self.server.rule(request)
        if fault:
            fault(self)
        else:
            self.reply(*self.ask_server())

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = do  # noqa: N815 - the standard library's names

    def ask_server(self) -> tuple[int, dict[str, str], bytes]:
        """Ask the real server; the host stays the one that was signed, unless the proxy replaces it."""
        connection = http.client.HTTPConnection(self.server.behind, timeout=60)
        headers = dict(self.headers) | ({} if self.server.keeps_host else {"Host": self.server.behind})
        path = self.path.removeprefix(self.server.removed_prefix) or "/"
        try:
            connection.request(self.command, path, self.request_body, headers)
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
        if self.command != "HEAD":  # a client would take it for the next answer
            self.wfile.write(body[:sent])

    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Held:
    """A request that the network holds back, as a rule of the proxy.

    Attributes:
        wanted: Tells whether a request is the one; the others are handed on.
        ignored: The headers that the server ignores.
        status: The server's answer, once the request was let go.
    """

    wanted: Callable[[Request], bool]
    ignored: tuple[str, ...] = ()
    status: int = 0
    came: threading.Event = field(default_factory=threading.Event)
    _let_go: threading.Event = field(default_factory=threading.Event)
    _answered: threading.Event = field(default_factory=threading.Event)

    def __call__(self, request: Request) -> Fault | None:
        if self.came.is_set() or not self.wanted(request):
            return None
        self.came.set()
        return self._hold

    def _hold(self, handler: Handler) -> None:
        assert self._let_go.wait(HELD_SECONDS)
        for name in self.ignored:
            del handler.headers[name]
        self.status, _, _ = handler.ask_server()
        self._answered.set()
        handler.close_connection = True

    def let_go(self) -> None:
        """Hand the request on to the server, and wait for its answer."""
        self._let_go.set()
        assert self._answered.wait(HELD_SECONDS)


class Proxy(ThreadingHTTPServer):
    """A server in front of the real one.

    Attributes:
        rule: Says for each request what is to go wrong with it, if anything.
        asked: The requests that came.
        keeps_host: Whether the real server gets the ``Host`` of the client, or its own.
        removed_prefix: What is removed from the start of a path.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behind: str) -> None:
        """Make it for the server at an address."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = urlsplit(behind).netloc
        self.rule: Rule = lambda _: None
        self.asked: list[Request] = []
        self.keeps_host = True
        self.removed_prefix = ""
        self.ended = threading.Event()
        self._thread = threading.Thread()

    def start(self) -> None:
        """Listen and answer."""
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; connections that are open go on."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Be down for a while: connections are refused, and those that are open broken off."""
        rule, self.rule = self.rule, lambda _: hang_up
        self.stop()
        try:
            yield
        finally:
            self.socket = socket.socket(self.address_family, self.socket_type)
            self.server_bind()
            self.server_activate()
            self.rule = rule
            self.start()

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Do the same to every request for a while."""
        rule, self.rule = self.rule, lambda _: fault
        try:
            yield
        finally:
            self.rule = rule

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that went away."""


@contextmanager
def proxy(behind: str) -> Iterator[Proxy]:
    """Start a proxy in front of the server at an address."""
    server = Proxy(behind)
    server.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.stop()
