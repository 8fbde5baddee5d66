"""Find stored credentials by the SHA-256 of their secret, on every replica: API tokens, and sessions of the page.

One listing tells which credentials exist and which have changed; it is used for at most :data:`TRUSTED_SECONDS`, so
that the end of a credential counts everywhere by then. An object is read when its credential is first used, and again
when the listing shows a change. So guessing costs one listing at a time, and no memory.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import LRUCache, TTLCache

from basecamp.outages.shared_calls import SharedCalls
from basecamp.shared.clock import Clock
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.refresh_cache import RefreshCache
from dataspec.errors import StoreUnreachable, Unavailable, UnreadableObject
from dataspec.store import Store, StoredObject
from dataspec.store.base import ObjectInfo, StoreDown, usable
from dataspec.store.call_budget import CallBudgetExceeded

T = TypeVar("T")

REFRESH_SECONDS = 10.0
"""Age of the listing after which a request makes a new one in the background."""
TRUSTED_SECONDS = 25.0
"""Age of the listing after which a request waits for a new one."""
PATIENCE_SECONDS = 4.0
"""How long it waits before the store counts as silent."""
OUTAGE_SECONDS = 3600.0
"""How long credentials that were known count while the store does not answer."""
UNKNOWN_SECONDS = 30.0
"""How long a credential that does not exist is remembered."""
MAX_REMEMBERED = 10_000
MAX_UNKNOWN_AT_ONCE = 8
"""Maximum number of requests that wait for a new listing because their credential is not in the last one."""

_DIGEST = r"(?P<digest>[0-9a-f]{64})\.json"


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A credential's object."""

    stored: StoredObject
    record: T


@dataclass(frozen=True, slots=True)
class _Known(Generic[T]):
    """A credential's object as it was read, or written by this replica."""

    listed: str
    """The ETag in the listing at that time; the object's own may be newer."""
    found: Found[T] | None
    """None when it was removed meanwhile, or can't be read."""


class StoredCredentials(Generic[T]):
    """Finds the objects of one kind of credential. Safe to share between threads.

    Args:
        store: The store.
        clock: The clock.
        objects: Notes an object that this replica can't read; that credential alone is refused.
        prefix: Where the store has these objects.
        reader: Reads one.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        objects: ObjectReader,
        *,
        prefix: str,
        reader: Callable[[StoredObject], T],
    ) -> None:
        self._store = store
        self._objects = objects
        self._prefix = prefix
        self._reader = reader
        self._listing: RefreshCache[Mapping[str, ObjectInfo]] = RefreshCache(
            prefix.rstrip("/").rpartition("/")[2],
            lambda: listed_credentials(store, prefix),
            clock,
            unanswered=lambda: _unanswered(store),
            min_age=TRUSTED_SECONDS,
            max_age=TRUSTED_SECONDS,
        )
        self._reads: SharedCalls[_Known[T]] = SharedCalls()
        self._lock = threading.Lock()
        self._known: LRUCache[str, _Known[T]] = LRUCache(MAX_REMEMBERED)
        self._unknown: TTLCache[str, bool] = TTLCache(MAX_REMEMBERED, UNKNOWN_SECONDS, clock.monotonic)
        self._waiting = threading.BoundedSemaphore(MAX_UNKNOWN_AT_ONCE)

    def find(self, digest: str) -> Found[T] | None:
        """Return a credential's object; None if there is none, or it can't be read.

        Raises:
            StoreUnreachable: When the store does not answer, and the credential was not known before.
            Unavailable: When too many unknown credentials are sent at once.
        """
        info = self._listed(digest)
        return self._read(digest, info) if info is not None else None

    def known(self, digest: str) -> Found[T] | None:
        """Return a credential's object if this replica has it in memory; waits for nothing."""
        listing, age = self._listing.last, self._listing.age()
        if listing is None or age is None or age > TRUSTED_SECONDS:
            return None
        if age > REFRESH_SECONDS:
            self._listing.refresh()
        info = listing.get(digest)
        known = self._up_to_date(digest, info) if info is not None else None
        return known.found if known else None

    def put(self, digest: str, stored: StoredObject, record: T) -> None:
        """Remember an object that this replica has written."""
        info = (self._listing.last or {}).get(digest)
        with self._lock:
            self._unknown.pop(digest, None)
            self._known[digest] = _Known(info.etag if info else stored.etag, Found(stored, record))

    def forget(self, digest: str) -> None:
        """Read an object anew when it is next asked for, since it was changed or removed."""
        with self._lock:
            self._known.pop(digest, None)

    def _listed(self, digest: str) -> ObjectInfo | None:
        """Return the entry of a credential in the listing, after a new listing if the last one does not have it."""
        if (info := self._listing_now().get(digest)) is not None:
            return info
        with self._lock:
            if digest in self._unknown:
                return None
        if not self._waiting.acquire(blocking=False):
            raise Unavailable(
                "Too many unknown credentials are being checked.", detail="Ask again in a second."
            )
        try:
            info = self._listing.fresh().get(digest)
        finally:
            self._waiting.release()
        if info is None:
            with self._lock:
                self._unknown[digest] = True
        return info

    def _listing_now(self) -> Mapping[str, ObjectInfo]:
        last, age = self._listing.last, self._listing.age()
        if last is None or age is None or age > TRUSTED_SECONDS:
            listed = self._listing.refreshed(PATIENCE_SECONDS).value
            if (age := self._listing.age()) is not None and age > OUTAGE_SECONDS:
                raise _unanswered(self._store)
            return listed
        if age > REFRESH_SECONDS:
            self._listing.refresh()
        return last

    def _up_to_date(self, digest: str, info: ObjectInfo) -> _Known[T] | None:
        with self._lock:
            known = self._known.get(digest)
        if known is None or info.etag in {known.listed, known.found.stored.etag if known.found else None}:
            return known
        return None

    def _read(self, digest: str, info: ObjectInfo) -> Found[T] | None:
        if (known := self._up_to_date(digest, info)) is not None:
            return known.found
        with self._lock:
            earlier = self._known.get(digest)
        try:
            known = self._reads.call(digest, lambda: self._fetch(info, earlier))
        except CallBudgetExceeded:
            raise _unanswered(self._store) from None
        except StoreUnreachable:
            if earlier is None:
                raise
            return earlier.found  # it is listed, so it has not ended
        with self._lock:
            self._known[digest] = known
        return known.found

    def _fetch(self, info: ObjectInfo, earlier: _Known[T] | None) -> _Known[T]:
        try:
            stored = self._store.get(
                info.key, known=earlier.found.stored if earlier and earlier.found else None
            )
            found = Found(stored, self._objects.read(self._reader, stored)) if stored else None
        except UnreadableObject as error:
            self._objects.note(info.key, error)
            return _Known(info.etag, None)
        return _Known(info.etag, found)


def listed_credentials(store: Store, prefix: str) -> dict[str, ObjectInfo]:
    """Return the entries of all credentials under a prefix, by their SHA-256.

    Raises:
        StoreUnreachable: When the store does not answer.
    """
    key = re.compile(re.escape(prefix) + _DIGEST)
    listed = ((info, key.fullmatch(info.key)) for info in usable(store.list(prefix)))
    return {match["digest"]: info for info, match in listed if match}


def _unanswered(store: Store) -> StoreUnreachable:
    return StoreDown(
        "The store does not answer.", detail=f"{store.url}: whether the sign-in is valid is not known."
    )
