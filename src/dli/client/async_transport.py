"""Calls to Basecamp's API from asynchronous code, over httpx."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from dli.client.connection import MAX_ANSWER_BYTES, Answer, ConnectionBroken, NotUnderstood, tls_context
from dli.client.protocol import Wire, pauses_before_repeats, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dli.client.addresses import Address
    from dli.client.call import Call
    from dli.client.connection import Request


class AsyncTransport:
    """Sends calls to one server, side by side where they are made so.

    It repeats calls as :class:`~dli.client.transport.Transport` does, and takes the same arguments.
    """

    def __init__(
        self,
        server_url: str,
        *,
        timeout_seconds: float = 30.0,
        headers: Mapping[str, str] | None = None,
        environ: Mapping[str, str] = os.environ,
        log: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._wire = Wire(server_url, headers=headers, environ=environ, warn=warn)
        self._timeout = timeout_seconds
        self._log = log
        secure = self._wire.server.scheme == "https"
        self._http = httpx.AsyncClient(
            # Without TLS there is nothing to verify, and a context takes 20 ms to make.
            verify=tls_context(environ) if secure else False,
            proxy=_proxy(self._wire.proxy),
            trust_env=False,
            timeout=None,  # noqa: S113 - a deadline holds for the whole exchange instead
        )

    @property
    def server(self) -> Address:
        """Where the server is."""
        return self._wire.server

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, call: Call) -> Any:
        """Make a call and return the JSON that it was answered with.

        Raises:
            DliError: What the server answered, as one of its kinds.
            ServerUnreachable: When there is no answer, or one that is not Basecamp's.
        """
        request = self._wire.request(call.method, call.path, call.query, call.body, call.headers)
        return self._wire.read(await self._repeated(request, call.seconds(self._timeout)))

    async def _repeated(self, request: Request, seconds: float) -> Answer:
        for delay in pauses_before_repeats(request):
            try:
                return await self._sent(request, seconds)
            except ConnectionBroken as broken:
                self._say(f"{request.method} {request.target}: {broken}; trying again")
                await anyio.sleep(delay)
        try:
            return await self._sent(request, seconds)
        except ConnectionBroken as broken:
            raise self._wire.unreachable(str(broken)) from broken

    async def _sent(self, request: Request, seconds: float) -> Answer:
        started = time.monotonic()
        try:
            with anyio.fail_after(seconds):
                answer = await self._exchange(request)
        except ConnectionBroken:
            raise
        except OSError as error:
            raise self._wire.unreachable(reason_of(error, seconds)) from error
        milliseconds = (time.monotonic() - started) * 1000
        self._say(f"{request.method} {request.target}: {answer.status} in {milliseconds:.0f} ms")
        return answer

    async def _exchange(self, request: Request) -> Answer:
        """Send a request once.

        Raises:
            ConnectionBroken: When the connection ended first.
            OSError: When it can't be made, or what came back is no answer.
        """
        server = self._wire.server
        url = f"{server.scheme}://{server.authority}{request.target}"
        sent = self._http.build_request(
            request.method, url, headers=list(request.headers), content=request.body
        )
        try:
            answer = await self._http.send(sent, stream=True)
            try:
                body = await _body(answer)
            finally:
                await answer.aclose()
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise _cause(error) from error
        except httpx.RemoteProtocolError as error:
            if "disconnected" in str(error) or "incomplete" in str(error):
                raise ConnectionBroken("the connection ended without an answer") from error
            raise NotUnderstood(f"the answer is not HTTP ({error})") from error
        except httpx.TransportError as error:
            raise ConnectionBroken(str(error) or "the connection was reset") from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status_code, answer.reason_phrase, headers, body)

    def _say(self, line: str) -> None:
        if self._log is not None:
            self._log(line)


async def _body(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise NotUnderstood(f"the answer is larger than {MAX_ANSWER_BYTES // 1024**2} MiB")
    return bytes(body)


def _proxy(address: Address | None) -> httpx.Proxy | None:
    if address is None:
        return None
    headers = {"Proxy-Authorization": address.basic} if address.basic else None
    return httpx.Proxy(f"http://{address.host_in_url}:{address.port}", headers=headers)


def _cause(error: BaseException) -> OSError:
    """Return the system's own error behind one of httpx's: it says what is wrong."""
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
