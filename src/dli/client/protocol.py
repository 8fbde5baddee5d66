"""What goes over the wire: the request that a call becomes, and what an answer means. Free of I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from dataspec.errors import InternalError, ServerUnreachable
from dli.client.addresses import parse_address
from dli.client.connection import Answer, NotUnderstood, Request
from dli.client.decoding import encode
from dli.client.proxies import proxy_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RETRY_DELAYS_SECONDS = (0.1, 0.4, 1.0)
"""The pauses before a call whose connection broke is sent again."""

_PREFIX = "/api/v1"
_REPEATABLE = {"GET", "PUT", "DELETE"}


class Wire:
    """One server, as requests and answers.

    Args:
        server_url: The server's address, such as ``http://127.0.0.1:8800``.
        headers: Sent with every call.
        environ: Where proxies are named.
        warn: Told of each warning that comes beside an answer, such as how old it is.
    """

    def __init__(
        self,
        server_url: str,
        *,
        headers: Mapping[str, str] | None,
        environ: Mapping[str, str],
        warn: Callable[[str], None] | None,
    ) -> None:
        self.server = parse_address(server_url)
        self.proxy = proxy_for(self.server, environ)
        self._headers = {"User-Agent": "dli", "Accept": "application/json", **(headers or {})}
        self._warn = warn

    def request(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        """Return the request for a route; parameters that are None or False are left out of the query."""
        target = "/".join((self.server.path + _PREFIX, *(quote(part, safe="") for part in path)))
        given = {k: _text(v) for k, v in (query or {}).items() if v is not None and v is not False}
        if given:
            target += "?" + urlencode(given)
        all_headers = {**self._headers, **(headers or {})}
        if self.server.basic:
            all_headers["Authorization"] = self.server.basic
        if self.proxy is not None and self.proxy.basic and self.server.scheme == "http":
            all_headers["Proxy-Authorization"] = self.proxy.basic
        payload = b""
        if body is not None:
            all_headers["Content-Type"] = "application/json"
            payload = json.dumps(body, default=encode).encode()
        return Request(method, target, tuple(all_headers.items()), payload)

    def read(self, answer: Answer) -> Any:
        """Return the JSON of an answer.

        Raises:
            DliError: What the server answered, as one of its kinds.
            ServerUnreachable: When the answer is not Basecamp's.
        """
        kind = answer.headers.get("content-type", "no content type").partition(";")[0]
        status = f"{answer.status} {answer.reason}".strip()
        if answer.status >= 400:  # noqa: PLR2004 - HTTP errors begin here
            from dli.client.problem_documents import error_from

            raise error_from(answer.status, answer.body) or self._foreign(answer.status, status)
        if answer.status >= 300:  # noqa: PLR2004 - redirections
            raise self.unreachable(f"it redirects to {answer.headers.get('location', 'nowhere')}")
        if self._warn and (warning := answer.headers.get("dli-warning")):
            self._warn(warning)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise self.unreachable(f"answered {status} with {kind}, which is not Basecamp's") from error

    def unreachable(self, reason: str) -> ServerUnreachable:
        """Return the error for a server that gives no answer, or none that is Basecamp's."""
        through = f" through the proxy {self.proxy}" if self.proxy else ""
        return ServerUnreachable(
            f"{self.server}{through}: {reason}\nStart one with: basecamp dev, or set DLI_SERVER_URL"
        )

    def _foreign(self, status: int, shown: str) -> Exception:
        """Return the error for an answer that holds no problem document."""
        if status == 500:  # noqa: PLR2004 - the server's own failure, not a proxy's
            return InternalError(
                "The server failed.", detail=f"{self.server} answered {shown}. Its log says why."
            )
        return self.unreachable(f"answered {shown}, which is not Basecamp's")


def pauses_before_repeats(request: Request) -> tuple[float, ...]:
    """Return after which pauses a request is sent again whose connection broke; none if it may not be."""
    keyed = any(name == "Idempotency-Key" for name, _ in request.headers)
    return RETRY_DELAYS_SECONDS if keyed or request.method in _REPEATABLE else ()


def reason_of(error: OSError, timeout: float) -> str:
    """Return why there is no answer, as a part of a sentence."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, NotUnderstood):
        return str(error)
    reason = getattr(error, "verify_message", None) or error.strerror or str(error)
    return f"{reason[0].lower()}{reason[1:]}" if reason else type(error).__name__


def _text(value: Any) -> str:
    return "true" if value is True else str(value)
