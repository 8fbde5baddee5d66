"""HTTP to Airflow: timeouts, retries, the token, and errors that say what to check."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self, TypeVar

import httpx

from basecamp.airflow.http.authorization import for_airflow_2, for_airflow_3
from basecamp.airflow.http.credentials import Credentials, Password
from dataspec.errors import AirflowUnreachable

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 3.0
RETRY_PAUSES_SECONDS = (0.2, 0.6)
FAIL_FAST_SECONDS = 1.0
"""How long after a failure no other request is sent, so that what needs several fails only once."""
LONGEST_SILENCE_SECONDS = 60.0
"""How long at most no request is sent because Airflow asked for fewer, whatever it asked for."""

_SAFE_METHODS = frozenset({"GET", "PUT", "PATCH"})
_PASSING_TROUBLE = frozenset({500, 502, 503, 504})
"""Airflow answers 500 as well where its database was locked for too long."""
_SHOWN_BODY = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What Airflow answered to a request."""

    request: str
    status: int
    body: Any
    """The JSON, as Python has it, or the text; None for an error that was expected, and where nothing came."""

    def read(self, reader: Callable[[Any], T]) -> T:
        """Return what a reader makes of the body.

        Raises:
            AirflowUnreachable: When the body is not what the reader expects.
        """
        try:
            return reader(self.body)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise AirflowUnreachable(
                "Airflow answered with something unexpected.",
                detail=f"{self.request}: {type(error).__name__}: {error}",
            ) from error


class AirflowRefused(AirflowUnreachable):
    """Airflow does not accept Basecamp's credentials, or gives its user too few rights."""


class AirflowTransport:
    """Sends requests to one Airflow. Safe to share between threads.

    A request that can be repeated without harm is sent up to three times when Airflow
    can't be reached or is in passing trouble; any other only when it never left this
    machine, or was turned away (429) unread. The pause before the next try is the one that
    Airflow asks for, where that fits into the timeout; else the request fails at once, and
    so does any other until that time.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        timeout_seconds: float = 10.0,
        observe: Callable[[str, str, float], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make the transport.

        Args:
            url: Airflow's address, without ``/api``.
            credentials: Who Basecamp is to Airflow.
            timeout_seconds: How long one answer may take.
            observe: Told of each request: method, outcome (a status, or ``unreachable``), seconds.
            sleep: Waits between two tries.
        """
        self.url = url
        self._credentials = credentials
        self._timeout_seconds = timeout_seconds
        self._observe = observe
        self._sleep = sleep
        self._failure: tuple[float, AirflowUnreachable] | None = None
        self._authorisation = for_airflow_3(credentials, self._log_in)
        self._client = httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        expect: frozenset[int] = frozenset(),
    ) -> Answer:
        """Send a request and return its answer: a success, or one of the statuses in ``expect``.

        Raises:
            AirflowRefused: When the credentials are not accepted, or don't suffice.
            AirflowUnreachable: When there is no answer, or any other than was expected.
        """
        response = self._authorised(method, path, params, json, "application/json")
        if response.status_code in expect:
            return Answer(_shown(response.request), response.status_code, None)
        if not response.is_success:
            raise self._unexpected(response)
        if not response.content:
            return Answer(_shown(response.request), response.status_code, None)
        try:
            return Answer(_shown(response.request), response.status_code, response.json())
        except ValueError:
            raise AirflowUnreachable(
                "Airflow answered with something else than JSON.",
                detail=f"{_shown(response.request)} answered {response.headers.get('content-type')}. "
                "Is there a login page or another server at BASECAMP_AIRFLOW_URL?",
            ) from None

    def request_text(self, path: str, *, params: Mapping[str, Any], expect: frozenset[int]) -> Answer:
        """GET a page of plain text; its answer is that, or one of the statuses in ``expect``.

        Raises:
            AirflowRefused: When the credentials are not accepted, or don't suffice.
            AirflowUnreachable: When there is no answer, or any other than was expected.
        """
        response = self._authorised("GET", path, params, None, "text/plain")
        if response.status_code not in expect and not response.is_success:
            raise self._unexpected(response)
        body = response.text if response.is_success else None
        return Answer(_shown(response.request), response.status_code, body)

    def request_open(self, path: str) -> httpx.Response:
        """GET a page that asks for no credentials; return its answer, whatever it is."""
        return self._send_retrying("GET", path, None, None, {})

    def speak_to_airflow_2(self) -> None:
        """Show who asks as Airflow 2 wants it, from the next request on."""
        self._authorisation = for_airflow_2(self._credentials)

    def _authorised(
        self, method: str, path: str, params: Mapping[str, Any] | None, json: Any, accept: str
    ) -> httpx.Response:
        own, shown = {"Accept": accept}, self._authorisation.headers()
        response = self._send_retrying(method, path, params, json, own | shown)
        if _token_rejected(response) and (renewed := self._authorisation.renewed(shown)) is not None:
            response = self._send_retrying(method, path, params, json, own | renewed)
        return response

    def _log_in(self, credentials: Password) -> str:
        body = {"username": credentials.username, "password": credentials.password}
        response = self._send_retrying("POST", "/auth/token", None, body, {})
        if not response.is_success:
            raise self._unexpected(response)
        token = _json(response).get("access_token")
        if not isinstance(token, str):
            raise AirflowUnreachable(
                "Airflow gave no token.",
                detail=f"{_shown(response.request)} answered without 'access_token'.",
            )
        return token

    def _send_retrying(
        self, method: str, path: str, params: Mapping[str, Any] | None, json: Any, headers: Mapping[str, str]
    ) -> httpx.Response:
        request = self._client.build_request(method, path, params=params, json=json, headers=headers or None)
        self._fail_fast()
        left = self._timeout_seconds
        for pause in RETRY_PAUSES_SECONDS:
            try:
                response = self._send(request)
            except httpx.ConnectError:
                self._sleep(pause)
                continue
            except httpx.TransportError as error:
                raise self._unreachable(request, error) from error
            wanted = max(pause, _asked_pause(response))
            if not _may_be_sent_again(response) or wanted > left:
                return response
            left -= wanted
            self._sleep(wanted)
        try:
            return self._send(request)
        except httpx.TransportError as error:
            raise self._unreachable(request, error) from error

    def _fail_fast(self) -> None:
        if self._failure is not None and time.monotonic() < self._failure[0]:
            title, detail = self._failure[1].title, self._failure[1].detail
            raise AirflowUnreachable(title, detail=detail)

    def _send(self, request: httpx.Request) -> httpx.Response:
        started, outcome = time.monotonic(), "unreachable"
        try:
            response = self._client.send(request)
            outcome = str(response.status_code)
        finally:
            if self._observe is not None:
                self._observe(request.method, outcome, time.monotonic() - started)
        return response

    def _unreachable(self, request: httpx.Request, error: httpx.TransportError) -> AirflowUnreachable:
        failure = AirflowUnreachable(
            "Airflow does not answer.",
            detail=f"{_shown(request)}: {_reason(error)}.\n"
            "Check that Airflow's API server is up, and BASECAMP_AIRFLOW_URL.",
        )
        self._failure = time.monotonic() + FAIL_FAST_SECONDS, failure
        return failure

    def _too_many(self, response: httpx.Response, answer: str) -> AirflowUnreachable:
        asked = _asked_pause(response)
        until = f"It wants no other request for {asked:.0f} s." if asked else "Wait a moment and try again."
        check = "Look for a limit on requests in front of Airflow's API server."
        failure = AirflowUnreachable("Airflow gets too many requests.", detail=f"{answer}\n{until} {check}")
        silence = min(max(asked, FAIL_FAST_SECONDS), LONGEST_SILENCE_SECONDS)
        self._failure = time.monotonic() + silence, failure
        return failure

    def _unexpected(self, response: httpx.Response) -> AirflowUnreachable:
        answer = f"{_shown(response.request)}: {response.status_code} {_explained(response)}"
        if _token_rejected(response):
            check = (
                "Check BASECAMP_AIRFLOW_USERNAME and BASECAMP_AIRFLOW_PASSWORD, or BASECAMP_AIRFLOW_TOKEN."
            )
            return AirflowRefused(
                "Airflow does not accept Basecamp's credentials.", detail=f"{answer}\n{check}"
            )
        if response.status_code == httpx.codes.FORBIDDEN:
            check = "Basecamp's user needs to read, trigger, edit and pause DAGs: Airflow's role Op."
            return AirflowRefused(
                "Airflow does not allow Basecamp's user to do this.", detail=f"{answer}\n{check}"
            )
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return self._too_many(response, answer)
        return AirflowUnreachable("Airflow answered with an error.", detail=answer)


def _may_be_sent_again(response: httpx.Response) -> bool:
    """Say whether an answer tells of trouble that passes, and the request has done nothing or may do it twice."""
    status, method = response.status_code, response.request.method
    if status == httpx.codes.CONFLICT:
        return method == "PATCH"  # another one wrote the same rows, such as a run's note, at this moment
    return status == httpx.codes.TOO_MANY_REQUESTS or (status in _PASSING_TROUBLE and method in _SAFE_METHODS)


def _asked_pause(response: httpx.Response) -> float:
    """Return the seconds after which a server wants the next request: ``Retry-After``, seconds or a date."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _token_rejected(response: httpx.Response) -> bool:
    """Say whether a new token may help: this one is too old, or was signed with another secret."""
    if response.status_code == httpx.codes.FORBIDDEN:
        return "Invalid JWT" in str(_json(response).get("detail"))
    return response.status_code == httpx.codes.UNAUTHORIZED


def _shown(request: httpx.Request) -> str:
    return f"{request.method} {request.url.copy_with(username=None, password=None, query=None)}"


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error).strip().rstrip(".") or type(error).__name__


def _explained(response: httpx.Response) -> str:
    """Return the reason that Airflow gives, or the beginning of whatever it sent."""
    detail = _json(response).get("detail")
    if isinstance(detail, dict):
        detail = detail.get("message") or detail.get("reason")
    return str(detail or response.text).strip()[:_SHOWN_BODY] or response.reason_phrase


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
