"""A bucket as a store: S3 and what speaks its protocol, through obstore."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotModifiedError,
    PreconditionError,
    UnknownConfigurationKeyError,
)
from obstore.store import S3Store

from dataspec.errors import InvalidSettings, StoreUnreachable
from dataspec.store.base import MISSING, ObjectInfo, PreconditionFailed, StoredObject
from dataspec.store.patience import OutOfPatience, Patience
from dataspec.store.refusals import MISSING_BUCKET, code_of, unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from obstore import ObjectMeta

MAX_RETRIES = 5
SECONDS_PER_PAGE = 1.0
SECONDS_PER_OBJECT = 0.02
PAGE_KEYS = 1000
READERS = 32
ENDPOINT_OPTIONS = ("endpoint", "endpoint_url", "endpoint_url_s3")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds; with these, no call takes longer than about 30 s.

    What can be repeated without harm is, up to ``MAX_RETRIES`` times: an answer of 500 and
    above, a broken connection, a read that took too long.
    """

    connect: float = 5
    request: float = 10
    """One request, with its answer."""
    retry: float = 15
    """After this long nothing is tried again."""
    call: float = 25
    """A listing, or a read of many objects; each answer that came adds a little."""


class BucketStore:
    """A store in a bucket, below a prefix.

    Args:
        bucket: The bucket's name.
        prefix: Where in the bucket the store begins; empty for its root.
        options: S3 settings over those of the environment, by obstore's names, such as
            ``endpoint``; ``unquoted_etags`` for servers that take ``If-Match`` only without
            the quotes of the ETag.
        limits: How long calls may take.

    Raises:
        InvalidSettings: When an option, or a variable of the environment, can't be used.
    """

    def __init__(
        self, bucket: str, prefix: str, options: Mapping[str, str], *, limits: Limits = Limits()
    ) -> None:
        self._limits = limits
        self._options: dict[str, Any] = dict(options)
        self._unquoted = str(self._options.pop("unquoted_etags", "")).lower() == "true"
        self._bucket, self._prefix = bucket, prefix
        self.url = "/".join(part for part in (f"s3://{bucket}", prefix) if part)
        self._store = self._connect()
        self._deletes_conditionally = True

    def _connect(self, headers: Mapping[str, str] | None = None) -> S3Store:
        """Return a client, whose every request has these headers; nothing is sent yet."""
        try:
            return S3Store(
                self._bucket,
                prefix=self._prefix or None,
                disable_bulk_delete=True,
                client_options={
                    "connect_timeout": timedelta(seconds=self._limits.connect),
                    "timeout": timedelta(seconds=self._limits.request),
                    "allow_http": any(place.startswith("http://") for place in self._endpoints()),
                    "default_headers": dict(headers or {}),
                },
                retry_config={
                    "max_retries": MAX_RETRIES,
                    "retry_timeout": timedelta(seconds=self._limits.retry),
                },
                **self._options,
            )
        except UnknownConfigurationKeyError as error:
            named = ", ".join(f"'{name}'" for name in sorted(self._options))
            raise InvalidSettings(f"The store {self.url} has an unknown setting among {named}.") from error
        except BaseError as error:
            raise InvalidSettings(f"The settings of the store {self.url} can't be used.") from error

    def _endpoints(self) -> Iterator[str]:
        """Yield the addresses that the server may be named by."""
        for name in ENDPOINT_OPTIONS:
            yield str(self._options.get(name, ""))
            yield os.environ.get(f"AWS_{name.upper()}", "")

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        # obstore lists whole folders alone.
        folder = prefix.rpartition("/")[0]
        found: list[ObjectInfo] = []
        with self._answering(prefix):
            for page in self._pages(folder):
                found += [
                    ObjectInfo(m["path"], m["e_tag"] or "", m["size"], m["last_modified"])
                    for m in page
                    if m["path"].startswith(prefix)
                ]
        found.sort(key=attrgetter("key"))
        return iter(found)

    def _pages(self, folder: str) -> Iterator[Sequence[ObjectMeta]]:
        """Yield a listing's pages; the next one is on its way while one is read."""
        pages = iter(obstore.list(self._store, prefix=folder or None, chunk_size=PAGE_KEYS))
        patience = Patience(self._limits.call, per_answer=SECONDS_PER_PAGE)
        with _readers(1) as reader:
            coming = reader.submit(next, pages, None)
            while (page := patience.wait(coming)) is not None:
                coming = reader.submit(next, pages, None)
                yield page

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        options: Any = {"if_none_match": self._shown(known.etag)} if known else None
        with self._answering(key):
            try:
                answer = obstore.get(self._store, key, options=options)
                return StoredObject(key, answer.meta["e_tag"] or "", bytes(answer.bytes()))
            except NotModifiedError:
                return known
            except FileNotFoundError as error:
                if code_of(error) == MISSING_BUCKET:
                    raise
                return None

    def get_many(self, keys: Iterable[str]) -> dict[str, StoredObject]:
        patience = Patience(self._limits.call, per_answer=SECONDS_PER_OBJECT)
        with self._answering("many keys"), _readers(READERS) as readers:
            coming = [readers.submit(self.get, key) for key in keys]
            found = [patience.wait(answer) for answer in coming]
        return {stored.key: stored for stored in found if stored is not None}

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        mode: Any = "create" if expected == MISSING else {"e_tag": self._shown(expected)}
        with self._answering(key):
            try:
                answer = obstore.put(self._store, key, body, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError, FileExistsError):
                raise PreconditionFailed(key) from None
            except FileNotFoundError as error:
                if expected == MISSING or code_of(error) == MISSING_BUCKET:
                    raise
                raise PreconditionFailed(key) from None
        return answer["e_tag"] or ""

    def delete(self, key: str, *, expected: str) -> None:
        """Remove an object if it has the expected ETag.

        The ETag is looked at first, and sent along as ``If-Match``, which S3 honours on a
        DELETE since September 2025. Other servers, such as Ceph, pass over it: there, a
        write in the moment between the two requests is lost.

        Raises:
            PreconditionFailed: When it has another, or is gone.
        """
        stored = self.get(key)
        if stored is None or stored.etag != expected:
            raise PreconditionFailed(key)
        with self._answering(key):
            try:
                self._delete(key, expected)
            except (AlreadyExistsError, PreconditionError, FileExistsError):
                raise PreconditionFailed(key) from None
            except FileNotFoundError as error:
                if code_of(error) == MISSING_BUCKET:
                    raise
                raise PreconditionFailed(key) from None

    def _delete(self, key: str, expected: str) -> None:
        if self._deletes_conditionally:
            # obstore's delete takes no condition, but a client may send headers of its own.
            conditional = self._connect({"If-Match": self._shown(expected)})
            try:
                obstore.delete(conditional, key)
            except BaseError as error:
                if code_of(error) != "NotImplemented":
                    raise
                self._deletes_conditionally = False
            else:
                return
        obstore.delete(self._store, key)

    def _shown(self, etag: str) -> str:
        return etag.strip('"') if self._unquoted else etag

    @contextmanager
    def _answering(self, key: str) -> Iterator[None]:
        try:
            yield
        except OutOfPatience:
            detail = f"{self.url}: no answer for {self._limits.call:g} s."
            raise StoreUnreachable("The store does not answer.", detail=detail) from None
        except (BaseError, OSError) as error:
            raise unreachable(self.url, key, error) from error


@contextmanager
def _readers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that nobody waits for once one has failed; each ends by itself, with its request."""
    readers = ThreadPoolExecutor(count, thread_name_prefix="store")
    try:
        yield readers
    finally:
        readers.shutdown(wait=False, cancel_futures=True)
