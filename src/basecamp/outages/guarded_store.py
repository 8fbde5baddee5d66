"""A store that bounds each call by the request's budget, and fails at once while it does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from basecamp.outages.circuit_breaker import CircuitBreaker
from basecamp.outages.request_budget import call_within_budget
from basecamp.outages.shared_calls import SharedCalls
from dataspec.errors import StoreUnreachable
from dataspec.store import Store, StoredObject
from dataspec.store.base import Found, ObjectInfo, StoreDown
from dataspec.store.call_budget import CallBudgetExceeded

T = TypeVar("T")

PROBE_KEY = "basecamp/probe"
"""An object that does not exist: a store that says so answers."""
UNKNOWN = "Whether '{}' was changed is not known: look before you repeat this."


class GuardedStore:
    """Wraps the store for all services. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lists: SharedCalls[Sequence[ObjectInfo]] = SharedCalls()
        self._breaker: CircuitBreaker[StoreUnreachable] = CircuitBreaker("The store", self._answers)

    @property
    def url(self) -> str:
        """The store's address, free of credentials."""
        return self._store.url

    def now(self) -> datetime:
        """Return the time of the clock that sets ``last_modified``."""
        return self._call(self._store.now)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object under a prefix; see :class:`~dataspec.store.Store`."""
        self._breaker.check()
        listing = partial(self._lists.call, prefix, lambda: list(self._store.list(prefix)))
        return iter(self._answered(listing))

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        """Return an object, or None if there is none."""
        return self._call(lambda: self._store.get(key, known=known))

    def get_many(self, keys: Iterable[str]) -> Found:
        """Return the objects with these keys that exist."""
        return self._call(lambda: self._store.get_many(keys))

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        """Write an object if it has the expected ETag. An error says so if the write may take effect later."""
        return self._change(key, lambda: self._store.put(key, body, expected=expected))

    def delete(self, key: str, *, expected: str) -> None:
        """Remove an object if it has the expected ETag. An error says so if the removal may take effect later."""
        self._change(key, lambda: self._store.delete(key, expected=expected))

    def _change(self, key: str, change: Callable[[], T]) -> T:
        self._breaker.check()
        try:
            return self._answered(lambda: call_within_budget(change))
        except StoreDown as error:
            detail = f"{error.detail}\n{UNKNOWN.format(key)}"
            raise StoreDown(error.title, detail=detail) from error

    def _call(self, call: Callable[[], T]) -> T:
        self._breaker.check()
        return self._answered(lambda: call_within_budget(call))

    def _answered(self, call: Callable[[], T]) -> T:
        """Return the result of a call; open the breaker if it gets no answer."""
        try:
            return call()
        except CallBudgetExceeded:
            failure = StoreDown("The store does not answer.", detail=f"{self.url}: no answer in time.")
            self._breaker.open(failure)
            raise failure from None
        except StoreDown as failure:
            self._breaker.open(failure)
            raise

    def _answers(self) -> bool:
        try:
            self._store.get(PROBE_KEY)
        except StoreDown:
            return False
        except StoreUnreachable:
            return True
        return True
