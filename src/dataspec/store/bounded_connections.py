"""Connections of urllib3 that bound a whole response: urllib3 itself bounds only the wait for the next bytes."""

from __future__ import annotations

from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, make_headers
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import parse_url

if TYPE_CHECKING:
    from socket import socket
    from typing import BinaryIO

    from _typeshed import WriteableBuffer

MAX_IDLE = 32
"""Maximum number of idle connections that are kept."""


class _BoundedReader(RawIOBase):
    """Reads a response until the socket's timeout has passed since its beginning."""

    def __init__(self, sock: socket, stream: BinaryIO) -> None:
        self._sock = sock
        self._stream = stream
        timeout = sock.gettimeout()
        self._end = float("inf") if timeout is None else monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left = self._end - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        view = memoryview(buffer)
        read: bytes = self._stream.read1(len(view))  # type: ignore[attr-defined]
        view[: len(read)] = read
        return len(read)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _BoundedResponse(HTTPResponse):
    def __init__(self, sock: socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = BufferedReader(_BoundedReader(sock, self.fp))


class _Connection(HTTPConnection):
    response_class = _BoundedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def connections_to(address: str) -> PoolManager:
    """Return a pool of connections to a server, by way of the proxy that the environment names."""
    parts = urlsplit(address)
    proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    if proxy:
        login = make_headers(proxy_basic_auth=parse_url(proxy).auth)
        pool: PoolManager = ProxyManager(proxy, proxy_headers=login, maxsize=MAX_IDLE)
    else:
        pool = PoolManager(maxsize=MAX_IDLE)
    pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return pool
