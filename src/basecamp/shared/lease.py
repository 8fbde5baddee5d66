"""Leases: work that one replica at a time does (specification 6.5)."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from basecamp.shared.clock import Clock
from dataspec.store import Store, StoredObject
from dataspec.store.base import etag_of, try_delete, try_put

PREFIX = "basecamp/leases/"


class Lease:
    """An object with an owner and an end. It saves work; two owners at once must do no harm.

    Args:
        store: The store that keeps it.
        name: Names the work.
        owner: The id of this replica.
        clock: The clock; the replicas' clocks may differ by seconds.
    """

    def __init__(self, store: Store, name: str, owner: str, clock: Clock) -> None:
        self._store = store
        self._key = f"{PREFIX}{name}.json"
        self._owner = owner
        self._clock = clock

    def take(self, seconds: float) -> float:
        """Take or renew the lease.

        Args:
            seconds: Its duration.

        Returns:
            0 when this replica has it, else the seconds until the other's ends.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        now = self._clock.now()
        stored = self._store.get(self._key)
        owner, until = _read(stored, now)
        if owner != self._owner and until > now:
            return min((until - now).total_seconds(), seconds)
        body = json.dumps({"owner": self._owner, "until": (now + timedelta(seconds=seconds)).isoformat()})
        written = try_put(self._store, self._key, body.encode(), expected=etag_of(stored))
        return seconds if written is None else 0.0

    def release(self) -> None:
        """Give up the lease and remove its object.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        stored = self._store.get(self._key)
        if stored is not None and _read(stored, self._clock.now())[0] == self._owner:
            try_delete(self._store, self._key, expected=stored.etag)


def _read(stored: StoredObject | None, now: datetime) -> tuple[str | None, datetime]:
    try:
        data = json.loads(stored.body) if stored else {}
        return data["owner"], datetime.fromisoformat(data["until"])
    except (ValueError, LookupError, TypeError):
        return None, now
