"""Basecamp's API over HTTP, free of I/O: from a call to a request, from a response to a model or an error."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import quote, urlencode

from dataspec.errors import InternalError, InvalidSettings, ServerUnreachable
from dataspec.tracing import HEADER, traceparent
from dli.client.addresses import DEFAULT_SERVER_URL, check_token_is_safe, parse_address, proxy_for

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

RETRY_DELAYS_SECONDS = (0.1, 0.4, 1.0)
"""The pauses before a call whose connection broke is sent again."""
MAX_RESPONSE_BYTES = 256 * 1024 * 1024

TOKEN = "DLI_TOKEN"  # noqa: S105 - the name of a variable
"""The variable with the token for the server in ``DLI_SERVER_URL``."""

_PREFIX = "/api/v1"
_REPEATABLE = {"GET", "PUT", "DELETE"}

T = TypeVar("T")


class Call(NamedTuple):
    """One request to the API, and the time limit of its response."""

    method: str
    path: tuple[str, ...]
    """The parts of the route below ``/api/v1``, unquoted."""
    query: Mapping[str, Any] = {}
    """Parameters of the query; None and False are left out."""
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = {}
    timeout_seconds: float | None = None
    """The time limit; that of the client if not given."""
    more_seconds: float = 0
    """Time added to the limit, because the call asks the server to wait."""


class Pause(NamedTuple):
    """A wait before the next call."""

    seconds: float


class Item(NamedTuple):
    """A result to show before the last one."""

    value: Any


Steps: TypeAlias = Generator[Call | Pause | Item, Any, T]
"""What a client does for a method: it sends each call and passes its JSON back, waits at each pause, shows each
item, and returns the result. ``Unavailable`` is raised inside, where polling tolerates it."""


class ConnectionBroken(OSError):
    """The connection ended before the whole response arrived; the server may have acted."""


class InvalidResponse(OSError):
    """The response is not HTTP, or too large."""


class Request(NamedTuple):
    """An HTTP request; ``target`` is the path with the query."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None
    retry_delays: tuple[float, ...]
    """The pauses before it is sent again if the connection breaks; none for a request that may not be repeated."""
    timeout_seconds: float

    def __repr__(self) -> str:
        return f"Request({self.method} {self.target})"  # the headers may have a token


class Response(NamedTuple):
    """An HTTP response; names of headers are in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


class Endpoint:
    """One server: builds its requests, reads its responses.

    Args:
        server_url: The server's address; ``DLI_SERVER_URL``, or this machine's port 8800, if not given.
        token: The token for the server; that in ``DLI_TOKEN`` if neither is given.
        user: The user's name for notes and logs.
        timeout_seconds: The time limit of a call that has none of its own.
        environ: The variables that name the server, the token and the proxy.
        warn: Called with each warning of a response, such as how old its data is.
    """

    def __init__(
        self,
        server_url: str | None,
        *,
        token: str | None,
        user: str | None,
        timeout_seconds: float,
        environ: Mapping[str, str],
        warn: Callable[[str], None] | None,
    ) -> None:
        self.server = parse_address(server_url or environ.get("DLI_SERVER_URL") or DEFAULT_SERVER_URL)
        self.proxy = proxy_for(self.server, environ)
        if token is None and server_url is None and not self.server.credentials:
            token = environ.get(TOKEN)  # the caller names no server: both are those of the environment
        self._timeout = timeout_seconds
        self._warn = warn
        self._headers = {"User-Agent": "dli", "Accept": "application/json"}
        if user:
            # Percent-encoded, because a header is plain ASCII.
            self._headers["Dli-User"] = quote(user, safe=" @.+-_")
        if self.server.basic:
            self._headers["Authorization"] = self.server.basic
        if token := (token or "").strip():  # a line end of the file that it was read from
            self._check_token(token, environ)
            self._headers["Authorization"] = f"Bearer {token}"
        if self.proxy and self.proxy.basic and self.server.scheme == "http":
            self._headers["Proxy-Authorization"] = self.proxy.basic

    def _check_token(self, token: str, environ: Mapping[str, str]) -> None:
        """Refuse a token that is malformed, and a server that it must not go to.

        Raises:
            InvalidSettings: Never with the token.
        """
        if not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidSettings(
                "The token is not valid: it has a space, a line end or another character that no token has.",
                detail="Copy it again, in one line.",
            )
        check_token_is_safe(self.server, environ)
        if self.server.basic:
            raise InvalidSettings(
                f"There are two credentials for {self.server}: a token, and a user in its address.",
                detail="Leave one out.",
            )

    def request(self, call: Call) -> Request:
        """Return the HTTP request of a call."""
        target = "/".join((self.server.path + _PREFIX, *(quote(part, safe="") for part in call.path)))
        query = {
            key: "true" if value is True else value
            for key, value in call.query.items()
            if value is not None and value is not False
        }
        if query:
            target += "?" + urlencode(query)
        headers = {**self._headers, **call.headers}
        if parent := traceparent():
            headers[HEADER] = parent
        body = None
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(call.body, default=encode).encode()
        repeatable = call.method in _REPEATABLE or "Idempotency-Key" in headers
        delays = RETRY_DELAYS_SECONDS if repeatable else ()
        seconds = (call.timeout_seconds or self._timeout) + call.more_seconds
        return Request(call.method, target, headers, body, delays, seconds)

    def read(self, response: Response) -> Any:
        """Return the JSON of a response.

        Raises:
            DliError: The error that the server responded with.
            ServerUnreachable: When the response is not Basecamp's.
        """
        kind = response.headers.get("content-type", "no content type").partition(";")[0]
        status = f"{response.status} {response.reason}".strip()
        if response.status >= 400:  # noqa: PLR2004 - HTTP errors begin here
            from dli.client.responses import error_from

            raise error_from(response.status, response.body) or self._foreign(response.status, status)
        if response.status >= 300:  # noqa: PLR2004 - redirections
            raise self.unreachable(f"it redirects to {response.headers.get('location', 'nowhere')}")
        if self._warn and (warning := response.headers.get("dli-warning")):
            self._warn(warning)
        try:
            return json.loads(response.body)
        except ValueError as error:
            raise self.unreachable(f"answered {status} with {kind}, which is not Basecamp's") from error

    def unreachable(self, reason: str) -> ServerUnreachable:
        """Return the error for a server without a response, or without one of Basecamp's."""
        through = f" through the proxy {self.proxy}" if self.proxy else ""
        return ServerUnreachable(
            f"{self.server}{through}: {reason}\nStart one with: basecamp dev, or set DLI_SERVER_URL"
        )

    def failed(self, error: OSError, request: Request) -> ServerUnreachable:
        """Return the error for a request that failed."""
        if isinstance(error, TimeoutError):
            return self.unreachable(f"no answer within {request.timeout_seconds:g} s")
        if isinstance(error, ConnectionBroken | InvalidResponse):
            return self.unreachable(str(error))
        reason = getattr(error, "verify_message", None) or error.strerror or str(error)
        return self.unreachable(f"{reason[0].lower()}{reason[1:]}" if reason else type(error).__name__)

    def _foreign(self, status: int, shown: str) -> Exception:
        """Return the error for a response without a problem document."""
        if status == 500:  # noqa: PLR2004 - the server's own failure, not a proxy's
            return InternalError(
                "The server failed.", detail=f"{self.server} answered {shown}. Its log says why."
            )
        return self.unreachable(f"answered {shown}, which is not Basecamp's")


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context that trusts the system's certificates, or those that a variable names.

    OpenSSL itself reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``; ``REQUESTS_CA_BUNDLE`` and
    ``CURL_CA_BUNDLE`` are read by most tools around Airflow.
    """
    import ssl

    variable = next((name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if environ.get(name)), None)
    context = ssl.create_default_context()
    if variable is None or environ.get("SSL_CERT_FILE"):
        return context
    bundle = environ[variable]
    try:
        if Path(bundle).is_dir():
            context.load_verify_locations(capath=bundle)
        else:
            context.load_verify_locations(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSettings(f"Can't read the certificates that {variable} names: {bundle}") from error
    return context


def new_key() -> str:
    """Return a new idempotency key; ``uuid`` would cost every command 4 ms to import."""
    return os.urandom(16).hex()


def decode(kind: type[T], data: Any) -> T:
    """Return an object of the API as its dataclass; fields that this version does not know are ignored.

    Raises:
        InternalError: When a field is missing or has another type, as between versions.
    """
    try:
        known, readers = _fields(kind)  # type: ignore[arg-type] # a class can be hashed
        values = data if data.keys() <= known else {name: data[name] for name in data if name in known}
        read = {name: reader(values[name]) for name, reader in readers if values.get(name) is not None}
        return kind(**{**values, **read})
    except (AttributeError, TypeError, ValueError) as error:
        raise unreadable(f"{kind.__name__}: {error}") from error


def unreadable(reason: str) -> InternalError:
    """Return the error for a response of another shape."""
    title = "The server's answer can't be read; its version may not fit this one."
    return InternalError(title, detail=reason)


def encode(value: Any) -> Any:
    """Return a value that ``json`` can't write as plain data: the ``default`` of ``json.dumps``."""
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


@cache
def _fields(kind: type[Any]) -> tuple[frozenset[str], tuple[tuple[str, Callable[[Any], Any]], ...]]:
    """Return the names of a class's fields, and a reader for each type that JSON lacks."""
    hints = get_type_hints(kind)
    names = frozenset(field.name for field in fields(kind))
    readers = ((name, _reader(hints[name])) for name in sorted(names))
    return names, tuple((name, read) for name, read in readers if read is not None)


def _reader(hint: Any) -> Callable[[Any], Any] | None:
    for kind in (hint, *get_args(hint)):
        if kind is datetime:
            return _time
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind
        if isinstance(kind, type) and is_dataclass(kind):
            read = partial(decode, kind)
            return partial(_each, read) if get_origin(hint) is list else read
    return None


def _each(read: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    return [read(item) for item in items]


def _time(value: str) -> datetime:
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError(f"the time {value} has no offset")
    return time
