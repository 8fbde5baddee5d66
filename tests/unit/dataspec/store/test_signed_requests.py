"""Requests that urllib sends: each ends in time, whatever the server does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from dataspec.errors import StoreUnreachable
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


@pytest.mark.rule("5.14")
@pytest.mark.parametrize(
    "call", [BucketStore.now, lambda store: store.delete("a", expected='"x"')], ids=["now", "delete"]
)
def test_a_response_that_comes_byte_by_byte_is_not_waited_for(
    trickling: str, call: Callable[[BucketStore], object]
) -> None:
    keys = {"access_key_id": "x", "secret_access_key": "x", "region": "us-east-1"}
    store = BucketStore("bucket", "", {"endpoint": trickling, **keys}, limits=LIMITS)
    began = time.monotonic()
    with pytest.raises(StoreUnreachable):
        call(store)
    assert time.monotonic() - began < 10
