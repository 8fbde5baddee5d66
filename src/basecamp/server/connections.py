"""Limits of connections: how many there are, and how long a client may take (docs/server.md, "Connections").

uvicorn closes a connection only after a response, when the client is idle. It has no time limit for the head of a
request, its body, or a client that does not read, and no bound on open connections.
"""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from basecamp.api.security_headers import SECURITY_HEADERS

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 2000
SHARE_OF_FILES = 0.75
"""The share of the process's files that connections may use; the rest is for the store, Airflow and child processes."""
TAKEN_BYTES = 64 * 1024
"""How much of a response a client must take within the time limit for it."""
FOUND_AT_ONCE = 100
"""How many waiting connections one search finds: a search for each new connection would take all of the server's time."""

OUR_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
"""For the two responses that no application makes."""
NO_PLACE = b"\r\n".join(
    [
        b"HTTP/1.1 503 Service Unavailable",
        *(b"%s: %s" % header for header in OUR_HEADERS),
        b"retry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    ]
)

Phase = Literal["head", "idle", "body", "response", "work"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The number of connections, and the seconds that a client has for each phase of one."""

    connections: int
    head: float = 10
    """For the head of a request, since the connection was made or the head's first byte came."""
    body: float = 60
    """For the body of a request."""
    response: float = 30
    """For each 64 KiB of a response that the client takes."""
    idle: float = 75
    """Between a response and the next request."""
    work: float = math.inf
    """While the server works on a request."""

    @classmethod
    def of_process(cls) -> ConnectionLimits:
        """Return the limits for the files that the process may have open, after raising their number."""
        return cls(connections=min(MAX_CONNECTIONS, int(_raise_file_limit() * SHARE_OF_FILES)))


Waiting = tuple[object, float, "LimitedConnection"]


class LimitedConnection(H11Protocol):
    """A connection that ends when its client takes too long, or when a new connection needs its place."""

    def __init__(
        self, limits: ConnectionLimits, waiting: deque[Waiting], *, config: Config, **uvicorn: Any
    ) -> None:
        super().__init__(config, **uvicorn)
        self._limits = limits
        self._waiting = waiting
        """Those that the connections of a server close next, with their request and time."""
        self._seen: tuple[Phase, int, object] = ("head", 0, None)
        self.since = time.monotonic()
        """When this phase was first seen."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, if there is a free place or a client that sends no request."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections and not self._make_room():
            transport.write(NO_PLACE)
            transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        headers = [*OUR_HEADERS, (b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (response, h11.Data(data=msg.encode()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def end_if_late(self) -> None:
        """Close the connection if its client has used up the time for this phase."""
        seen, now = self._state(), time.monotonic()
        if seen != self._seen:
            self._seen, self.since = seen, now
        elif now - self.since > getattr(self._limits, seen[0]):
            self.transport.abort()

    def _state(self) -> tuple[Phase, int, object]:
        """Return the phase, the progress of the response, and the request, to see whether anything has changed."""
        unsent = self.transport.get_write_buffer_size()
        return self._phase(unsent), unsent // TAKEN_BYTES, self.cycle

    def _phase(self, unsent: int) -> Phase:
        if unsent:
            return "response"
        if self.cycle is None or (self.cycle.response_complete and self.conn.trailing_data[0]):
            return "head"
        if self.cycle.response_complete:
            return "idle"
        return "body" if self.cycle.more_body else "work"

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for a request; first one that never sent any."""
        return self._close_next() or (self._find_waiting() and self._close_next())

    def _close_next(self) -> bool:
        """Close the next of the connections that were found waiting, unless a request came since."""
        while self._waiting:
            cycle, since, other = self._waiting.popleft()
            if other.is_waiting and (other.cycle, other.since) == (cycle, since):
                other.transport.abort()
                return True
        return False

    def _find_waiting(self) -> bool:
        """Find the connections that have waited longest; many at once, since it takes milliseconds."""
        others = [other for other in self.connections if isinstance(other, LimitedConnection)]
        waiting = [other for other in others if other is not self and other.is_waiting]
        waiting.sort(key=lambda other: (other.cycle is not None, other.since))
        self._waiting.extend((other.cycle, other.since, other) for other in waiting[:FOUND_AT_ONCE])
        return bool(self._waiting)

    @property
    def is_waiting(self) -> bool:
        """Whether it is open and the server waits for a request."""
        return not self.transport.is_closing() and self._state()[0] in {"head", "idle"}


def end_late_connections(state: ServerState) -> None:
    """Close the connections whose clients take too long; to be called every second."""
    for connection in list(state.connections):
        if isinstance(connection, LimitedConnection):
            connection.end_if_late()


def log_accept_errors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log in one line that no connection can be accepted; asyncio tries again after a second."""
    if "socket.accept()" in context["message"]:
        log.warning("No connection can be accepted: %s", context.get("exception"))
    else:
        loop.default_exception_handler(context)


def _raise_file_limit() -> int:
    """Raise the number of files that the process may have open as far as it may, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS allows less than its hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else MAX_CONNECTIONS * 2
