"""Objects in the store that this replica can't read: of a newer format, or damaged (specification 5.21, 5.22).

A newer format is never replaced or removed. A damaged object is copied to ``basecamp/quarantine/<key>/<hash>`` before
anything takes its place.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from basecamp.shared.clock import Clock
from dataspec.errors import CorruptObject, NewerFormat, UnreadableObject
from dataspec.store import Store, StoredObject
from dataspec.store.base import MISSING, try_delete, try_put, usable

log = logging.getLogger(__name__)

T = TypeVar("T")

QUARANTINE_PREFIX = "basecamp/quarantine/"
NEWER_COUNTS_SECONDS = 60.0
"""How long a newer format counts after it was met last: the background loops meet an object more often."""
DAMAGED_COUNTS_SECONDS = 24 * 3600.0
"""How long ``/readyz`` names a damaged object."""


@dataclass(frozen=True, slots=True)
class _Noted:
    text: str
    at: float


class ObjectReader:
    """Reads stored objects, and remembers those that this replica can't read. Safe to share between threads.

    Args:
        store: The store.
        clock: The clock.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._newer: dict[str, _Noted] = {}
        self._damaged: dict[str, _Noted] = {}

    def read(self, reader: Callable[[StoredObject], T], stored: StoredObject) -> T:
        """Parse an object, and note it if that fails.

        Raises:
            NewerFormat: When a newer version of this program wrote it.
            CorruptObject: When it is damaged.
        """
        try:
            found = reader(stored)
        except UnreadableObject as error:
            self.note(stored.key, error)
            raise
        self.note(stored.key, None)
        return found

    def read_or_put_aside(self, reader: Callable[[StoredObject], T], stored: StoredObject) -> T | None:
        """Parse an object; copy a damaged one to the quarantine and return None: the caller replaces it.

        Raises:
            NewerFormat: When a newer version of this program wrote it.
            StoreUnreachable: When the store does not answer.
        """
        try:
            return self.read(reader, stored)
        except CorruptObject as error:
            self._put_aside(stored, error)
            return None

    def read_or_remove(self, reader: Callable[[StoredObject], T], stored: StoredObject) -> T | None:
        """Parse an object; move a damaged one to the quarantine and return None.

        Raises:
            NewerFormat: When a newer version of this program wrote it.
            StoreUnreachable: When the store does not answer.
        """
        found = self.read_or_put_aside(reader, stored)
        if found is None:
            try_delete(self._store, stored.key, expected=stored.etag)
        return found

    def _put_aside(self, stored: StoredObject, error: CorruptObject) -> None:
        copy = quarantine_key(stored)
        if try_put(self._store, copy, stored.body, expected=MISSING) is not None:
            log.error("'%s' was copied to '%s' before it is replaced or removed.", stored.key, copy)
        text = f"{error.title} It was moved to '{copy}'."
        self._damaged[stored.key] = _Noted(text, self._clock.monotonic())

    def note(self, key: str, error: UnreadableObject | None) -> None:
        """Note the result of reading an object, and log a problem when it is new."""
        if error is None:
            self._newer.pop(key, None)
            return
        kind = self._newer if isinstance(error, NewerFormat) else self._damaged
        noted = _Noted(error.title, self._clock.monotonic())
        if kind.setdefault(key, noted) is noted:  # one of the threads that meet it at once
            log.error("%s", error.title)
        kind[key] = noted

    def newer(self) -> list[str]:
        """Return a line for each object of a newer format that was met lately."""
        return list(self._recent(self._newer, NEWER_COUNTS_SECONDS))

    def damaged(self) -> list[str]:
        """Return a line for each damaged object of the last day."""
        return list(self._recent(self._damaged, DAMAGED_COUNTS_SECONDS))

    def quarantined(self, prefix: str) -> list[str]:
        """Return the keys in the quarantine of objects under a prefix.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        return [info.key for info in usable(self._store.list(f"{QUARANTINE_PREFIX}{prefix}"))]

    def _recent(self, noted: dict[str, _Noted], seconds: float) -> Iterator[str]:
        oldest = self._clock.monotonic() - seconds
        for key, one in sorted(noted.copy().items()):
            if one.at < oldest:
                noted.pop(key, None)
            else:
                yield one.text


def quarantine_key(stored: StoredObject) -> str:
    """Return the key of a damaged object's copy, equal for every replica that finds it."""
    return f"{QUARANTINE_PREFIX}{stored.key}/{hashlib.sha256(stored.body).hexdigest()[:16]}"
