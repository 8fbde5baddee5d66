"""Middleware: checks of host, origin and body size, and the request log."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Collection
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from basecamp.access.principal import UNKNOWN, open_principal, printable
from basecamp.api.problems import REQUEST_ID_HEADER, problem_response
from basecamp.api.public_paths import path_of
from basecamp.monitoring.metrics import Metrics
from basecamp.outages.request_budget import request_budget
from basecamp.services import Services
from basecamp.shared.clock import going_down
from basecamp.shared.public_address import PublicAddress, origin_of
from basecamp.shared.request_facts import REQUEST_ID
from dataspec.errors import CrossOrigin, InvalidUsage
from dataspec.tracing import HEADER, trace_span

log = logging.getLogger("basecamp.requests")

MAX_BODY_BYTES = 2 * 1024 * 1024
DROPPED_BODY_BYTES = 4 * MAX_BODY_BYTES
"""Of a body that is too large, so much is read and dropped: a client that still sends can't read the error."""
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]*)?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,100}")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEALTH = frozenset({"/healthz", "/readyz"})
_PROBES = _HEALTH | {"/metrics"}
"""Requested every few seconds by monitoring: logged at level DEBUG."""


class HostGuard:
    """Rejects requests for other host names than the server's own.

    Prevents DNS rebinding: a page of another site can point its own name at this machine, and the
    browser then treats this server as that site, but sends that name as the host.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], public: PublicAddress | None = None) -> None:
        self._app = app
        own = {*hosts, public.host} if public else hosts
        self._hosts = frozenset(host.lower() for host in own)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if its host is accepted."""
        if scope["type"] != "http" or self._is_accepted(scope):
            await self._app(scope, receive, send)
            return
        error = InvalidUsage(
            "This server does not accept this host name.",
            detail=f"Use one of: {', '.join(sorted(self._hosts))}. Behind a proxy, set BASECAMP_PUBLIC_URL on "
            "the server to the address that users open.",
        )
        await problem_response(error, status=421)(scope, receive, send)

    def _is_accepted(self, scope: Scope) -> bool:
        host = _hostname(Headers(scope=scope).get("host", ""))
        # A load balancer probes by address; no page can rebind an address.
        return host in self._hosts or (scope["path"] in _HEALTH and _is_address(host))


class OriginGuard:
    """Rejects changes that a page of another site sends through a user's browser.

    A browser names the origin of the page that sends a change. The server's own pages have the origin of
    its public URL or, on this machine, that of the host in the request. At the public host the public
    origin alone counts, with its scheme and port: others there are other sites.
    """

    def __init__(self, app: ASGIApp, *, public: PublicAddress | None = None) -> None:
        self._app = app
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if it is read-only, has no origin, or comes from a page of this server."""
        if scope["type"] != "http" or scope["method"] in _SAFE_METHODS or self._is_own(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        await problem_response(CrossOrigin())(scope, receive, send)

    def _is_own(self, headers: Headers) -> bool:
        given = headers.getlist("origin")
        if not given:
            return True
        origin, host, public = origin_of(given[0]), headers.get("host", "").lower(), self._public
        if origin is None or len(given) > 1:
            return False
        if public is not None and origin == public.origin:
            return True
        if public is not None and _hostname(host) == public.host and public.host not in LOOPBACK_HOSTS:
            return False
        return origin in {origin_of(f"http://{host}"), origin_of(f"https://{host}")}


class BodyLimit:
    """Rejects bodies that are too large; the largest without reading them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its complete body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        is_read = declared.isdigit() and int(declared) <= DROPPED_BODY_BYTES
        try:
            body = await self._read(receive) if is_read else None
        except ClientDisconnect:
            return  # a part of a request is not carried out
        if body is None:
            error = InvalidUsage(
                "The request is too large.", detail=f"The limit is {MAX_BODY_BYTES // 1024:,} KiB."
            )
            await problem_response(error, status=413, headers={"Connection": "close"})(scope, receive, send)
            return
        await self._app(scope, _replaying(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body; None if it exceeds the limit. Raises ClientDisconnect for one that ends too early."""
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= MAX_BODY_BYTES:
                chunks.append(chunk)
            if size > DROPPED_BODY_BYTES or not message.get("more_body", False):
                return b"".join(chunks) if size <= MAX_BODY_BYTES else None


def _replaying(body: bytes, receive: Receive) -> Receive:
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _hostname(host: str) -> str:
    parts = _HOST.fullmatch(host)
    return parts["name"].strip("[]").lower() if parts else ""


class RequestBudget:
    """Bounds the time that a request may wait for the store and Airflow, in sum."""

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a budget of its own."""
        services: Services = scope["app"].state.services
        with request_budget(services.work.clock.patience(self._seconds)):
            await self._app(scope, receive, send)


class LastRequests:
    """Answers the requests that are cut off when the server ends: repeat them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; if it is cancelled before its response has begun, answer 503."""
        begun = False

        async def send_noting_begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting_begin)
        except asyncio.CancelledError:
            if scope["type"] != "http" or begun:
                raise
            await problem_response(going_down(), headers={"Connection": "close"})(scope, receive, send)


class RequestIds:
    """Gives each request an id: the one that its caller or a proxy has sent, if it is sane, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and return its id in the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        number = sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        REQUEST_ID.set(number)  # for good: each request has a context of its own

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = number
            await send(message)

        await self._app(scope, receive, send_with_id)


class Traces:
    """Traces each request but probes, as a part of its caller's trace where it names one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on within a span, which ends with its route and its status."""
        if scope["type"] != "http" or path_of(scope) in _PROBES:
            await self._app(scope, receive, send)
            return
        method, parent = scope["method"], Headers(scope=scope).get(HEADER)
        known = {"http.request.method": method}
        with trace_span("basecamp", method, parent=parent, kind="server", attributes=known) as span:

            async def send_noting_status(message: Message) -> None:
                if span and message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            try:
                await self._app(scope, receive, send_noting_status)
            finally:
                route = getattr(scope.get("route"), "path", "unmatched")
                if span:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)


class RequestLog:
    """Logs and counts each request by route, status and duration; never its query, headers or body."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, has_sign_in: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._has_sign_in = has_sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log its result."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.monotonic()
        scope.setdefault("state", {})  # shared with the copies of the scope in which a route notes its caller

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            self._note(scope, status, time.monotonic() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.request(scope["method"], route, status, seconds)
        sent_path = scope.get("raw_path") or scope["path"].encode()
        path = sent_path.partition(b"?")[0].decode("ascii", "backslashreplace")
        level = logging.DEBUG if path_of(scope) in _PROBES and status < 400 else logging.INFO  # noqa: PLR2004
        client = scope["client"][0] if scope.get("client") else "-"
        milliseconds = seconds * 1000
        name = self._name(scope)
        log.log(
            level,
            "%s %s %d %.0fms %s %s",
            scope["method"],
            path,
            status,
            milliseconds,
            client,
            name,
            extra={
                "method": scope["method"],
                "path": path,
                "route": route,
                "status": status,
                "milliseconds": round(milliseconds, 1),
                "client": client,
                "user": name,
                "request_id": REQUEST_ID.get(),
            },
        )

    def _name(self, scope: Scope) -> str:
        """Return the name of the caller; without sign-in that of ``Dli-User``, also where no route has noted it."""
        if not self._has_sign_in:
            return open_principal(unquote(Headers(scope=scope).get("dli-user", ""))).name
        return printable(scope["state"].get("caller", UNKNOWN).name)
