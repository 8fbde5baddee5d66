"""Idempotency keys: a repeated request has one effect, on whichever replica it arrives.

The first request with a key writes its plan, create-only, under
``basecamp/idempotency/<day>/``; a repeated request reads the plan and does the same.
Keys are kept for ten minutes at least, usually until midnight UTC.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from basecamp.shared.clock import Clock
from dataspec.errors import InvalidUsage, StoreUnreachable
from dataspec.store import Store
from dataspec.store.base import MISSING, try_delete, try_put, usable

log = logging.getLogger(__name__)

PREFIX = "basecamp/idempotency/"
MAX_KEY_LENGTH = 255
MIN_AGE = timedelta(minutes=10)
"""How long after midnight the keys of the previous day count as well."""
KEPT_DAYS = 2


@dataclass(frozen=True, slots=True)
class Reservation:
    """The plan of the first request with a key."""

    key: str
    etag: str
    request: str
    """The digest of the request's values."""
    plan: Mapping[str, Any]
    is_new: bool


class Reservations:
    """The plans of requests, by their idempotency keys."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._swept: date | None = None

    def reserve(self, key: str, request: Sequence[Any], plan: Mapping[str, Any]) -> Reservation:
        """Write a request's plan, or return the one of the first request with its key.

        Args:
            key: The request's idempotency key.
            request: The request's values; a second request with the key must have the same.
            plan: The plan of a first request.

        Raises:
            InvalidUsage: When the key was used for another request.
            StoreUnreachable: When the store does not answer.
        """
        self._sweep_once_a_day()
        digest = _digest(request)
        today, *before = self._paths(key)
        for path in before:
            if found := self._read(path, digest):
                return found
        etag = try_put(self._store, today, _body(digest, plan), expected=MISSING)
        if etag is None:
            return self._read(today, digest) or self.reserve(key, request, plan)
        return Reservation(today, etag, digest, plan, is_new=True)

    def find(self, key: str, request: Sequence[Any]) -> Reservation | None:
        """Return the plan of the first request with this key, if any.

        Raises:
            InvalidUsage: When the key was used for another request.
            StoreUnreachable: When the store does not answer.
        """
        digest = _digest(request)
        found = (self._read(path, digest) for path in self._paths(key))
        return next((reservation for reservation in found if reservation), None)

    def change(self, reservation: Reservation, plan: Mapping[str, Any]) -> Reservation:
        """Replace a plan that can't be carried out, or return another request's replacement.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        body = _body(reservation.request, plan)
        etag = try_put(self._store, reservation.key, body, expected=reservation.etag)
        if etag is None:
            return self._read(reservation.key, reservation.request) or reservation
        return replace(reservation, etag=etag, plan=plan, is_new=False)

    def _read(self, path: str, digest: str) -> Reservation | None:
        stored = self._store.get(path)
        if stored is None:
            return None
        record = json.loads(stored.body)
        if record["request"] != digest:
            raise InvalidUsage(
                "This Idempotency-Key was used for another request.", detail="Use a new key for each request."
            )
        return Reservation(path, stored.etag, digest, record["plan"], is_new=False)

    def _paths(self, key: str) -> list[str]:
        """Return the keys in the store of a plan: today's, and yesterday's shortly after midnight."""
        if not 1 <= len(key) <= MAX_KEY_LENGTH:
            raise InvalidUsage(f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} characters.")
        name = hashlib.sha256(key.encode()).hexdigest()
        now = self._clock.now()
        days = dict.fromkeys((now.date(), (now - MIN_AGE).date()))
        return [f"{PREFIX}{day:%Y%m%d}/{name}.json" for day in days]

    def _sweep_once_a_day(self) -> None:
        today = self._clock.now().date()
        if self._swept != today:
            self._swept = today
            threading.Thread(target=self.sweep, name="sweep-idempotency-keys", daemon=True).start()

    def sweep(self) -> None:
        """Remove the plans of past days; other replicas do so as well."""
        oldest = f"{self._clock.now().date() - timedelta(days=KEPT_DAYS - 1):%Y%m%d}"
        try:
            for info in usable(self._store.list(PREFIX)):
                if info.key.removeprefix(PREFIX).partition("/")[0] < oldest:
                    try_delete(self._store, info.key, expected=info.etag)
        except StoreUnreachable as error:
            log.warning("Old idempotency keys could not be removed: %s", error.detail)


def _body(digest: str, plan: Mapping[str, Any]) -> bytes:
    return json.dumps({"request": digest, "plan": plan}).encode()


def _digest(request: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()
