"""A store in memory, for tests and trials, with the same rules for keys as the other stores."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from threading import Lock
from typing import TYPE_CHECKING

from dataspec.keys import check_key
from dataspec.store.base import Found, ObjectInfo, PreconditionFailed, StoredObject, etag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class MemoryStore:
    """A store that lives as long as the process."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._lock = Lock()
        self._objects: dict[str, StoredObject] = {}
        self._listed: dict[str, ObjectInfo] = {}
        self._keys: list[str] = []
        """All keys in order."""

    @property
    def url(self) -> str:
        return "memory:"

    def now(self) -> datetime:
        return self._now()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._lock:
            keys = takewhile(
                lambda key: key.startswith(prefix), self._keys[bisect_left(self._keys, prefix) :]
            )
            found = [self._listed[key] for key in keys]
        yield from found

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        check_key(key)
        kept = self._objects.get(key)
        if kept is None:
            return None
        return known if known and known.etag == kept.etag else kept

    def get_many(self, keys: Iterable[str]) -> Found:
        found = Found()
        for key in keys:
            found.take(key, partial(self.get, key))
        return found

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        with self._lock:
            self._check(key, expected)
            if key not in self._objects:
                insort(self._keys, key)
            self._objects[key] = StoredObject(key, etag, bytes(body))
            self._listed[key] = ObjectInfo(key, etag, len(body), self._now())
        return etag

    def delete(self, key: str, *, expected: str) -> None:
        with self._lock:
            self._check(key, expected)
            del self._objects[key], self._listed[key]
            del self._keys[bisect_left(self._keys, key)]

    def _check(self, key: str, expected: str) -> None:
        check_key(key)
        kept = self._objects.get(key)
        if expected != etag_of(kept):
            raise PreconditionFailed(key)
