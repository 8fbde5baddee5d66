"""What is refused before a route sees it: foreign hosts, foreign pages, bodies that are too large."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from basecamp.api.problems import problem_response
from dataspec.errors import CrossOrigin, InvalidUsage

MAX_BODY_BYTES = 2 * 1024 * 1024
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class HostGuard:
    """Answers only requests that name one of the server's own hosts.

    A page on another site can point a name of its own at this machine (DNS rebinding); the
    browser then takes this server for that site, but still sends that name.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request for one of the hosts."""
        if scope["type"] != "http" or _hostname(Headers(scope=scope).get("host", "")) in self._hosts:
            await self._app(scope, receive, send)
            return
        error = InvalidUsage(
            "This server is not known by that host name.",
            detail=f"It listens on this machine alone. Use one of: {', '.join(sorted(self._hosts))}.",
        )
        await problem_response(error, status=421)(scope, receive, send)


class OriginGuard:
    """Refuses changes that a page of another site sends through somebody's browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request that changes nothing, or that comes from no page, or from a page of this server."""
        if scope["type"] != "http" or scope["method"] in _READING or _is_own(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        await problem_response(CrossOrigin())(scope, receive, send)


class BodyLimit:
    """Refuses bodies that are too large, before they are read whole."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request with its body, read whole."""
        if scope["type"] != "http" or scope["method"] in _READING:
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        body = await self._read(receive) if declared.isdigit() and int(declared) <= self._max_bytes else None
        if body is None:
            error = InvalidUsage(
                "The request is too large.", detail=f"At most {self._max_bytes // 1024:,} KiB are taken."
            )
            await problem_response(error, status=413, headers={"Connection": "close"})(scope, receive, send)
            return
        await self._app(scope, _replaying(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body, or None once it is too large."""
        chunks, size = [], 0
        while True:
            message = await receive()
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                return None
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)


def _replaying(body: bytes, receive: Receive) -> Receive:
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _is_own(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is None or _authority(origin) == headers.get("host", "").lower()


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
