"""Requests that urllib sends: each ends in time, whatever the server does."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import trustme

from dataspec.errors import StoreUnreachable
from dataspec.store.base import MISSING
from dataspec.store.bucket import BucketStore, StoreTimeouts

LIMITS = StoreTimeouts(connect=1, request=1, retry=1, call=1)


@pytest.fixture
def trickling() -> Iterator[str]:
    """A server whose response never ends: a byte each fifth of a second."""
    ended = threading.Event()

    def trickle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not ended.wait(0.2):
                connection.sendall(b"x")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=trickle, args=(listener.accept()[0],)).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


KEYS = {"access_key_id": "x", "secret_access_key": "y", "region": "us-east-1"}


@pytest.mark.rule("5.14")
@pytest.mark.parametrize(
    "call",
    [
        BucketStore.now,
        lambda store: store.put("a", b"", expected=MISSING),
        lambda store: store.delete("a", expected='"x"'),
    ],
    ids=["now", "put", "delete"],
)
def test_a_response_that_comes_byte_by_byte_is_not_waited_for(
    trickling: str, call: Callable[[BucketStore], object]
) -> None:
    store = BucketStore("bucket", "", {"endpoint": trickling, **KEYS}, limits=LIMITS)
    began = time.monotonic()
    with pytest.raises(StoreUnreachable):
        call(store)
    assert time.monotonic() - began < 120, "the server sends bytes for ever"


class Storing(BaseHTTPRequestHandler):
    """A server that takes everything; as a proxy, too."""

    asked: ClassVar[list[str]] = []

    def do_PUT(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"stored"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on a port of this machine, over TLS if there is a context; give the address without its scheme."""
    Storing.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Storing)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_whose_certificate_obstore_alone_accepts_gets_signed_headers() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with serving(context) as place:
        options = {"endpoint": f"https://{place}", "allow_invalid_certificates": "true", **KEYS}
        store = BucketStore("bucket", "", options, limits=StoreTimeouts())
        assert store.put("code/a", b"x", expected=MISSING) == '"stored"'
    assert Storing.asked == ["/bucket/code/a"]


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as place:
        monkeypatch.setenv("http_proxy", f"http://kim:secret@{place}")
        monkeypatch.setenv("no_proxy", "")
        options = {"endpoint": "http://s3.example.com", **KEYS}
        store = BucketStore("bucket", "", options, limits=StoreTimeouts())
        assert store.put("code/a", b"x", expected=MISSING) == '"stored"'
    (asked,) = Storing.asked
    assert asked.startswith("http://s3.example.com/bucket/code/a?X-Amz-")


def test_an_error_shows_no_signature() -> None:
    store = BucketStore("bucket", "", {"endpoint": "http://127.0.0.1:9", **KEYS}, limits=LIMITS)
    with pytest.raises(StoreUnreachable) as caught:
        store.put("code/a", b"x", expected=MISSING)
    assert "X-Amz" not in f"{caught.value.detail} {caught.value.__cause__}"
