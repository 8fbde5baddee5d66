"""The networks between a replica and its store or Airflow: they pass, break and hold back requests, by a seed."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from random import Random
from typing import Any, Literal

from http_proxy import Fault, Handler, Proxy, Request, answer, cut_short, hang_up, proxy, swallow

Weather = Literal["calm", "flaky", "hangs", "unavailable", "refuses"]

WEATHERS: dict[Weather, int] = {"calm": 5, "flaky": 7, "hangs": 1, "unavailable": 1, "refuses": 1}
"""The states of a network, and how often each is chosen."""
FLAKY_SHARE = 0.25
HELD_SECONDS = 30.0
"""The longest time for which a request is held back before it reaches the server."""
MARK = re.compile(rb"request-\d+")


@dataclass(frozen=True, slots=True)
class Write:
    """A successful PUT of an object, with the mark of the client's request in it."""

    at: float
    key: str
    mark: str


class RecordingHandler(Handler):
    """Hands a request on, and keeps which client's specs the store accepted."""

    def __init__(self, writes: list[Write], request: Any, client_address: Any, server: Proxy) -> None:
        self._writes = writes
        super().__init__(request, client_address, server)

    def ask_server(self) -> tuple[int, dict[str, str], bytes]:
        found = super().ask_server()
        mark = MARK.search(self.request_body)
        if self.command == "PUT" and found[0] == HTTPStatus.OK and mark and "/manual/" in self.path:
            self._writes.append(Write(time.monotonic(), self.path.partition("?")[0], mark[0].decode()))
        return found


class Network:
    """The way from a replica to one server.

    Attributes:
        writes: The specs that were stored through it.
        counted: The requests, by what happened to them.
    """

    def __init__(self, name: str, through: Proxy, random: Random) -> None:
        self.name = name
        self.writes: list[Write] = []
        self.counted: Counter[str] = Counter()
        self.weather: Weather = "calm"
        self._proxy = through
        self._random = random
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._away = ExitStack()
        through.rule = self._rule
        through.RequestHandlerClass = partial(RecordingHandler, self.writes)

    @property
    def url(self) -> str:
        """The address that the replica uses."""
        return self._proxy.url

    def change(self, weather: Weather) -> None:
        """Set what happens to requests from now on; requests that hang are dropped."""
        self._away.close()
        self._changed.set()
        self._changed = threading.Event()
        self.weather = weather
        if weather == "refuses":
            self._away.enter_context(self._proxy.away())

    def _rule(self, _: Request) -> Fault | None:
        with self._lock:
            kind = self._kind()
            self.counted[kind] += 1
            seconds = self._random.uniform(1, HELD_SECONDS)
        return self._fault(kind, seconds)

    def _kind(self) -> str:
        match self.weather:
            case "hangs":
                return "hung"
            case "unavailable":
                return "answered 503"
            case "flaky" if self._random.random() < FLAKY_SHARE:
                return self._random.choice(FLAKY_KINDS)
        return "passed"

    def _fault(self, kind: str, seconds: float) -> Fault | None:
        match kind:
            case "hung":
                return self._hang
            case "held back":
                return lambda handler: hold(handler, seconds)
            case _:
                return FAULTS[kind]

    def _hang(self, handler: Handler) -> None:
        self._changed.wait(HELD_SECONDS)
        handler.close_connection = True


def hold(handler: Handler, seconds: float) -> None:
    """Hand the request on later, also where the client no longer waits for the answer."""
    handler.server.ended.wait(seconds)
    handler.reply(*handler.ask_server())


def reset(handler: Handler) -> None:
    """Let the server act, send half of its answer, then reset the connection."""
    status, headers, body = handler.ask_server()
    handler.reply(status, headers, body, sent=len(body) // 2)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


FAULTS: dict[str, Fault | None] = {
    "passed": None,
    "answered 503": answer(503, "Service Unavailable"),
    "dropped": hang_up,
    "answer lost": swallow,
    "answer cut": cut_short,
    "reset": reset,
}
FLAKY_KINDS = ("answered 503", "dropped", "answer lost", "answer cut", "reset", "held back", "hung")


@contextmanager
def network(name: str, behind: str, random: Random) -> Iterator[Network]:
    """Start a network to the server at an address."""
    with proxy(behind) as through:
        way = Network(name, through, random)
        try:
            yield way
        finally:
            way.change("calm")
