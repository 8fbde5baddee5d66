"""The synchronous client, on ``http.client``."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
    RemoteDisconnected,
)
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from dataspec.errors import DliError
from dli.client import calls, logins
from dli.client.protocol import (
    MAX_RESPONSE_BYTES,
    Call,
    ConnectionBroken,
    Endpoint,
    InvalidResponse,
    Pause,
    Response,
    Steps,
    tls_context,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from _typeshed import WriteableBuffer

    from dli.client.protocol import Request

P = ParamSpec("P")
T = TypeVar("T")

_CHUNK = 256 * 1024


def _method(steps: Callable[P, Steps[T]]) -> Callable[Concatenate[Client, P], T]:
    """Return a method that performs the steps and returns their result."""

    @wraps(steps)
    def method(client: Client, /, *arguments: P.args, **options: P.kwargs) -> T:
        return deque(client._perform(steps(*arguments, **options)), maxlen=1).pop()  # noqa: SLF001 - a method of it

    return method


def _iterator(steps: Callable[P, Steps[T | None]]) -> Callable[Concatenate[Client, P], Iterator[T]]:
    """Return a method that yields each item of the steps as it comes."""

    @wraps(steps)
    def method(client: Client, /, *arguments: P.args, **options: P.kwargs) -> Iterator[T]:
        performed = client._perform(steps(*arguments, **options))  # noqa: SLF001 - a method of it
        return (item for item in performed if item is not None)

    return method


class Client:
    """Talks to a Basecamp server; use it from one thread at a time.

    .. code-block:: python

        with Client("http://127.0.0.1:8800") as client:
            run = client.start_run("sales.daily", {"execution_date": "2024-01-15"})
            run = client.wait(run.run_id)

    Every method raises a subclass of :class:`~dataspec.errors.DliError`:
    :class:`~dataspec.errors.ServerUnreachable` without a response, else the error in the response. The methods
    are described in :mod:`~dli.client.calls`; :class:`~dli.client.async_client.AsyncClient` has the same ones.

    Args:
        server_url: The server's address; ``DLI_SERVER_URL``, or this machine's port 8800, if not given.
        token: The token for the server; that in ``DLI_TOKEN`` if no server is given either. It goes to this server
            alone, and without TLS only to this machine.
        user: The user's name for notes and logs.
        timeout_seconds: The time limit of a call.
        log: Called with one line for each request.
        warn: Called with each warning of a single item, such as that Airflow did not respond
            and how old the data is; a list has its warnings in ``warnings``.
    """

    def __init__(
        self,
        server_url: str | None = None,
        *,
        token: str | None = None,
        user: str | None = None,
        timeout_seconds: float = 30.0,
        log: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._transport = Transport(
            server_url, token=token, user=user, timeout_seconds=timeout_seconds, log=log, warn=warn
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to the server."""
        self._transport.close()

    list_workflows = _method(calls.list_workflows)
    get_workflow = _method(calls.get_workflow)
    explain_partition = _method(calls.explain_partition)
    get_graph = _method(calls.get_graph)
    pause = _method(calls.pause)
    unpause = _method(calls.unpause)
    sync = _method(calls.sync)
    start_run = _method(calls.start_run)
    preview_run = _method(calls.preview_run)
    list_runs = _method(calls.list_runs)
    get_run = _method(calls.get_run)
    follow_run = _iterator(calls.follow_run)
    wait = _method(calls.wait)
    stop_run = _method(calls.stop_run)
    get_log = _method(calls.get_log)
    follow_log = _iterator(calls.follow_log)
    retry_run = _method(calls.retry_run)
    start_backfill = _method(calls.start_backfill)
    preview_backfill = _method(calls.preview_backfill)
    get_backfill = _method(calls.get_backfill)
    follow_backfill = _iterator(calls.follow_backfill)
    wait_backfill = _method(calls.wait_backfill)
    list_backfills = _method(calls.list_backfills)
    stop_backfill = _method(calls.stop_backfill)
    list_audit_entries = _method(calls.list_audit_entries)
    test_notifications = _method(calls.test_notifications)
    list_datasets = _method(calls.list_datasets)
    get_dataset = _method(calls.get_dataset)
    get_lineage = _method(calls.get_lineage)
    register = _method(calls.register)
    update = _method(calls.update)
    unregister = _method(calls.unregister)
    get_versions = _method(calls.get_versions)
    list_versions = _method(calls.list_versions)
    get_version = _method(calls.get_version)
    rollback = _method(calls.rollback)
    validate = _method(calls.validate)
    begin_login = _method(logins.begin_login)
    finish_login = _method(logins.finish_login)
    logout = _method(logins.logout)
    whoami = _method(logins.whoami)

    def _perform(self, steps: Steps[T]) -> Iterator[T]:
        """Perform the steps of a method: yield each item that they show, then their result."""
        proceed: Callable[[], Any] = partial(next, steps)
        while True:
            try:
                step = proceed()
            except StopIteration as end:
                yield end.value
                return
            proceed = partial(next, steps)
            if isinstance(step, Call):
                try:
                    proceed = partial(steps.send, self._transport.call(step))
                except DliError as error:
                    proceed = partial(steps.throw, error)
            elif isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                yield step.value


class Transport:
    """Sends requests to one server over a connection that is kept open.

    A request that may be repeated is sent again after a broken connection; a server that can't be reached at all
    is reported at once.

    Args:
        server_url: As in :class:`Client`, like the arguments that are not described here.
        environ: The variables that name the server, proxies and certificates.
        sleep: Waits between retries.
    """

    def __init__(
        self,
        server_url: str | None = None,
        *,
        token: str | None = None,
        user: str | None = None,
        timeout_seconds: float = 30.0,
        environ: Mapping[str, str] = os.environ,
        sleep: Callable[[float], None] = time.sleep,
        log: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.endpoint = Endpoint(
            server_url, token=token, user=user, timeout_seconds=timeout_seconds, environ=environ, warn=warn
        )
        self._sleep = sleep
        self._log = log or _ignore
        self._connection = _connection(self.endpoint, environ)
        server, proxied = self.endpoint.server, self.endpoint.proxy and self.endpoint.server.scheme == "http"
        self._base = f"http://{server.authority}" if proxied else ""

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        self._connection.close()

    def call(self, call: Call) -> Any:
        """Make a call and return the JSON of its response.

        Raises:
            DliError: The error that the server responded with.
            ServerUnreachable: Without a response, or without one of Basecamp's.
        """
        request = self.endpoint.request(call)
        delays = iter(request.retry_delays)
        while True:
            started = time.monotonic()
            try:
                response = self._exchange(request, started + request.timeout_seconds)
            except OSError as error:
                delay = next(delays, None) if isinstance(error, ConnectionBroken) else None
                if delay is None:
                    raise self.endpoint.failed(error, request) from error
                self._log(f"{request.method} {request.target}: {error}; trying again")
                self._sleep(delay)
            else:
                milliseconds = (time.monotonic() - started) * 1000
                self._log(f"{request.method} {request.target}: {response.status} in {milliseconds:.0f} ms")
                return self.endpoint.read(response)

    def _exchange(self, request: Request, deadline: float) -> Response:
        """Send a request once, and close the connection if that fails.

        Raises:
            ConnectionBroken: When the connection ended before the whole response arrived.
            InvalidResponse: When the response is not HTTP, or too large.
            TimeoutError: When the deadline passed.
            OSError: When the connection can't be made.
        """
        connection = self._connection
        connection.response_class = partial(_TimedResponse, deadline=deadline)  # type: ignore[assignment]
        try:
            if connection.sock is None:
                self._connect(_remaining(deadline))
            connection.sock.settimeout(_remaining(deadline))
            # A server that refuses a request may close before it has read it all; its response says why.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(request.method, self._base + request.target, request.body, request.headers)
            return _received(connection)
        except BaseException:
            connection.close()
            raise

    def _connect(self, seconds: float) -> None:
        """Open the connection, in a tunnel through the proxy for ``https``."""
        self._connection.timeout = seconds
        try:
            self._connection.connect()
        except RemoteDisconnected as error:
            raise ConnectionBroken("the connection ended without an answer") from error
        except HTTPException as error:
            raise InvalidResponse(f"the proxy {self.endpoint.proxy} answered nothing to CONNECT") from error
        except OSError as error:
            _, refused, status = str(error).partition("Tunnel connection failed: ")
            if refused:
                reason = f"the proxy {self.endpoint.proxy} answered {status.split()[0]} to CONNECT"
                raise InvalidResponse(reason) from error
            raise


class _TimedResponse(HTTPResponse):
    """A response whose every read ends at the deadline of the call."""

    def __init__(self, stream: socket.socket, *arguments: Any, deadline: float, **options: Any) -> None:
        timed: Any = _TimedStream(stream, deadline)
        super().__init__(timed, *arguments, **options)
        self._timed: _TimedStream = timed

    def begin(self) -> None:
        """Read the status and the headers; skip informational responses such as Early Hints.

        Raises:
            IncompleteRead: When the connection ended within them, which the library takes for their end.
        """
        try:
            super().begin()
            while self.status < 200:  # noqa: PLR2004 - informational
                self.headers = None  # type: ignore[assignment] # makes the library read the next ones
                super().begin()
        except BadStatusLine as error:
            if self._timed.ended and not isinstance(error, RemoteDisconnected):
                raise IncompleteRead(b"") from error
            raise
        if self._timed.ended:
            raise IncompleteRead(b"")


class _TimedStream(RawIOBase):
    """The bytes that a socket receives until a deadline."""

    def __init__(self, stream: socket.socket, deadline: float) -> None:
        self._socket = stream
        self._raw = stream.makefile("rb", buffering=0)
        self._deadline = deadline
        self.ended = False

    def makefile(self, _mode: str) -> BufferedReader:
        """Return a buffered reader, as ``http.client`` gets it from a socket."""
        return BufferedReader(self, _CHUNK)

    def readable(self) -> bool:
        """Return True: the stream can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Receive bytes.

        Raises:
            TimeoutError: When the deadline passed.
        """
        self._socket.settimeout(_remaining(self._deadline))
        received = self._raw.readinto(buffer)
        self.ended = received == 0
        return received

    def close(self) -> None:
        """Release the socket, which is closed with its last reader."""
        self._raw.close()
        super().close()


def _connection(endpoint: Endpoint, environ: Mapping[str, str]) -> HTTPConnection:
    """Return a connection, not yet open, to the server or to its proxy."""
    server, proxy = endpoint.server, endpoint.proxy
    near = proxy or server
    if server.scheme == "http":
        return HTTPConnection(near.host, near.port)
    connection = HTTPSConnection(near.host, near.port, context=tls_context(environ))
    if proxy:
        headers = {"Host": f"{server.host_in_url}:{server.port}"}
        if proxy.basic:
            headers["Proxy-Authorization"] = proxy.basic
        connection.set_tunnel(server.host, server.port, headers)
    return connection


def _received(connection: HTTPConnection) -> Response:
    """Return the whole response; the connection is closed unless it may be used again."""
    try:
        head = connection.getresponse()
        body = head.read(MAX_RESPONSE_BYTES + 1)
    except RemoteDisconnected as error:
        raise ConnectionBroken("the connection ended without an answer") from error
    except IncompleteRead as error:
        raise ConnectionBroken("the connection ended in the middle of the answer") from error
    except HTTPException as error:
        raise InvalidResponse(f"the answer is not HTTP ({error})") from error
    except ConnectionError as error:
        raise ConnectionBroken("the connection was reset") from error
    if len(body) > MAX_RESPONSE_BYTES:
        raise InvalidResponse(f"the answer is larger than {MAX_RESPONSE_BYTES // 1024**2} MiB")
    if head.length:  # bytes that are missing: read() with a limit does not raise for them
        raise ConnectionBroken("the connection ended in the middle of the answer")
    headers = {name.lower(): value for name, value in head.getheaders()}
    return Response(head.status, head.reason, headers, body)


def _remaining(deadline: float) -> float:
    """Return the seconds until a deadline.

    Raises:
        TimeoutError: When it has passed.
    """
    if (seconds := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return seconds


def _ignore(_line: str) -> None:
    """Log nothing."""
