"""Calls to Basecamp's API: JSON there and back, retries, and errors of our own kinds."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from dataspec.errors import InternalError, ServerUnreachable
from dli.addresses import parse_address
from dli.connection import Answer, Connection, ConnectionBroken, Deadline, NotUnderstood, Request
from dli.proxies import proxy_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RETRY_DELAYS_SECONDS = (0.1, 0.4, 1.0)
"""The pauses before a call whose connection broke is sent again."""

_PREFIX = "/api/v1"
_REPEATABLE = {"GET", "PUT", "DELETE"}


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
        self.server = parse_address(server_url)
        self._proxy = proxy_for(self.server, environ)
        self._timeout = timeout_seconds
        self._headers = {"User-Agent": "dli", "Accept": "application/json", **(headers or {})}
        self._environ = environ
        self._sleep = sleep
        self._log = log or _ignore
        self._warn = warn or _ignore
        self._connection: Connection | None = None

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
        request = self._request(method, path, query or {}, body, headers or {})
        answer = self._repeated(request, timeout_seconds or self._timeout)
        return self._decoded(answer)

    def _request(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> Request:
        target = "/".join((self.server.path + _PREFIX, *(quote(part, safe="") for part in path)))
        given = {k: _text(value) for k, value in query.items() if value is not None and value is not False}
        if given:
            target += "?" + urlencode(given)
        all_headers = {**self._headers, **headers}
        if self.server.basic:
            all_headers["Authorization"] = self.server.basic
        if self._proxy is not None and self._proxy.basic and self.server.scheme == "http":
            all_headers["Proxy-Authorization"] = self._proxy.basic
        payload = b""
        if body is not None:
            all_headers["Content-Type"] = "application/json"
            payload = json.dumps(body).encode()
        return Request(method, target, tuple(all_headers.items()), payload)

    def _repeated(self, request: Request, timeout: float) -> Answer:
        repeatable = request.method in _REPEATABLE or any(n == "Idempotency-Key" for n, _ in request.headers)
        delays = RETRY_DELAYS_SECONDS if repeatable else ()
        for delay in delays:
            try:
                return self._sent(request, timeout)
            except ConnectionBroken as broken:
                self._log(f"{request.method} {request.target}: {broken}; trying again")
                self._sleep(delay)
        try:
            return self._sent(request, timeout)
        except ConnectionBroken as broken:
            raise self._unreachable(str(broken)) from broken

    def _sent(self, request: Request, timeout: float) -> Answer:
        """Send a request once, and keep the connection if it can be used again."""
        started = time.monotonic()
        deadline = Deadline(timeout)
        connection, self._connection = self._connection, None
        try:
            if connection is None:
                connection = Connection(self.server, self._proxy, self._environ, deadline)
            answer = connection.exchange(request, deadline)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, OSError) and not isinstance(error, ConnectionBroken):
                raise self._unreachable(_reason(error, timeout)) from error
            raise
        if connection.reusable:
            self._connection = connection
        else:
            connection.close()
        milliseconds = (time.monotonic() - started) * 1000
        self._log(f"{request.method} {request.target}: {answer.status} in {milliseconds:.0f} ms")
        return answer

    def _decoded(self, answer: Answer) -> Any:
        kind = answer.headers.get("content-type", "no content type").partition(";")[0]
        status = f"{answer.status} {answer.reason}".strip()
        if answer.status >= 400:  # noqa: PLR2004 - HTTP errors begin here
            from dli.problem_documents import error_from

            raise error_from(answer.status, answer.body) or self._foreign(answer.status, status)
        if answer.status >= 300:  # noqa: PLR2004 - redirections
            raise self._unreachable(f"it redirects to {answer.headers.get('location', 'nowhere')}")
        if warning := answer.headers.get("dli-warning"):
            self._warn(warning)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise self._unreachable(f"answered {status} with {kind}, which is not Basecamp's") from error

    def _foreign(self, status: int, shown: str) -> Exception:
        """Return the error for an answer that holds no problem document."""
        if status == 500:  # noqa: PLR2004 - the server's own failure, not a proxy's
            return InternalError(
                "The server failed.", detail=f"{self.server} answered {shown}. Its log says why."
            )
        return self._unreachable(f"answered {shown}, which is not Basecamp's")

    def _unreachable(self, reason: str) -> ServerUnreachable:
        through = f" through the proxy {self._proxy}" if self._proxy else ""
        return ServerUnreachable(
            f"{self.server}{through}: {reason}\nStart one with: basecamp dev, or set DLI_SERVER_URL"
        )


def _ignore(_line: str) -> None:
    """Tell nobody."""


def _text(value: Any) -> str:
    return "true" if value is True else str(value)


def _reason(error: OSError, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, NotUnderstood):
        return str(error)
    reason = getattr(error, "verify_message", None) or error.strerror or str(error)
    return f"{reason[0].lower()}{reason[1:]}" if reason else type(error).__name__
