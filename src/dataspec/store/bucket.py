"""A bucket as a store, on S3 or a server with its protocol, through obstore."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    NotModifiedError,
    PermissionDeniedError,
    UnknownConfigurationKeyError,
)
from obstore.store import S3Store

from dataspec.errors import InvalidSettings, StoreUnreachable
from dataspec.keys import MAX_KEY_BYTES, check_key, shown_key, why_no_key
from dataspec.store.base import (
    MISSING,
    Found,
    ObjectInfo,
    PreconditionFailed,
    StoredObject,
    StoreDown,
    try_delete,
)
from dataspec.store.call_budget import CallBudget, CallBudgetExceeded
from dataspec.store.conditional_put import MAX_RETRIES, ConditionalPut
from dataspec.store.raw_listing import raw_pages
from dataspec.store.removal import TOMBSTONE_BYTES, Tombstones, is_tombstone, new_tombstone, removed_at
from dataspec.store.s3_errors import MISSING_BUCKET, code_of, unreachable, unreadable
from dataspec.store.signed_requests import SignedRequests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from dataspec.store.conditional_put import Written

T = TypeVar("T")

SECONDS_PER_PAGE = 1.0
SECONDS_PER_OBJECT = 0.02
PAGE_KEYS = 1000
READERS = 32
TIME_KEY = "basecamp/time"
"""The key of the request for the time; there need be no such object."""
SETTLING_POLL = 0.1
SURELY_SETTLED = timedelta(hours=1)
"""A tombstone of this age is settled, however much the clocks of this machine and the server differ."""
CREATIONS = 5
ENDPOINT_OPTIONS = ("endpoint", "endpoint_url", "endpoint_url_s3")


@dataclass(frozen=True, slots=True)
class StoreTimeouts:
    """Timeouts in seconds. With the defaults, no call takes longer than about 30 s.

    Requests that are safe to repeat are retried up to ``MAX_RETRIES`` times: after a status of 500 and above, a
    broken connection, or a read timeout.
    """

    connect: float = 5
    request: float = 10
    """One request with its response."""
    retry: float = 15
    """No retry begins later than this."""
    call: float = 25
    """A listing or a read of many objects; each response extends it."""
    removal: float = 3
    """How long after a removal the server accepts the DELETE of its tombstone."""
    settled: float = 5
    """How long a writer waits for that DELETE before it replaces a tombstone; shorter than a request to Basecamp waits."""


class BucketStore:
    """A store in a bucket, below a prefix.

    Args:
        bucket: The bucket's name.
        prefix: The prefix of all keys in the bucket; empty for its root.
        options: S3 settings over those of the environment, by obstore's names, such as
            ``endpoint``; ``unquoted_etags`` for servers that take ``If-Match`` only without
            the quotes of the ETag.
        limits: The timeouts.

    Raises:
        InvalidSettings: When an option, or a variable of the environment, can't be used.
    """

    def __init__(
        self, bucket: str, prefix: str, options: Mapping[str, str], *, limits: StoreTimeouts = StoreTimeouts()
    ) -> None:
        self._limits = limits
        self._options: dict[str, Any] = dict(options)
        unquoted = str(self._options.pop("unquoted_etags", "")).lower() == "true"
        self._bucket, self._prefix = bucket, prefix
        self.url = "/".join(part for part in (f"s3://{bucket}", prefix) if part)
        self._key_bytes = MAX_KEY_BYTES - len(f"{prefix}/".encode()) * bool(prefix)
        self._store = self._client(self._options, prefix=prefix)
        self._signed = SignedRequests(self._store)
        self._writes = ConditionalPut(
            self._store, self._signed, limits, unquoted=unquoted, settings=self._settings()
        )
        self._tombstones = Tombstones(self._signed, limits, self._writes.shown)
        self._judged: dict[str, tuple[str, datetime | None]] = {}
        """For objects of a tombstone's size: the ETag, and for a tombstone when its object was removed."""
        self._sweeper = Thread()
        self._can_delete = False

    def _connect_to_bucket(self, address: str | None) -> S3Store:
        """Return a client of the whole bucket, at its configured address or at another one."""
        if address is None:
            return self._client(self._options)
        others = {name: value for name, value in self._options.items() if not _is_address(name)}
        return self._client(others | {"endpoint": address, "virtual_hosted_style_request": "true"})

    def _client(self, options: dict[str, Any], *, prefix: str = "") -> S3Store:
        try:
            return S3Store(
                self._bucket,
                prefix=prefix or None,
                client_options={
                    "connect_timeout": timedelta(seconds=self._limits.connect),
                    "timeout": timedelta(seconds=self._limits.request),
                    "allow_http": any(place.startswith("http://") for place in self._endpoints()),
                },
                retry_config={
                    "max_retries": MAX_RETRIES,
                    "retry_timeout": timedelta(seconds=self._limits.retry),
                },
                **options,
            )
        except UnknownConfigurationKeyError as error:
            named = ", ".join(f"'{name}'" for name in sorted(self._options))
            raise InvalidSettings(f"The store {self.url} has an unknown setting among {named}.") from error
        except BaseError as error:
            raise InvalidSettings(f"The settings of the store {self.url} can't be used.") from error

    def _endpoints(self) -> Iterator[str]:
        """Yield the server addresses of the options and the environment."""
        for name in ENDPOINT_OPTIONS:
            yield str(self._options.get(name, ""))
            yield os.environ.get(f"AWS_{name.upper()}", "")

    def _settings(self) -> list[str]:
        """Return the names of the settings that are set by the options and the environment."""
        environ = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        found = environ | self._options
        return [name for name, value in found.items() if str(value).lower() not in {"", "false"}]

    def now(self) -> datetime:
        with self._answering(TIME_KEY):
            response = self._signed.send("HEAD", TIME_KEY, timeout=self._limits.request)
            if response.date is None:
                raise OSError("the server's response has no date")
            return response.date

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        if folder and why_no_key(folder):
            return iter(())
        with self._answering(prefix):
            try:
                found = list(self._usable(folder))
            except InvalidPathError:
                found = list(self._everything(folder))
        kept = sorted((info for info in found if info.key.startswith(prefix)), key=attrgetter("key"))
        removed = self._removed([info for info in kept if info.size == TOMBSTONE_BYTES])
        return (info for info in kept if info.key not in removed)

    def _removed(self, listed: Sequence[ObjectInfo]) -> set[str]:
        """Return the keys of the tombstones among objects of their size.

        Each is read once: the ETag of an encrypted object is no digest of its content.
        """
        new = [info.key for info in listed if self._judged.get(info.key, ("",))[0] != info.etag]
        read = self._read_many(new, self._read)
        self._judged.update((key, (stored.etag, removed_at(stored.body))) for key, stored in read.items())
        judged = {info.key: self._judged[info.key] for info in listed if info.key in self._judged}
        tombstones = {key: (etag, removed) for key, (etag, removed) in judged.items() if removed}
        self._sweep_later(tombstones)
        return tombstones.keys() | {key for key in new if key not in read and key not in read.unreadable}

    def _sweep_later(self, tombstones: Mapping[str, tuple[str, datetime]]) -> None:
        """Delete old tombstones in the background, if this process could delete others: it has the right and the time."""
        now = datetime.now(UTC)
        old = {key: etag for key, (etag, removed) in tombstones.items() if now - removed > SURELY_SETTLED}
        if old and self._can_delete and not self._sweeper.is_alive():
            self._sweeper = Thread(target=self._sweep, args=(old,), name="sweep-tombstones", daemon=True)
            self._sweeper.start()

    def _sweep(self, tombstones: Mapping[str, str]) -> None:
        """Remove tombstones as any other object: each becomes a new one, whose DELETE soon expires."""
        with suppress(StoreUnreachable):
            for key, etag in tombstones.items():
                try_delete(self, key, expected=etag)

    def _usable(self, folder: str) -> Iterator[ObjectInfo]:
        """Yield a folder's objects as obstore lists them; it fails for a page with a key that it can't parse."""
        pages = obstore.list(self._store, prefix=folder or None, chunk_size=PAGE_KEYS)
        for page in self._ahead(iter(pages)):
            for meta in page:
                yield self._info(meta["path"], meta["e_tag"] or "", meta["size"], meta["last_modified"])

    def _everything(self, folder: str) -> Iterator[ObjectInfo]:
        """Yield all objects of a folder, whatever their keys."""
        above = f"{self._prefix}/" if self._prefix else ""
        whole = f"{above}{folder}/" if folder else above
        pages = raw_pages(self._connect_to_bucket, whole, page_keys=PAGE_KEYS, timeout=self._limits.request)
        for page in self._ahead(pages):
            for raw in page:
                if not raw.key.endswith("/"):  # consoles create such objects as folders
                    yield self._info(raw.key.removeprefix(above), raw.etag, raw.size, raw.last_modified)

    def _info(self, key: str, etag: str, size: int, at: datetime) -> ObjectInfo:
        if problem := why_no_key(key, limit=self._key_bytes):
            return ObjectInfo.unusable(shown_key(key), f"no store can have this key: {problem}", at)
        return ObjectInfo(key, etag, size, at)

    def _ahead(self, pages: Iterator[T]) -> Iterator[T]:
        """Yield the pages of a listing, and request the next page while one is processed."""
        budget = CallBudget(self._limits.call, per_answer=SECONDS_PER_PAGE)
        with _readers(1) as reader:
            coming = reader.submit(next, pages, None)
            while (page := budget.wait(coming)) is not None:
                coming = reader.submit(next, pages, None)
                yield page

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        stored = self._read(key, known=known)
        return None if stored is None or is_tombstone(stored.body) else stored

    def _read(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        """Return an object, also a tombstone."""
        check_key(key, limit=self._key_bytes)
        options: Any = {"if_none_match": self._writes.shown(known.etag)} if known else None
        with self._answering(key, unreadable):
            try:
                answer = obstore.get(self._store, key, options=options)
                return StoredObject(key, answer.meta["e_tag"] or "", bytes(answer.bytes()))
            except NotModifiedError:
                return known
            except FileNotFoundError as error:
                if code_of(error) == MISSING_BUCKET:
                    raise
                return None
            except PermissionDeniedError:
                if not self._is_missing(key):
                    raise
                return None

    def _is_missing(self, key: str) -> bool:
        """Return whether a listing shows that an object does not exist.

        S3 answers "forbidden" for it if the right to list is limited to prefixes.
        """
        whole = f"{self._prefix}/{key}" if self._prefix else key
        try:
            page = next(raw_pages(self._connect_to_bucket, whole, page_keys=1, timeout=self._limits.request))
        except OSError:
            return False
        return all(raw.key != whole for raw in page)

    def get_many(self, keys: Iterable[str]) -> Found:
        return self._read_many(keys, self.get)

    def _read_many(self, keys: Iterable[str], read: Callable[[str], StoredObject | None]) -> Found:
        budget = CallBudget(self._limits.call, per_answer=SECONDS_PER_OBJECT)
        found = Found()
        with self._answering("many keys"), _readers(READERS) as readers:
            coming = {key: readers.submit(read, key) for key in keys}
            for key, answer in coming.items():
                found.take(key, partial(budget.wait, answer))
        return found

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        try:
            return self._put(key, body, expected).etag
        except PreconditionFailed:
            if expected != MISSING:
                raise
        for _ in range(CREATIONS):
            free = self._when_free(key)
            with suppress(PreconditionFailed):  # another writer, or the DELETE of the tombstone
                return self._put(key, body, free).etag
        raise PreconditionFailed(key)

    def _when_free(self, key: str) -> str:
        """Wait until a DELETE of a tombstone can't remove what replaces it.

        Returns:
            The ETag of the tombstone that may be replaced; ``MISSING`` where it was deleted.

        Raises:
            PreconditionFailed: When there is an object.
        """
        seen, since = "", monotonic()
        while stored := self._read(key):
            removed = removed_at(stored.body)
            if removed is None:
                raise PreconditionFailed(key)
            if stored.etag != seen:
                seen, since = stored.etag, monotonic()
            waited = monotonic() - since >= self._limits.settled
            if waited or datetime.now(UTC) - removed > SURELY_SETTLED:
                return seen
            sleep(SETTLING_POLL)
        return MISSING

    def _put(self, key: str, body: bytes, expected: str) -> Written:
        """Write an object; see :meth:`ConditionalPut.put`."""
        check_key(key, limit=self._key_bytes)
        with self._answering(key):
            return self._writes.put(key, body, expected)

    def delete(self, key: str, *, expected: str) -> None:
        """Remove an object if it has the expected ETag: replace it by a tombstone, then delete that.

        The object counts as removed from the first on. A tombstone that could not be deleted stays.

        Raises:
            PreconditionFailed: When it has another ETag or does not exist.
        """
        tombstone = self._put(key, new_tombstone(datetime.now(UTC)), expected)
        if self._tombstones.delete(key, tombstone):
            self._can_delete = True

    @contextmanager
    def _answering(
        self, key: str, translate: Callable[[str, str, Exception], StoreUnreachable] = unreachable
    ) -> Iterator[None]:
        try:
            yield
        except CallBudgetExceeded:
            detail = f"{self.url}: no answer for {self._limits.call:g} s."
            raise StoreDown("The store does not answer.", detail=detail) from None
        except (BaseError, OSError) as error:
            raise translate(self.url, key, error) from error


def _is_address(option: str) -> bool:
    """Tell whether an option sets the address of the bucket."""
    name = option.lower().removeprefix("aws_")
    return name in {*ENDPOINT_OPTIONS, "virtual_hosted_style_request"}


@contextmanager
def _readers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Provide a pool of threads, without waiting for its running requests at the end."""
    readers = ThreadPoolExecutor(count, thread_name_prefix="store")
    try:
        yield readers
    finally:
        readers.shutdown(wait=False, cancel_futures=True)
