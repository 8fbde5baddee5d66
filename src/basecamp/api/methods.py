"""HTTP methods: HEAD wherever GET is, and which methods an address has."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ROUTED = ("GET", "POST", "PUT", "PATCH", "DELETE")


class HeadRequests:
    """Answers HEAD as GET without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a HEAD request on as GET, and the headers of its response back."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # A copy: the web server itself must know the method.
        inner: Scope = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send_without_body)
        finally:
            scope["route"] = inner.get("route")


def allowed_methods(request: Request) -> list[str]:
    """Return the methods that the address of a request has; none if there is no such address."""
    scope = {key: request.scope[key] for key in ("type", "path", "root_path", "headers")}
    found = [
        method
        for method in _ROUTED
        if any(
            route.matches({**scope, "method": method})[0] is Match.FULL for route in request.app.router.routes
        )
    ]
    if not found:
        return []
    return [*found, *(["HEAD"] if "GET" in found else []), "OPTIONS"]
