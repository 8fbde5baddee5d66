"""Requests to an S3 server as signed URLs, which expire: obstore signs, urllib3 sends over connections that it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal

import obstore

from dataspec.store.http_date import read_http_date
from dataspec.store.server_time import ServerClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from obstore.store import S3Store
    from urllib3 import PoolManager

SIGNED_FOR: Final = timedelta(minutes=5)
SHORTEST: Final = timedelta(seconds=1)
"""A signature has its times in whole seconds."""


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
        status, document, answered = self._sent(method, address, headers, body, timeout)
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
    ) -> tuple[int, str, Mapping[str, str]]:
        # Imported here, since it takes 40 ms, and most processes with a store only read it.
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError, SSLError

        from dataspec.store.bounded_connections import connections_to

        if self._pool is None:
            self._pool = connections_to(address)
        try:
            response = self._pool.urlopen(
                method,
                address,
                body=body,
                headers=dict(headers or {}),
                timeout=Timeout(total=timeout),
                retries=False,
                redirect=False,
            )
        except (HTTPError, OSError) as error:
            place, _, signature = address.partition("?")
            kind = NotTrusted if isinstance(error, SSLError) else OSError
            reason = str(error).replace(signature, "")
            raise kind(f"{method} {place}: {type(error).__name__} {reason}") from None
        return response.status, response.data.decode(errors="replace"), response.headers
