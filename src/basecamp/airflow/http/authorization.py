"""How requests to Airflow show who sends them: a token that is asked for, or the same words each time."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from basecamp.airflow.http.credentials import AirflowToken, Credentials, Password

Headers = dict[str, str]


class Authorisation(Protocol):
    """What a request carries."""

    def headers(self) -> Headers:
        """Return the headers for a request."""
        ...

    def renewed(self, rejected: Mapping[str, str]) -> Headers | None:
        """Return other headers in place of those that were rejected; None if there can be none."""
        ...


class Fixed:
    """The same headers with each request."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def headers(self) -> Headers:
        """Return the headers."""
        return self._headers

    def renewed(self, rejected: Mapping[str, str]) -> None:
        """Return None: there are no others."""


class LoggedIn:
    """A token of Airflow 3, asked for with a name and a password, and anew once it is too old.

    Args:
        log_in: Asks Airflow for a token.
    """

    def __init__(self, log_in: Callable[[], str]) -> None:
        self._log_in = log_in
        self._lock = threading.Lock()
        self._token: str | None = None

    def headers(self) -> Headers:
        """Return the headers, with a token that is asked for the first time."""
        return _bearer(self._token) if self._token else self._new(None)

    def renewed(self, rejected: Mapping[str, str]) -> Headers:
        """Log in, unless another thread has done so since the rejected headers were sent."""
        return self._new(rejected)

    def _new(self, rejected: Mapping[str, str] | None) -> Headers:
        with self._lock:
            if self._token is None or _bearer(self._token) == rejected:
                self._token = self._log_in()
            return _bearer(self._token)


def for_airflow_3(credentials: Credentials, log_in: Callable[[Password], str]) -> Authorisation:
    """Return what Airflow 3 takes: a bearer token."""
    if isinstance(credentials, Password):
        return LoggedIn(lambda: log_in(credentials))
    return Fixed(_token(credentials))


def for_airflow_2(credentials: Credentials) -> Authorisation:
    """Return what Airflow 2 takes: a name and a password each time, or the token of what stands before it."""
    if isinstance(credentials, Password):
        words = f"{credentials.username}:{credentials.password}".encode()
        return Fixed({"Authorization": f"Basic {base64.b64encode(words).decode()}"})
    return Fixed(_token(credentials))


def _token(credentials: Credentials) -> Headers:
    return _bearer(credentials.token) if isinstance(credentials, AirflowToken) else {}


def _bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}
