"""A server that does on each request what a test says: answers, breaks off, drips, talks nonsense."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CERTIFICATE = Path(__file__).parent / "tls" / "server.pem"
KEY = CERTIFICATE.with_suffix(".key")


@dataclass(frozen=True)
class Received:
    """A request as it arrived, and the number of the connection that it came on."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Conversation:
    """The server's side of one connection."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.open = True
        self._pending = b""

    def send(self, data: bytes) -> None:
        self.stream.sendall(data)

    def close(self) -> None:
        self.open = False

    def reset(self) -> None:
        """End the connection with a reset, as a process that is killed does."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.open = False

    def request(self, connection: int) -> Received | None:
        while b"\r\n\r\n" not in self._pending:
            if not (data := self.stream.recv(65536)):
                return None
            self._pending += data
        head, _, rest = self._pending.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(rest) < length:
            rest += self.stream.recv(65536)
        self._pending = rest[length:]
        return Received(connection, method, target, headers, rest[:length])


def answer(
    body: Any = None,
    *,
    status: str = "200 OK",
    kind: str = "application/json",
    headers: str = "",
    close: bool = False,
) -> Callable[[Conversation], None]:
    """Answer with a body: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def step(conversation: Conversation) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
        conversation.send(head.encode() + content)
        if close:
            conversation.close()

    return step


def raw(data: bytes) -> Callable[[Conversation], None]:
    """Send bytes and close the connection."""

    def step(conversation: Conversation) -> None:
        conversation.send(data)
        conversation.close()

    return step


def silence(conversation: Conversation) -> None:
    """Close the connection without an answer."""
    conversation.close()


def reset(conversation: Conversation) -> None:
    """Reset the connection without an answer."""
    conversation.reset()


def half(conversation: Conversation) -> None:
    """Break off in the middle of the body."""
    conversation.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"items": [')
    conversation.close()


def half_status(conversation: Conversation) -> None:
    """Break off in the middle of the status line."""
    conversation.send(b"HTTP/1.1 20")
    conversation.close()


def half_headers(conversation: Conversation) -> None:
    """Break off in the middle of a header."""
    conversation.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    conversation.close()


def no_end_of_headers(conversation: Conversation) -> None:
    """Break off before the empty line that ends the headers."""
    conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")
    conversation.close()


def drip(conversation: Conversation) -> None:
    """Send a byte now and then, for ever."""
    conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    with suppress(OSError):
        while True:
            conversation.send(b" ")
            time.sleep(0.02)


class ScriptedServer:
    """Takes connections, and does the next step of its script for each request."""

    def __init__(self, script: Sequence[Callable[[Conversation], None]], *, tls: bool) -> None:
        self.script = list(script)
        self.received: list[Received] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self._context is not None:
            self._context.load_cert_chain(CERTIFICATE, KEY)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        # A connection of our own wakes the thread that waits for one.
        self._closing = True
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join(120)
        self._listener.close()

    _closing = False

    def _serve(self) -> None:
        number = 0
        while True:
            stream, _ = self._listener.accept()
            with stream:
                if self._closing:
                    return
                number += 1
                with suppress(OSError):
                    self._converse(stream, number)

    def _converse(self, stream: socket.socket, number: int) -> None:
        stream.settimeout(120)
        if self._context is not None:
            stream = self._context.wrap_socket(stream, server_side=True)
        conversation = Conversation(stream)
        with stream:
            while conversation.open and self.script and not self._closing:
                received = conversation.request(number)
                if received is None:
                    return
                self.received.append(received)
                self.script.pop(0)(conversation)


@contextmanager
def scripted(*script: Callable[[Conversation], None], tls: bool = False) -> Iterator[ScriptedServer]:
    """Serve a script until the end of the block."""
    server = ScriptedServer(script, tls=tls)
    try:
        yield server
    finally:
        server.close()


def tunnel_to(port: int) -> Callable[[Conversation], None]:
    """Do what a proxy does after CONNECT: pass bytes both ways."""

    def step(conversation: Conversation) -> None:
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            conversation.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(upstream, conversation.stream), daemon=True)
            back.start()
            _pump(conversation.stream, upstream)
            back.join(120)
        conversation.close()

    return step


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
