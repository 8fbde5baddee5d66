"""What a store holds at one time: keys and ETags, and the ledger."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dataspec.catalog.ledger import LEDGER_KEY, Ledger
from dataspec.catalog.spec_storage import CODE_PREFIX, MANUAL_PREFIX
from dataspec.keys import is_hidden
from dataspec.store.base import ObjectInfo, etag_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.store.base import Store, StoredObject

ABSENT = ""
"""The ETag that a key without an object counts as."""


@dataclass(frozen=True)
class LedgerAtHand:
    """The ledger's object. A reader whose files are as they were never asks what is in it."""

    stored: StoredObject | None = None
    written: Ledger | None = None
    """What is in it, where this process has written it."""

    @cached_property
    def ledger(self) -> Ledger:
        """What is in it."""
        return self.written or Ledger.read(self.stored)


@dataclass(frozen=True)
class Listing:
    """The objects under ``code/`` and ``manual/`` at one time, and the ledger just before."""

    objects: Mapping[str, ObjectInfo]
    at_hand: LedgerAtHand

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.at_hand.ledger

    @property
    def ledger_etag(self) -> str:
        """The ledger's ETag; ``MISSING`` where there is none."""
        return etag_of(self.at_hand.stored)

    @cached_property
    def fingerprint(self) -> str:
        """A hash that differs when any object does."""
        lines = "\n".join([f"{key}\x00{info.etag}" for key, info in self.objects.items()])
        return hashlib.sha256(lines.encode()).hexdigest()

    def etag(self, key: str) -> str:
        """Return the ETag of a key, also of one without an object."""
        info = self.objects.get(key)
        return info.etag if info else ABSENT


class Lister:
    """Lists a store; the ledger is read again only when it has moved on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at_hand = LedgerAtHand()

    def listing(self) -> Listing:
        """List the store.

        The ledger is read first: what is missing from the listing and stands in an older
        ledger was removed; with a newer one it might only just have come.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        at_hand = self._at_hand
        stored = self._store.get(LEDGER_KEY, known=at_hand.stored)
        if stored is not at_hand.stored:
            at_hand = self._at_hand = LedgerAtHand(stored)
        objects = self._objects()
        if any(info.problem for info in objects.values()):
            objects = dict(_told(objects, at_hand.ledger))
        return Listing(objects, at_hand)

    def moved_on(self, stored: StoredObject, ledger: Ledger) -> None:
        """Take over the ledger that was just written, so that it need not be sent back."""
        self._at_hand = LedgerAtHand(stored, ledger)

    def _objects(self) -> dict[str, ObjectInfo]:
        """List both sources side by side: a store gives one page of each after the other."""
        with ThreadPoolExecutor(1, thread_name_prefix="listing") as beside:
            code = beside.submit(lambda: list(self._store.list(CODE_PREFIX)))
            manual = list(self._store.list(MANUAL_PREFIX))
            return {info.key: info for info in [*code.result(), *manual]}


def _told(objects: Mapping[str, ObjectInfo], ledger: Ledger) -> Iterator[tuple[str, ObjectInfo]]:
    """Yield the objects that count, those that can't be used included, so that each becomes a row.

    Hidden ones are other tools' and are passed over; one that was a dataset's is told, since that would
    else vanish without a word. So is each dataset in a folder that can't be looked into.
    """
    for key, info in objects.items():
        if info.problem is None or not is_hidden(key) or key in ledger.by_key:
            yield key, info
        if info.problem is not None and key.endswith("/"):
            for inside in ledger.by_key:
                if inside.startswith(key) and inside not in objects:
                    yield inside, ObjectInfo.unusable(inside, info.problem, info.last_modified)
