"""List the store: keys, ETags and the ledger at one time."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dataspec.catalog.ledger import LEDGER_KEY, NO_LEDGER, Ledger
from dataspec.catalog.spec_storage import CODE_PREFIX, MANUAL_PREFIX
from dataspec.errors import CorruptObject, UnreadableObject
from dataspec.keys import is_hidden
from dataspec.store.base import ObjectInfo, etag_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.store.base import Store, StoredObject

ABSENT = ""
"""The ETag of a key without an object."""


@dataclass(frozen=True)
class LedgerAtHand:
    """The ledger's object, parsed on the first use: a reader without changes never needs it."""

    stored: StoredObject | None = None
    before: Ledger = NO_LEDGER
    """The ledger that this process read before; it stands in for one that can't be read."""
    written: Ledger | None = None
    """The ledger, if this process has written it."""

    @property
    def ledger(self) -> Ledger:
        """The ledger; for one that can't be read, what this process knows and what can be read of it."""
        return self._parsed[0]

    @property
    def error(self) -> UnreadableObject | None:
        """Why the ledger can't be read; None for one that can."""
        return self._parsed[1]

    @cached_property
    def _parsed(self) -> tuple[Ledger, UnreadableObject | None]:
        if self.written is not None or self.stored is None:
            return self.written or NO_LEDGER, None
        try:
            return self.before.following(self.stored), None
        except CorruptObject as error:
            entries = {**self.before.entries, **Ledger.salvaged(self.stored).entries}
            return self.before.changed(entries=entries), error
        except UnreadableObject as error:
            return self.before, error


@dataclass(frozen=True)
class StoreListing:
    """The objects under ``code/`` and ``manual/`` at one time, and the ledger just before that."""

    objects: Mapping[str, ObjectInfo]
    at_hand: LedgerAtHand

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.at_hand.ledger

    @property
    def ledger_error(self) -> UnreadableObject | None:
        """Why the ledger can't be read; None for one that can."""
        return self.at_hand.error

    @property
    def ledger_etag(self) -> str:
        """The ledger's ETag; ``MISSING`` without a ledger."""
        return etag_of(self.at_hand.stored)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all keys and ETags."""
        lines = "\n".join([f"{key}\x00{info.etag}" for key, info in self.objects.items()])
        return hashlib.sha256(lines.encode()).hexdigest()

    def etag(self, key: str) -> str:
        """Return the ETag of a key; ``ABSENT`` without an object."""
        info = self.objects.get(key)
        return info.etag if info else ABSENT


class StoreLister:
    """Lists a store, and reads the ledger again only if it changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at_hand = LedgerAtHand()

    def listing(self) -> StoreListing:
        """List the store.

        The ledger is read first: an object that is in the older ledger and not in the listing was removed. With a
        newer ledger, it might have been added after the listing.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        at_hand = self._at_hand
        stored = self._store.get(LEDGER_KEY, known=at_hand.stored)
        if stored is not at_hand.stored:
            at_hand = self._at_hand = LedgerAtHand(stored, before=at_hand.ledger)
        objects = self._objects()
        if any(info.problem for info in objects.values()):
            objects = dict(_shown(objects, at_hand.ledger))
        return StoreListing(objects, at_hand)

    def moved_on(self, stored: StoredObject, ledger: Ledger) -> None:
        """Take the ledger that this process has just written, without reading it back."""
        self._at_hand = LedgerAtHand(stored, written=ledger)

    def _objects(self) -> dict[str, ObjectInfo]:
        """List both sources in parallel: a store returns the pages of one listing in sequence."""
        with ThreadPoolExecutor(1, thread_name_prefix="listing") as beside:
            code = beside.submit(lambda: list(self._store.list(CODE_PREFIX)))
            manual = list(self._store.list(MANUAL_PREFIX))
            return {info.key: info for info in [*code.result(), *manual]}


def _shown(objects: Mapping[str, ObjectInfo], ledger: Ledger) -> Iterator[tuple[str, ObjectInfo]]:
    """Yield the objects that become rows, also those that can't be used.

    Hidden objects belong to other tools and are skipped, unless the ledger has a dataset there, which would otherwise
    disappear without a message. Each dataset in an unreadable folder is included for the same reason.
    """
    for key, info in objects.items():
        if info.problem is None or not is_hidden(key) or key in ledger.by_key:
            yield key, info
        if info.problem is not None and key.endswith("/"):
            for inside in ledger.by_key:
                if inside.startswith(key) and inside not in objects:
                    yield inside, ObjectInfo.unusable(inside, info.problem, info.last_modified)
