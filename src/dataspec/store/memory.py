"""A store in memory, for tests and trials, with the same rules for keys as the other stores."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from dataspec.keys import check_key
from dataspec.store.base import MISSING, Found, ObjectInfo, PreconditionFailed, StoredObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class MemoryStore:
    """A store that lives as long as the process."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._lock = Lock()
        self._objects: dict[str, tuple[StoredObject, datetime]] = {}

    @property
    def url(self) -> str:
        return "memory:"

    def now(self) -> datetime:
        return self._now()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._lock:
            found = sorted((key, *kept) for key, kept in self._objects.items() if key.startswith(prefix))
        for key, stored, written in found:
            yield ObjectInfo(key, stored.etag, len(stored.body), written)

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        check_key(key)
        kept = self._objects.get(key)
        if kept is None:
            return None
        return known if known and known.etag == kept[0].etag else kept[0]

    def get_many(self, keys: Iterable[str]) -> Found:
        found = Found()
        for key in keys:
            found.take(key, partial(self.get, key))
        return found

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        with self._lock:
            self._check(key, expected)
            self._objects[key] = StoredObject(key, etag, bytes(body)), self._now()
        return etag

    def delete(self, key: str, *, expected: str) -> None:
        with self._lock:
            self._check(key, expected)
            del self._objects[key]

    def _check(self, key: str, expected: str) -> None:
        check_key(key)
        kept = self._objects.get(key)
        if expected != (kept[0].etag if kept else MISSING):
            raise PreconditionFailed(key)
