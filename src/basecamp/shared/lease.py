"""Leases: work that one replica at a time does (specification 6.5)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from basecamp.shared.clock import Clock
from basecamp.shared.unchanged import Unchanged
from dataspec.errors import CorruptObject, NewerFormat
from dataspec.store import Store, StoredObject
from dataspec.store.base import age_of, etag_of, try_delete, try_put
from dataspec.stored_document import Moment, StoredDocument

PREFIX = "basecamp/leases/"
NEWER = "a newer version of Basecamp"
"""Stands for the owner of a lease of a newer format, which this replica never takes."""


class LeaseRecord(StoredDocument):
    """A lease in the store."""

    owner: str
    until: Moment


class Lease:
    """An object with an owner, who renews it. It saves work; two owners at once must do no harm.

    Another replica's lease expires when its object has not changed for its duration: by the store's clock at the
    first look, then by this replica's monotonic clock. The owner's clock says nothing.

    Args:
        store: The store that keeps it.
        name: Names the work.
        owner: The id of this replica.
        clock: The clock.
    """

    def __init__(self, store: Store, name: str, owner: str, clock: Clock) -> None:
        self._store = store
        self._key = f"{PREFIX}{name}.json"
        self._owner = owner
        self._clock = clock
        self._unchanged = Unchanged(clock)

    def take(self, seconds: float) -> float:
        """Take or renew the lease.

        Args:
            seconds: Its duration, the same on every replica.

        Returns:
            0 when this replica has it, else the seconds until the other's ends.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        stored = self._store.get(self._key)
        owner = _owner(stored) if stored else None
        if owner == NEWER:
            return seconds
        if stored is not None and owner not in {None, self._owner}:
            left = seconds - self._unchanged.seconds(
                self._key, stored.etag, partial(age_of, self._store, self._key)
            )
            if left > 0:
                return left
        # Versions up to 0.1 read the end.
        body = LeaseRecord(owner=self._owner, until=self._clock.now() + timedelta(seconds=seconds)).body()
        written = try_put(self._store, self._key, body, expected=etag_of(stored))
        return seconds if written is None else 0.0

    def release(self) -> None:
        """Give up the lease and remove its object.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        stored = self._store.get(self._key)
        if stored is not None and _owner(stored) == self._owner:
            try_delete(self._store, self._key, expected=stored.etag)


def _owner(stored: StoredObject) -> str | None:
    """Return the owner of a lease; None for a damaged one, which is free: a lease only saves work."""
    try:
        return LeaseRecord.read(stored).owner
    except NewerFormat:
        return NEWER
    except CorruptObject:
        return None
