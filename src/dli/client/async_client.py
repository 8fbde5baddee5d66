"""The asynchronous client, on httpx."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from dataspec.distribution import install_command
from dataspec.errors import DliError, InvalidSettings
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

try:
    import anyio
    import httpx
except ModuleNotFoundError as error:
    raise InvalidSettings(
        "AsyncClient needs a library that is not installed.",
        detail=f"{error.name} is missing. Install it with: {install_command('async')}",
    ) from error

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from dli.client.addresses import Address
    from dli.client.protocol import Request

P = ParamSpec("P")
T = TypeVar("T")


def _method(steps: Callable[P, Steps[T]]) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    """Return a method that performs the steps and returns their result."""

    @wraps(steps)
    async def method(client: AsyncClient, /, *arguments: P.args, **options: P.kwargs) -> T:
        async for result in client._perform(steps(*arguments, **options)):  # noqa: B007, SLF001 - the last one; a method of it
            pass
        return result

    return method


def _iterator(steps: Callable[P, Steps[T | None]]) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    """Return a method that yields each item of the steps as it comes."""

    @wraps(steps)
    async def method(client: AsyncClient, /, *arguments: P.args, **options: P.kwargs) -> AsyncIterator[T]:
        async for item in client._perform(steps(*arguments, **options)):  # noqa: SLF001 - a method of it
            if item is not None:
                yield item

    return method


class AsyncClient:
    """Talks to a Basecamp server from asyncio; many tasks may use one client side by side.

    .. code-block:: python

        async with AsyncClient("http://127.0.0.1:8800") as client:
            run = await client.start_run("sales.daily", {"execution_date": "2024-01-15"})
            run = await client.wait(run.run_id)

    The methods, models, errors and arguments are those of :class:`~dli.client.client.Client`.
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
        self._transport = AsyncTransport(
            server_url, token=token, user=user, timeout_seconds=timeout_seconds, log=log, warn=warn
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._transport.close()

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

    async def _perform(self, steps: Steps[T]) -> AsyncIterator[T]:
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
                    proceed = partial(steps.send, await self._transport.call(step))
                except DliError as error:
                    proceed = partial(steps.throw, error)
            elif isinstance(step, Pause):
                await anyio.sleep(step.seconds)
            else:
                yield step.value


class AsyncTransport:
    """Sends requests to one server, side by side where tasks do so.

    It takes the same arguments as :class:`~dli.client.client.Transport`, and repeats requests alike.
    """

    def __init__(
        self,
        server_url: str | None = None,
        *,
        token: str | None = None,
        user: str | None = None,
        timeout_seconds: float = 30.0,
        environ: Mapping[str, str] = os.environ,
        log: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.endpoint = Endpoint(
            server_url, token=token, user=user, timeout_seconds=timeout_seconds, environ=environ, warn=warn
        )
        self._log = log
        self._http = httpx.AsyncClient(
            # Without TLS there is nothing to verify, and a context takes 20 ms to make.
            verify=tls_context(environ) if self.endpoint.server.scheme == "https" else False,
            proxy=_proxy(self.endpoint.proxy),
            trust_env=False,
            timeout=None,  # noqa: S113 - a deadline holds for the whole exchange instead
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, call: Call) -> Any:
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
                with anyio.fail_after(request.timeout_seconds):
                    response = await self._exchange(request)
            except OSError as error:
                delay = next(delays, None) if isinstance(error, ConnectionBroken) else None
                if delay is None:
                    raise self.endpoint.failed(error, request) from error
                self._say(f"{request.method} {request.target}: {error}; trying again")
                await anyio.sleep(delay)
            else:
                milliseconds = (time.monotonic() - started) * 1000
                self._say(f"{request.method} {request.target}: {response.status} in {milliseconds:.0f} ms")
                return self.endpoint.read(response)

    async def _exchange(self, request: Request) -> Response:
        """Send a request once.

        Raises:
            ConnectionBroken: When the connection ended before the whole response arrived.
            InvalidResponse: When the response is not HTTP, or too large.
            OSError: When the connection can't be made.
        """
        server = self.endpoint.server
        url = f"{server.scheme}://{server.authority}{request.target}"
        sent = self._http.build_request(request.method, url, headers=request.headers, content=request.body)
        try:
            response = await self._http.send(sent, stream=True)
            try:
                body = await _body(response)
            finally:
                await response.aclose()
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise _cause(error) from error
        except httpx.RemoteProtocolError as error:
            if "disconnected" in str(error) or "incomplete" in str(error):
                raise ConnectionBroken("the connection ended without an answer") from error
            raise InvalidResponse(f"the answer is not HTTP ({error})") from error
        except httpx.TransportError as error:
            raise ConnectionBroken(str(error) or "the connection was reset") from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, response.reason_phrase, headers, body)

    def _say(self, line: str) -> None:
        if self._log is not None:
            self._log(line)


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise InvalidResponse(f"the answer is larger than {MAX_RESPONSE_BYTES // 1024**2} MiB")
    return bytes(body)


def _proxy(address: Address | None) -> httpx.Proxy | None:
    if address is None:
        return None
    headers = {"Proxy-Authorization": address.basic} if address.basic else None
    return httpx.Proxy(f"http://{address.host_in_url}:{address.port}", headers=headers)


def _cause(error: BaseException) -> OSError:
    """Return the system's error behind one of httpx's: it says what is wrong."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
            continue
        if isinstance(found, ConnectionError) and found.errno:
            return OSError(found.errno, os.strerror(found.errno))
        if isinstance(found, OSError) and found.errno is not None:
            return found
        found = found.__cause__ or found.__context__
    return OSError(str(error))
