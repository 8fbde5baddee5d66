"""Remove an object of a bucket safely on servers that ignore the condition of a DELETE.

A DELETE that the network holds back could remove an object that was created since. So the removal is a conditional
PUT of a tombstone, and the DELETE of the tombstone is sent at once, as a signed URL that the server itself refuses
after some seconds (docs/architecture.md, "Removals in a bucket").
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from dataspec.store.signed_requests import SHORTEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from dataspec.store.bucket import StoreTimeouts
    from dataspec.store.conditional_put import Written
    from dataspec.store.signed_requests import SignedRequests

TOMBSTONE_BYTES: Final = 777
"""The size of each tombstone: a listing shows it, so that only objects of this size need a look."""

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


class Tombstones:
    """Deletes tombstones by signed URLs, which the server refuses when they arrive late.

    Args:
        signed: Sends the requests.
        limits: The timeouts.
        shown: Returns an ETag as the server takes it in ``If-Match``.
    """

    def __init__(self, signed: SignedRequests, limits: StoreTimeouts, shown: Callable[[str], str]) -> None:
        self._signed = signed
        self._limits = limits
        self._shown = shown

    def delete(self, key: str, tombstone: Written) -> bool:
        """Delete a tombstone by one request; return False where it stays, refused or not answered.

        A server that knows no conditional DELETE did nothing, and gets the request without its condition.
        """
        if tombstone.not_before is None:
            return False  # without the server's time, the DELETE could not expire in time
        until = tombstone.not_before + timedelta(seconds=self._limits.removal)
        with suppress(OSError):
            for headers in ({"If-Match": self._shown(tombstone.etag)}, {}):
                left = until - self._signed.clock.local()
                if left < SHORTEST:
                    return False
                timeout = min(left.total_seconds(), self._limits.request)
                response = self._signed.send("DELETE", key, timeout=timeout, until=until, headers=headers)
                if response.status != HTTPStatus.NOT_IMPLEMENTED:
                    return response.status < HTTPStatus.BAD_REQUEST
        return False
