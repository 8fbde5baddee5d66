"""Calls to Basecamp's API: JSON there and back, retries, and errors of our own kinds."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from dli.client.connection import Connection, ConnectionBroken, Deadline
from dli.client.protocol import Wire, pauses_before_repeats, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dli.client.addresses import Address
    from dli.client.connection import Answer, Request


class Transport:
    """Sends calls to one server over a connection that is kept open.

    A call that may be repeated (a GET, PUT or DELETE, or a POST with an
    ``Idempotency-Key``) is sent again after a broken connection; a server that can't be
    reached at all is reported at once.

    Args:
        server_url: The server's address, such as ``http://127.0.0.1:8800``.
        timeout_seconds: How long a call may take, from connecting to the last byte.
        headers: Sent with every call.
        environ: Where proxies and certificates are named.
        sleep: Waits between retries.
        log: Told of each call, in one line.
        warn: Told of each warning that comes beside an answer, such as how old it is.
    """

    def __init__(
        self,
        server_url: str,
        *,
        timeout_seconds: float = 30.0,
        headers: Mapping[str, str] | None = None,
        environ: Mapping[str, str] = os.environ,
        sleep: Callable[[float], None] = time.sleep,
        log: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._wire = Wire(server_url, headers=headers, environ=environ, warn=warn)
        self._timeout = timeout_seconds
        self._environ = environ
        self._sleep = sleep
        self._log = log or _ignore
        self._connection: Connection | None = None

    @property
    def server(self) -> Address:
        """Where the server is."""
        return self._wire.server

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Any:
        """Make a call and return the JSON that it was answered with.

        Args:
            method: The HTTP method.
            path: The parts of the route below ``/api/v1``, unquoted.
            query: Parameters of the query; those that are None or False are left out.
            body: What is sent as JSON.
            headers: Sent beside the headers of every call.
            timeout_seconds: For a call that may take longer than others.

        Raises:
            DliError: What the server answered, as one of its kinds.
            ServerUnreachable: When there is no answer, or one that is not Basecamp's.
        """
        request = self._wire.request(method, path, query, body, headers)
        return self._wire.read(self._repeated(request, timeout_seconds or self._timeout))

    def _repeated(self, request: Request, timeout: float) -> Answer:
        for delay in pauses_before_repeats(request):
            try:
                return self._sent(request, timeout)
            except ConnectionBroken as broken:
                self._log(f"{request.method} {request.target}: {broken}; trying again")
                self._sleep(delay)
        try:
            return self._sent(request, timeout)
        except ConnectionBroken as broken:
            raise self._wire.unreachable(str(broken)) from broken

    def _sent(self, request: Request, timeout: float) -> Answer:
        """Send a request once, and keep the connection if it can be used again."""
        started = time.monotonic()
        deadline = Deadline(timeout)
        connection, self._connection = self._connection, None
        try:
            if connection is None:
                connection = Connection(self._wire.server, self._wire.proxy, self._environ, deadline)
            answer = connection.exchange(request, deadline)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, OSError) and not isinstance(error, ConnectionBroken):
                raise self._wire.unreachable(reason_of(error, timeout)) from error
            raise
        if connection.reusable:
            self._connection = connection
        else:
            connection.close()
        milliseconds = (time.monotonic() - started) * 1000
        self._log(f"{request.method} {request.target}: {answer.status} in {milliseconds:.0f} ms")
        return answer


def _ignore(_line: str) -> None:
    """Tell nobody."""
