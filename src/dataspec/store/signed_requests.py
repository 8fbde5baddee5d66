"""Requests to an S3 server as signed URLs, which expire: obstore signs, urllib3 sends over connections that it keeps."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import obstore

from dataspec.store.http_date import read_http_date
from dataspec.store.server_time import ServerClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from obstore.store import S3Store
    from urllib3 import PoolManager

SIGNED_FOR: Final = timedelta(minutes=5)
SHORTEST: Final = timedelta(seconds=1)
"""A signature has its times in whole seconds."""
CONNECTIONS: Final = 32
"""Maximum number of idle connections that are kept."""


Answer: TypeAlias = "tuple[int, str, Mapping[str, str]]"
"""The status, the body and the headers of a response."""


class NotTrusted(OSError):
    """Python does not trust the server's certificate; obstore has settings and certificates of its own."""


@dataclass(frozen=True, slots=True)
class SignedResponse:
    """The server's response, which may be a refusal.

    Attributes:
        date: The server's time, cut to the second; None if the response has none.
        not_before: The server's time when the request was sent: it can't have acted earlier.
        expired: Whether the server refused the URL because it had expired.
    """

    status: int
    document: str
    headers: Mapping[str, str]
    date: datetime | None
    not_before: datetime | None
    expired: bool

    @property
    def error(self) -> OSError:
        """The error for a response that is a refusal, with the server's document."""
        return OSError(f"status code: {self.status}: {self.document}")


class SignedRequests:
    """Sends requests as signed URLs. Safe to share between threads.

    Args:
        client: The client that signs the URLs.
    """

    def __init__(self, client: S3Store) -> None:
        self.clock = ServerClock()
        self._client = client
        self._pool: PoolManager | None = None

    def send(
        self,
        method: Literal["HEAD", "PUT", "DELETE"],
        key: str,
        *,
        timeout: float,
        until: datetime | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> SignedResponse:
        """Send a request once, without a retry.

        Args:
            method: The HTTP method.
            key: The object's key.
            timeout: The time limit of the whole request, in seconds.
            until: The server's time from which on it refuses the request.
            headers: Headers of the request, which are not signed.
            body: Its body.

        Raises:
            NotTrusted: When Python does not trust the server's certificate.
            OSError: When the server does not answer.
        """
        signed_at = self.clock.local().replace(microsecond=0)
        valid = SIGNED_FOR if until is None else max(SHORTEST, until - signed_at)
        valid -= timedelta(microseconds=valid.microseconds)
        address = obstore.sign(self._client, method, key, valid)
        sent_at, sent = self.clock.local(), monotonic()
        status, document, answered = _within(
            timeout, lambda: self._sent(method, address, headers, body, timeout)
        )
        date = read_http_date(answered.get("Date"))
        if date is not None:
            self.clock.learn(date, sent_at, self.clock.local())
        return SignedResponse(
            status=status,
            document=document,
            headers=answered,
            date=date,
            not_before=date and date - timedelta(seconds=monotonic() - sent),
            expired=status == HTTPStatus.FORBIDDEN and date is not None and date >= signed_at + valid,
        )

    def _sent(
        self,
        method: str,
        address: str,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        timeout: float,
    ) -> Answer:
        # Imported here, since it takes 40 ms, and most processes with a store only read it.
        from urllib3.exceptions import HTTPError, SSLError

        pool = self._connections(address)
        try:
            response = pool.urlopen(
                method,
                address,
                body=body,
                headers=dict(headers or {}),
                timeout=timeout,
                retries=False,
                redirect=False,
            )
        except (HTTPError, OSError) as error:
            place, _, signature = address.partition("?")
            kind = NotTrusted if isinstance(error, SSLError) else OSError
            reason = str(error).replace(signature, "")
            raise kind(f"{method} {place}: {type(error).__name__} {reason}") from None
        return response.status, response.data.decode(errors="replace"), response.headers

    def _connections(self, address: str) -> PoolManager:
        """Return the pool of connections, by way of the proxy that the environment names."""
        if self._pool is None:
            from urllib3 import PoolManager, ProxyManager, make_headers
            from urllib3.util import parse_url

            parts = urlsplit(address)
            proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
            if proxy:
                login = make_headers(proxy_basic_auth=parse_url(proxy).auth)
                self._pool = ProxyManager(proxy, proxy_headers=login, maxsize=CONNECTIONS)
            else:
                self._pool = PoolManager(maxsize=CONNECTIONS)
        return self._pool


def _within(seconds: float, send: Callable[[], Answer]) -> Answer:
    """Return the response of a request, or give it up: urllib3 bounds only the wait for the next bytes."""
    answer: Future[Answer] = Future()

    def answered() -> None:
        try:
            answer.set_result(send())
        except Exception as error:  # noqa: BLE001 - raised where the result is read
            answer.set_exception(error)

    Thread(target=answered, name="signed-request", daemon=True).start()
    return answer.result(seconds)
