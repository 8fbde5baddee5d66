"""API tokens on a store that counts its calls and can be silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from basecamp.access.principal import Grant, Role
from basecamp.shared.clock import ManualClock
from dataspec.errors import Unauthorized
from dataspec.store import MemoryStore
from dataspec.store.base import ObjectInfo, StoredObject, StoreDown

OPERATOR = Grant(Role.OPERATOR, frozenset({"@ops"}))
DAY = timedelta(days=1)


class WatchedStore(MemoryStore):
    """Counts the calls by method; raises for each while it is down."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(now=clock.now)
        self.calls: Counter[str] = Counter()
        self.is_down = False

    def _note(self, method: str) -> None:
        self.calls[method] += 1
        if self.is_down:
            raise StoreDown("The store does not answer.")

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._note("list")
        return super().list(prefix)

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        self._note("get")
        return super().get(key, known=known)

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        self._note("put")
        return super().put(key, body, expected=expected)


@contextmanager
def refused(reason: str) -> Iterator[pytest.ExceptionInfo[Unauthorized]]:
    """Expect that a token is refused, for a reason that is one line and has no part of it."""
    with pytest.raises(Unauthorized) as found:
        yield found
    assert found.value.title == "The token is not valid."
    assert reason in str(found.value.detail)
    assert "\n" not in str(found.value.detail)
