"""Write objects under a condition, so that no write takes effect once its writer has stopped waiting.

A PUT that the network holds back could create an object again that somebody has removed since, or bring back content
that was replaced: its condition holds again. So each PUT is a signed URL that the server itself refuses from then on
(docs/architecture.md, "Writes in a bucket").
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from dataspec.store.base import MISSING, PreconditionFailed
from dataspec.store.call_budget import seconds_left
from dataspec.store.s3_errors import MISSING_BUCKET, code_of
from dataspec.store.signed_requests import SHORTEST, NotTrusted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from obstore.store import S3Store

    from dataspec.store.bucket import StoreTimeouts
    from dataspec.store.signed_requests import SignedRequests, SignedResponse

MAX_RETRIES: Final = 5
FIRST_PAUSE: Final = 0.1
SIGNED_AGAIN: Final = 600.0
"""After a refused signed URL, seconds until the next one: a policy may be changed."""
OF_OBSTORE_ALONE: Final = (
    "checksum_algorithm",
    "proxy",
    "request_payer",
    "s3_express",
    "server_side_encryption",
    "skip_signature",
    "sse_",
)
"""Settings that a signed URL of obstore's does not carry out, by how their names begin."""

_REPEATED: Final = {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True, slots=True)
class Written:
    """An object that was written: its ETag, and the server's time before which it was not there, if known."""

    etag: str
    not_before: datetime | None = None


class ConditionalPut:
    """Writes the objects of a bucket. Safe to share between threads.

    Args:
        client: The client of the bucket.
        signed: Sends signed URLs.
        limits: The timeouts.
        unquoted: Whether the server takes ``If-Match`` only without the quotes of the ETag.
        settings: The names of obstore's settings that are set.
    """

    def __init__(
        self,
        client: S3Store,
        signed: SignedRequests,
        limits: StoreTimeouts,
        *,
        unquoted: bool,
        settings: Iterable[str],
    ) -> None:
        self._client = client
        self._signed = signed
        self._limits = limits
        self._unquoted = unquoted
        self._signed_from = float("inf") if any(map(_is_of_obstore_alone, settings)) else 0.0

    def shown(self, etag: str) -> str:
        """Return an ETag as the server takes it in a condition."""
        return etag.strip('"') if self._unquoted else etag

    def put(self, key: str, body: bytes, expected: str) -> Written:
        """Write an object if it has the expected ETag, or if there is neither object nor tombstone for ``MISSING``.

        A response may be lost after the server has written: the retry then meets our own object, or the last retry
        fails. So each write carries an id of its own, and is read back after a failure. Comparing the content would
        not do: two writers of the same content must not both believe that they created the object.

        Raises:
            PreconditionFailed: When another writer was first; nothing is written.
            OSError: When the server does not answer, or refuses the request, until no more retry is due.
            BaseError: The same, in obstore's words.
        """
        mark, began = f"application/octet-stream; write={os.urandom(16).hex()}", monotonic()
        try:
            return self._put(key, body, expected, mark)
        except PreconditionFailed:
            if etag := self._etag_of(key, mark):
                return Written(etag)
            raise
        except (BaseError, OSError):
            hangs = monotonic() - began >= self._limits.request
            if not hangs and (etag := self._etag_of(key, mark)):
                return Written(etag)
            raise

    def _put(self, key: str, body: bytes, expected: str, mark: str) -> Written:
        if monotonic() >= self._signed_from and (written := self._put_signed(key, body, expected, mark)):
            return written
        etag = self._put_by_obstore(key, body, expected, mark)
        self._signed_from = max(self._signed_from, monotonic() + SIGNED_AGAIN)
        return Written(etag)

    def _put_signed(self, key: str, body: bytes, expected: str, mark: str) -> Written | None:
        """Write by a signed URL; return None where the server refuses it, and may accept signed headers."""
        condition = {"If-None-Match": "*"} if expected == MISSING else {"If-Match": self.shown(expected)}
        try:
            response = self._answer(key, body, condition | {"Content-Type": mark})
        except NotTrusted:
            return None
        if response.status == HTTPStatus.OK:
            return Written(response.headers.get("ETag", ""), response.not_before)
        if response.status == HTTPStatus.NOT_FOUND and code_of(response.error) == MISSING_BUCKET:
            raise response.error
        missing = response.status == HTTPStatus.NOT_FOUND and expected != MISSING
        if missing or response.status == HTTPStatus.PRECONDITION_FAILED:
            raise PreconditionFailed(key)
        return None

    def _answer(self, key: str, body: bytes, headers: Mapping[str, str]) -> SignedResponse:
        """Send a PUT until it is answered, as often as retries are due."""
        pause, last_retry = FIRST_PAUSE, monotonic() + seconds_left(self._limits.retry)
        for _ in range(MAX_RETRIES):
            try:
                return self._try_signed(key, body, headers)
            except NotTrusted:
                raise
            except OSError:
                if monotonic() + pause > last_retry:
                    raise
            sleep(pause)
            pause *= 2
        return self._try_signed(key, body, headers)

    def _try_signed(self, key: str, body: bytes, headers: Mapping[str, str]) -> SignedResponse:
        wait = seconds_left(self._limits.request)
        if wait < SHORTEST.total_seconds():
            raise TimeoutError("the time of the caller's request is used up: nothing was sent")
        until = self._signed.clock.now() + timedelta(seconds=wait)
        response = self._signed.send("PUT", key, timeout=wait, until=until, headers=headers, body=body)
        overloaded = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status in _REPEATED
        if overloaded or response.expired:
            raise response.error
        return response

    def _put_by_obstore(self, key: str, body: bytes, expected: str, mark: str) -> str:
        """Write by signed headers, which servers accept for 15 minutes."""
        mode: Any = "create" if expected == MISSING else {"e_tag": self.shown(expected)}
        try:
            answer = obstore.put(
                self._client, key, body, mode=mode, use_multipart=False, attributes={"Content-Type": mark}
            )
        except (AlreadyExistsError, PreconditionError, FileExistsError):
            raise PreconditionFailed(key) from None
        except FileNotFoundError as error:
            if expected == MISSING or code_of(error) == MISSING_BUCKET:
                raise
            raise PreconditionFailed(key) from None
        return answer["e_tag"] or ""

    def _etag_of(self, key: str, mark: str) -> str | None:
        """Return the ETag of the object that a write stored; None if it stored none, or can't be read."""
        try:
            found = obstore.get(self._client, key, options={"head": True})
        except (BaseError, OSError):
            return None
        return found.meta["e_tag"] if found.attributes.get("Content-Type") == mark else None


def _is_of_obstore_alone(setting: str) -> bool:
    return setting.lower().removeprefix("aws_").startswith(OF_OBSTORE_ALONE)
