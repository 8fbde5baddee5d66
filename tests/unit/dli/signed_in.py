"""A real Basecamp with sign-in by tokens, and a person who approves logins on its page."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from basecamp.access.logins import PREFIX
from basecamp.access.principal import Grant, Principal, Role
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.authorization import Gate
from basecamp.server.sign_in import credentials_of
from basecamp.server.wiring import build_services
from basecamp.shared.clock import SystemClock
from dataspec.store import MemoryStore
from unit.dli.basecamp import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ADA = Principal(
    "ada", (Grant(Role.EDITOR, frozenset({"@data"})), Grant(Role.VIEWER)), "session", "issuer ada"
)


class SignedInServer:
    """The server, and what a test may do behind its back."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.store = MemoryStore()
        self.services = build_services(self.store, MemoryAirflow(now=self.clock.now), self.clock)
        self._server = Server()
        self._server._app.state.services = self.services
        self._server._app.state.gate = Gate(credentials_of(["tokens"], self.services))
        self.url = self._server.url

    @contextmanager
    def serving(self) -> Iterator[None]:
        self._server.start()
        try:
            yield
        finally:
            self._server.end()

    def token_of(self, person: Principal = ADA) -> str:
        """Return a token of a person, as a login makes it."""
        return self.services.tokens.mint_login(person, "laptop").text

    @property
    def pending(self) -> int:
        """The number of logins that have begun."""
        return len(list(self.store.list(PREFIX)))


@contextmanager
def deciding(server: SignedInServer, decide: Callable[[SignedInServer, str], object]) -> Iterator[list[str]]:
    """Have a person decide on each login once it has begun; yield the codes as they come."""
    codes: list[str] = []
    start = server.services.logins.start

    def starting(machine: str, address: str) -> object:
        started = start(machine, address)
        codes.append(started.user_code)
        thread = threading.Thread(target=_later, args=(server, started.user_code, decide), daemon=True)
        thread.start()
        return started

    server.services.logins.start = starting  # type: ignore[method-assign,assignment]
    try:
        yield codes
    finally:
        server.services.logins.start = start  # type: ignore[method-assign]


def _later(server: SignedInServer, code: str, decide: Callable[[SignedInServer, str], object]) -> None:
    time.sleep(0.1)
    decide(server, code)


def approve(server: SignedInServer, code: str) -> None:
    """Approve a login as Ada."""
    assert server.services.logins.approve(code, ADA)


def deny(server: SignedInServer, code: str) -> None:
    """Deny a login."""
    assert server.services.logins.deny(code, ADA)
