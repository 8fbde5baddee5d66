"""The calls of signing in and out: the login of a machine that a person approves on the page."""

from __future__ import annotations

from time import monotonic

from dataspec.errors import Unavailable
from dataspec.models import Identity, LoginCode, LoginResult
from dli.client.polling import SHORTEST_PAUSE_SECONDS
from dli.client.protocol import Call, Pause, Steps, decode

LONGEST_PAUSE_SECONDS = 30.0
"""The longest pause between two fetches of a login's result, whatever the server asks for."""


def begin_login(machine: str) -> Steps[LoginCode]:
    """Start a login; a person then approves its code on the server's page.

    Args:
        machine: The name of this machine, which the page shows.

    Raises:
        NoSignIn: When the server has no sign-in.
    """
    return decode(LoginCode, (yield Call("POST", ("logins",), body={"machine": machine})))


def finish_login(login: LoginCode) -> Steps[LoginResult]:
    """Wait until a person approves or denies a login, and return its result; a server that is away is tolerated.

    Args:
        login: The login.
    """
    ends = monotonic() + login.expires_in
    while monotonic() < ends:
        yield Pause(min(max(login.interval, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS))
        try:
            answer = yield Call("POST", ("logins", "token"), body={"device_code": login.device_code})
        except Unavailable:
            continue
        result = decode(LoginResult, answer)
        if result.status != "pending":
            return result
    return LoginResult(status="expired")


def whoami() -> Steps[Identity]:
    """Return how the server knows the caller, and their roles."""
    return decode(Identity, (yield Call("GET", ("whoami",))))


def logout() -> Steps[None]:
    """Revoke the token of this client."""
    yield Call("POST", ("logout",))
