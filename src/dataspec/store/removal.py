"""Remove an object of a bucket safely on servers that ignore the condition of a DELETE.

A DELETE that the network holds back could remove an object that was created since. So the removal is a conditional
PUT of a tombstone, and the DELETE of the tombstone is sent at once, as a signed URL that the server itself refuses
after some seconds (docs/architecture.md, "Removals in a bucket").
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from math import ceil
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, Literal

from dataspec.store.http_date import read_http_date
from dataspec.store.signed_requests import SignedResponse, send_signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import S3Store

    from dataspec.store.bucket import StoreTimeouts

TOMBSTONE_BYTES: Final = 777
"""The size of each tombstone: a listing shows it, so that only objects of this size need a look."""

FIRST_PAUSE: Final = 0.1
SHORTEST: Final = timedelta(seconds=1)

_TEXT: Final = (
    '{{"removed_at": "{at}", "removal": "{nonce}", "versions": {{}}, '
    '"note": "This object was removed. It counts as missing, and can be deleted."}}'
)
_FORM: Final = re.compile(
    re.escape(_TEXT.format(at="AT", nonce="NONCE"))
    .replace("AT", "(?P<at>[0-9T:+-]{25})")
    .replace("NONCE", "[0-9a-f]{32}")
    + " *\n"
)


def new_tombstone(now: datetime) -> bytes:
    """Return a tombstone that no other one equals, so that its ETag names one removal.

    It is JSON and YAML, and neither a spec nor a usable object of ours, for readers that don't know tombstones.
    """
    at = now.isoformat(timespec="seconds")
    text = _TEXT.format(at=at, nonce=os.urandom(16).hex())
    return f"{text.ljust(TOMBSTONE_BYTES - 1)}\n".encode()


def removed_at(body: bytes) -> datetime | None:
    """Return when an object was removed that has a tombstone's content; None for any other content."""
    if len(body) != TOMBSTONE_BYTES:
        return None
    found = _FORM.fullmatch(body.decode(errors="replace"))
    try:
        return datetime.fromisoformat(found["at"]) if found else None
    except ValueError:
        return None


def is_tombstone(body: bytes) -> bool:
    """Tell whether an object's content is a tombstone: readers treat the object as missing."""
    return removed_at(body) is not None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A tombstone that was written: its ETag, and the server's time until which its DELETE may take effect."""

    etag: str
    delete_until: datetime


@dataclass(frozen=True, slots=True)
class Removal:
    """The server's response to the PUT of a tombstone."""

    response: SignedResponse
    tombstone: Tombstone | None = None
    """The tombstone, if it was written and may be deleted now."""


class Tombstones:
    """Writes and deletes tombstones by signed URLs, which the server refuses when they arrive late.

    Args:
        client: The client that signs the requests.
        limits: The timeouts.
        shown: Returns an ETag as the server takes it in ``If-Match``.
    """

    def __init__(self, client: S3Store, limits: StoreTimeouts, shown: Callable[[str], str]) -> None:
        self._client = client
        self._limits = limits
        self._shown = shown

    def put(self, key: str, body: bytes, expected: str) -> Removal:
        """Replace an object that has the expected ETag by a tombstone.

        Returns:
            The server's response, which may be a refusal.

        Raises:
            OSError: When the server does not answer, or is overloaded, until no more retry is due.
        """
        pause, began = FIRST_PAUSE, monotonic()
        while True:
            try:
                return self._try_put(key, body, expected)
            except OSError:
                if monotonic() + pause - began > self._limits.retry:
                    raise
            sleep(pause)
            pause *= 2

    def _try_put(self, key: str, body: bytes, expected: str) -> Removal:
        began = monotonic()
        valid = timedelta(seconds=ceil(self._limits.request))
        response = self._send("PUT", key, expected, body, valid=valid)
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status == HTTPStatus.CONFLICT:
            raise response.error
        answered_at = read_http_date(response.headers.get("Date"))
        if response.status != HTTPStatus.OK or answered_at is None:
            return Removal(response)  # without the server's time, the tombstone stays
        # The object may have been replaced as early as the request was sent.
        sent_at = answered_at - timedelta(seconds=monotonic() - began)
        until = sent_at + timedelta(seconds=self._limits.removal)
        return Removal(response, Tombstone(response.headers.get("ETag", ""), until))

    def delete(self, key: str, tombstone: Tombstone) -> bool:
        """Delete a tombstone by one request; return False where it stays, refused or not answered.

        A server that knows no conditional DELETE did nothing, and gets the request without its condition.
        """
        with suppress(OSError):
            for expected in (tombstone.etag, None):
                # A signature has the time in whole seconds.
                valid = tombstone.delete_until - datetime.now(UTC).replace(microsecond=0)
                if valid < SHORTEST:
                    return False
                status = self._send("DELETE", key, expected, valid=valid).status
                if status != HTTPStatus.NOT_IMPLEMENTED:
                    return status < HTTPStatus.BAD_REQUEST
        return False

    def _send(
        self,
        method: Literal["PUT", "DELETE"],
        key: str,
        expected: str | None,
        body: bytes | None = None,
        *,
        valid: timedelta,
    ) -> SignedResponse:
        return send_signed(
            self._client,
            method,
            key,
            timeout=min(valid.total_seconds(), self._limits.request),
            valid=timedelta(seconds=int(valid.total_seconds())),
            headers={"If-Match": self._shown(expected)} if expected is not None else {},
            body=body,
        )
