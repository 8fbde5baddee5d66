"""Counts what is asked of a store, and asks the same of the library that it is built on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import obstore
from calls import Cost
from obstore.store import S3Store

from dataspec.catalog.spec_storage import CODE_PREFIX, MANUAL_PREFIX
from dataspec.store import Found, ObjectInfo, Store, StoredObject
from dataspec.store.bucket import PAGE_KEYS

PREFIXES = (CODE_PREFIX, MANUAL_PREFIX)


@dataclass
class CountingStore:
    """A store that counts the objects which are read of it."""

    store: Store
    gets: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """The store's address."""
        return self.store.url

    def now(self) -> datetime:
        """Return the store's time."""
        return self.store.now()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List."""
        return self.store.list(prefix)

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        """Read one, and count it."""
        with self._lock:
            self.gets += 1
        return self.store.get(key, known=known)

    def get_many(self, keys: Iterable[str]) -> Found:
        """Read many, and count them."""
        wanted = list(keys)
        with self._lock:
            self.gets += len(wanted)
        return self.store.get_many(wanted)

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        """Write."""
        return self.store.put(key, body, expected=expected)

    def delete(self, key: str, *, expected: str) -> None:
        """Remove."""
        self.store.delete(key, expected=expected)

    def cost_of(self, run: Callable[[], object]) -> Cost:
        """Run something on this store, and return what it cost."""
        gets, wall, cpu = self.gets, time.perf_counter(), time.process_time()
        run()
        took, used = time.perf_counter() - wall, time.process_time() - cpu
        return Cost(took * 1000, used * 1000, self.gets - gets)


def bare_list(client: S3Store) -> int:
    """List what a check lists, page after page, by the library alone; return the number of keys."""
    return sum(
        len(page) for prefix in PREFIXES for page in obstore.list(client, prefix=prefix, chunk_size=PAGE_KEYS)
    )


def resident_megabytes(pid: int) -> float:
    """Return how much memory a process has at this moment."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000
