"""HTTP to Airflow: timeouts, retries, credentials, and errors that say what to check."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

import httpx

from basecamp.airflow.authorization import Credentials, LoginAuth, Password, static_auth
from basecamp.airflow.deadline import deadline, keep_deadlines
from basecamp.outages.circuit_breaker import CircuitBreaker
from basecamp.outages.request_budget import call_within_budget
from dataspec.errors import AirflowUnreachable
from dataspec.store.call_budget import CallBudgetExceeded
from dataspec.store.http_date import read_http_date
from dataspec.tracing import HEADER, child_span, traceparent

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 3.0
RETRY_PAUSES_SECONDS = (0.2, 0.6)
PROBE_TIMEOUT_SECONDS = 2.0
MIN_BACK_OFF_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 1.5
"""Shorter than servers keep an idle connection (gunicorn 2 s, uvicorn 5 s), so that they rarely close one in use."""
MAX_BACK_OFF_SECONDS = 60.0
"""Upper bound of the back-off that Airflow can ask for with ``Retry-After``."""

UNKNOWN = "Whether Airflow did what it was asked for is not known."
_LOGIN_PATH = "/auth/token"
_REPEATABLE_METHODS = frozenset({"GET", "PUT", "PATCH"})
_TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})
"""500 as well: Airflow sends it when its database was locked for too long."""
_MAX_SHOWN_BODY = 300


@dataclass(frozen=True, slots=True)
class AirflowResponse:
    """The response to one request."""

    request: str
    """Method and address, without credentials and query."""
    status: int
    body: Any
    """Decoded JSON, or text; None for an expected error status and for an empty body."""
    repeated: bool = False
    """Whether an earlier attempt may have had the effect: its response was lost, or an error."""

    def read(self, reader: Callable[[Any], T]) -> T:
        """Return what a reader makes of the body.

        Raises:
            AirflowUnreachable: When the body has another shape than the reader expects.
        """
        try:
            return reader(self.body)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise AirflowUnreachable(
                "Airflow answered with something unexpected.",
                detail=f"{self.request}: {type(error).__name__}: {error}",
            ) from error


class AirflowRefused(AirflowUnreachable):
    """Airflow rejects Basecamp's credentials, or its user lacks a permission."""


class AirflowTransport:
    """Sends requests to one Airflow. Thread-safe.

    Repeatable requests are sent up to three times when Airflow can't be reached, the connection breaks (reset,
    closed while idle, cut within the response), or Airflow reports a transient error; other requests only when no
    connection was made, or when Airflow refused them unread (429). A timeout is not retried. The pause before a
    retry is the one that ``Retry-After`` asks for, if it fits into the timeout; otherwise this request fails, and so
    do all others until that time.
    While Airflow gives no answer, requests fail at once until a probe gets one.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        timeout_seconds: float = 10.0,
        observe: Callable[[str, str, float], None] = lambda _method, _outcome, _seconds: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Create the transport.

        Args:
            url: Airflow's address, without ``/api``.
            credentials: Basecamp's credentials.
            timeout_seconds: Time limit of one request.
            observe: Called after each request with method, outcome (status or ``unreachable``) and seconds.
            sleep: Waits between two attempts.
        """
        self.url = url
        self._credentials = credentials
        self._timeout_seconds = timeout_seconds
        self._observe = observe
        self._sleep = sleep
        self._breaker: CircuitBreaker[AirflowUnreachable] = CircuitBreaker("Airflow", self._answers)
        self._health_path = "/api/v2/monitor/health"
        self._dated: tuple[datetime, float] | None = None
        is_user = isinstance(credentials, Password)
        self._client = httpx.Client(
            base_url=url,
            auth=LoginAuth(self._log_in, _token_rejected) if is_user else static_auth(credentials),
            timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
            limits=httpx.Limits(
                max_connections=32, max_keepalive_connections=16, keepalive_expiry=KEEP_ALIVE_SECONDS
            ),
            event_hooks={"request": [_note_start], "response": [self._observe_response]},
        )
        keep_deadlines(self._client)

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
        repeatable: bool | None = None,
        text: bool = False,
    ) -> AirflowResponse:
        """Send a request; return a success, or one of the statuses in ``expect``.

        Args:
            method: The HTTP method.
            path: The path below Airflow's address.
            params: The query.
            json: The body.
            expect: Error statuses to return.
            repeatable: Whether sending it twice does no harm; by default GET, PUT and PATCH.
            text: Whether the body of a success is plain text, not JSON.

        Raises:
            AirflowRefused: When Airflow rejects the credentials, or the user lacks a permission.
            AirflowUnreachable: When there is no response, or one with another status.
        """
        accept = {"Accept": "text/plain" if text else "application/json"}
        request = self._client.build_request(method, path, params=params, json=json, headers=accept)
        request.extensions["repeatable"] = method in _REPEATABLE_METHODS if repeatable is None else repeatable
        response = self._answer(request, self._client.auth)
        if response.status_code not in expect and not response.is_success:
            raise self._unexpected(response)
        shown, repeated = _shown(response.request), bool(request.extensions.get("repeated"))
        if response.status_code in expect or not (text or response.content):
            return AirflowResponse(shown, response.status_code, None, repeated)
        try:
            body = response.text if text else response.json()
        except ValueError:
            raise AirflowUnreachable(
                "Airflow answered with something else than JSON.",
                detail=f"{shown} answered {response.headers.get('content-type')}. "
                "Is there a login page or another server at BASECAMP_AIRFLOW_URL?",
            ) from None
        return AirflowResponse(shown, response.status_code, body, repeated)

    def request_open(self, path: str) -> httpx.Response:
        """GET a page that needs no credentials; return the response, whatever its status."""
        return self._answer(self._client.build_request("GET", path), None)

    def speak_to_airflow_2(self) -> None:
        """Send credentials in Airflow 2's form from the next request on."""
        self._client.auth = static_auth(self._credentials)
        self._health_path = "/api/v1/health"

    def _answer(self, request: httpx.Request, auth: httpx.Auth | None) -> httpx.Response:
        """Return the response; give up when the time of Basecamp's own request is used up."""
        self._breaker.check()
        known = {"http.request.method": request.method, "server.address": request.url.host}
        with child_span(f"{request.method} Airflow", kind="client", attributes=known) as span:
            if span and (parent := traceparent()):
                request.headers[HEADER] = parent
            try:
                response = call_within_budget(lambda: self._send_retrying(request, auth))
            except CallBudgetExceeded:
                raise self._unreachable(request, httpx.ReadTimeout("")) from None
            if span:
                span.set_attribute("http.response.status_code", response.status_code)
            return response

    def _log_in(self) -> str:
        assert isinstance(self._credentials, Password)  # noqa: S101 - only a user logs in
        self._breaker.check()  # threads log in one after the other
        body = {"username": self._credentials.username, "password": self._credentials.password}
        request = self._client.build_request("POST", _LOGIN_PATH, json=body)
        request.extensions["repeatable"] = True
        response = self._send_retrying(request, None)
        if not response.is_success:
            raise self._unexpected(response)
        token = _json(response).get("access_token")
        if not isinstance(token, str):
            raise AirflowUnreachable(
                "Airflow gave no token.",
                detail=f"{_shown(response.request)} answered without 'access_token'.",
            )
        return token

    def _send_retrying(self, request: httpx.Request, auth: httpx.Auth | None) -> httpx.Response:
        until = time.monotonic() + self._timeout_seconds
        left = self._timeout_seconds
        pauses = iter(RETRY_PAUSES_SECONDS)
        while True:
            pause = next(pauses, None)
            try:
                with deadline(self._timeout_seconds):
                    response = self._client.send(request, auth=auth)
            except httpx.TransportError as error:
                self._observe(request.method, "unreachable", _seconds_since_start(request))
                if pause is None or not _may_resend(request, error) or time.monotonic() > until:
                    raise self._unreachable(request, error) from error
                self._sleep(pause)
                continue
            if pause is None or not _may_retry(response):
                return response
            wanted = max(pause, _retry_after(response))
            if wanted > left:
                return response
            left -= wanted
            self._sleep(wanted)

    def _answers(self) -> bool:
        """Return whether Airflow answers anything."""
        if self._client.is_closed:
            return True
        try:
            with deadline(PROBE_TIMEOUT_SECONDS):
                self._client.get(self._health_path, auth=None)
        except httpx.TransportError:
            return False
        return True

    def now(self) -> datetime | None:
        """Return Airflow's time by the ``Date`` of its last response, at most a second late; None before one."""
        if self._dated is None:
            return None
        date, at = self._dated
        return date + timedelta(seconds=time.monotonic() - at)

    def _observe_response(self, response: httpx.Response) -> None:
        response.read()
        if date := read_http_date(response.headers.get("Date", "")):
            self._dated = date, time.monotonic()
        seconds = _seconds_since_start(response.request)
        self._observe(response.request.method, str(response.status_code), seconds)

    def _unreachable(self, request: httpx.Request, error: httpx.TransportError) -> AirflowUnreachable:
        failure = AirflowUnreachable(
            "Airflow does not answer.",
            detail=f"{_shown(request)}: {_reason(error)}.\n"
            "Check that Airflow's API server is up, and BASECAMP_AIRFLOW_URL.",
        )
        if _is_repeatable(request) or isinstance(error, httpx.ConnectError | httpx.TimeoutException):
            # Not for a request that was sent once over a connection that broke: the next connection may work.
            self._breaker.open(failure)
        if not _may_have_acted(request, error):
            return failure
        return AirflowUnreachable(failure.title, detail=f"{failure.detail}\n{UNKNOWN}")

    def _too_many(self, response: httpx.Response, answer: str) -> AirflowUnreachable:
        pause = _retry_after(response)
        until = f"It wants no other request for {pause:.0f} s." if pause else "Wait a moment and try again."
        check = "Look for a limit on requests in front of Airflow's API server."
        failure = AirflowUnreachable("Airflow gets too many requests.", detail=f"{answer}\n{until} {check}")
        self._breaker.pause(failure, min(max(pause, MIN_BACK_OFF_SECONDS), MAX_BACK_OFF_SECONDS))
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


def _note_start(request: httpx.Request) -> None:
    request.extensions["started"] = time.monotonic()


def _seconds_since_start(request: httpx.Request) -> float:
    return time.monotonic() - float(request.extensions["started"])


def _may_have_acted(request: httpx.Request, error: httpx.TransportError) -> bool:
    """Say whether Airflow may have changed something by a request without a response."""
    unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return not unsent and request.method != "GET" and not request.url.path.endswith(_LOGIN_PATH)


def _may_resend(request: httpx.Request, error: httpx.TransportError) -> bool:
    """Say whether to send a request again whose response is missing; note if Airflow may have acted on it."""
    if isinstance(error, httpx.ConnectError):
        return True
    if isinstance(error, httpx.TimeoutException) or not _is_repeatable(request):
        return False
    request.extensions["repeated"] = True
    return True


def _may_retry(response: httpx.Response) -> bool:
    """Say whether the error is transient and repeating the request is harmless."""
    status, request = response.status_code, response.request
    if status == httpx.codes.CONFLICT:
        return request.method == "PATCH"  # a concurrent write of the same rows, such as a run's note
    if status in _TRANSIENT_STATUSES and _is_repeatable(request):
        request.extensions["repeated"] = True
        return True
    return status == httpx.codes.TOO_MANY_REQUESTS


def _is_repeatable(request: httpx.Request) -> bool:
    return bool(request.extensions.get("repeatable", request.method in _REPEATABLE_METHODS))


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds that ``Retry-After`` asks for, given as seconds or as a date; 0 without it."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    until = read_http_date(value)
    # Both are times of Airflow's clock, which may differ from ours.
    now = read_http_date(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds()) if until else 0.0


def _token_rejected(response: httpx.Response) -> bool:
    """Say whether a new token may help: this one expired, or was signed with another secret."""
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
    """Return the reason that Airflow gives, or else the start of the body."""
    detail = _json(response).get("detail")
    if isinstance(detail, dict):
        detail = detail.get("message") or detail.get("reason")
    return str(detail or response.text).strip()[:_MAX_SHOWN_BODY] or response.reason_phrase


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
