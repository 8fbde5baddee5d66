"""Paths under the prefix of the public URL, and redirects that stay at the address of the user."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LEAVES = "basecamp.leaves"


class OutsideRedirect(RedirectResponse):
    """A redirect to another server, by GET: to the provider at which users sign in."""

    def __init__(self, address: str) -> None:
        super().__init__(address, status_code=303)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the redirect with its host."""
        scope[_LEAVES] = True
        await super().__call__(scope, receive, send)


class PublicPaths:
    """Gives each request the path prefix of the public URL, and keeps redirects relative.

    A proxy may pass the prefix on or remove it, and may pass the host on or replace it: a redirect that
    names a host would lead users to the one that the proxy sends. Only an OutsideRedirect keeps its host.
    """

    def __init__(self, app: ASGIApp, *, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the prefix, and remove the host from a redirect."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_relative(message: Message) -> None:
            if message["type"] == "http.response.start" and _has_location(message):
                headers = MutableHeaders(scope=message)
                if urlsplit(address := headers["location"]).scheme and _LEAVES not in scope:
                    # With one slash at its start: two would name another host.
                    headers["location"] = "/" + address.split("/", 3)[3].lstrip("/")
            await send(message)

        scope["root_path"] = self._prefix
        if not f"{scope['path']}/".startswith(f"{self._prefix}/"):
            scope["path"] = self._prefix + scope["path"]
        await self._app(scope, receive, send_relative)


def _has_location(message: Message) -> bool:
    return any(name == b"location" for name, _ in message.get("headers", ()))


def path_of(scope: Scope) -> str:
    """Return a request's path without the prefix."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
