"""Credentials for Airflow, and how requests carry them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Everyone:
    """No credentials: this Airflow accepts every request."""


@dataclass(frozen=True, slots=True)
class Password:
    """An Airflow user; on Airflow 3 exchanged for a token at ``/auth/token``."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AirflowToken:
    """A token that was issued elsewhere; Basecamp can't renew it."""

    token: str = field(repr=False)


Credentials = Everyone | Password | AirflowToken


class LoginAuth(httpx.Auth):
    """Sends an Airflow 3 token, requested at the first use and again when Airflow rejects it.

    Args:
        log_in: Requests a token from Airflow.
        is_rejected: Whether a response means that a new token may help.
    """

    requires_response_body = True

    def __init__(self, log_in: Callable[[], str], is_rejected: Callable[[httpx.Response], bool]) -> None:
        self._log_in = log_in
        self._is_rejected = is_rejected
        self._lock = threading.Lock()
        self._token: str | None = None

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with the token, and once more with a new one if Airflow rejects it."""
        token = self._token or self._renewed(None)
        response = yield _with_token(request, token)
        if self._is_rejected(response):
            yield _with_token(request, self._renewed(token))

    def _renewed(self, rejected: str | None) -> str:
        """Log in, unless another thread has replaced the rejected token already."""
        with self._lock:
            if self._token is None or self._token == rejected:
                self._token = self._log_in()
            return self._token


def static_auth(credentials: Credentials) -> Any:
    """Return httpx's ``auth`` for credentials that stay the same: a password as Airflow 2 takes it, or a token."""
    if isinstance(credentials, Password):
        return httpx.BasicAuth(credentials.username, credentials.password)
    if isinstance(credentials, AirflowToken):
        return lambda request: _with_token(request, credentials.token)
    return None


def _with_token(request: httpx.Request, token: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token}"
    return request
