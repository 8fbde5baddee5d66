"""One line for each request in the log, and its count in the metrics."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from basecamp.api.dependencies import caller_name
from basecamp.monitoring.metrics import Metrics

log = logging.getLogger("basecamp.requests")

_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""What machines ask for every few seconds is logged for debugging alone."""


class Observing:
    """Logs and counts each request with its route, status and time; never its query, headers or body."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and write down how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.monotonic()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._note(scope, status, time.monotonic() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.request(scope["method"], route, status, seconds)
        path = (
            (scope.get("raw_path") or scope["path"].encode())
            .partition(b"?")[0]
            .decode("ascii", "backslashreplace")
        )
        level = logging.DEBUG if scope["path"] in _QUIET and status < 400 else logging.INFO  # noqa: PLR2004
        client = scope["client"][0] if scope.get("client") else "-"
        milliseconds = seconds * 1000
        log.log(
            level,
            "%s %s %d %.0fms %s %s",
            scope["method"],
            path,
            status,
            milliseconds,
            client,
            caller_name(scope),
        )
