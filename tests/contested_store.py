"""A store in which somebody else acts between two calls."""

from __future__ import annotations

from collections.abc import Callable

from dataspec.store import MemoryStore, StoredObject


class ContestedStore(MemoryStore):
    """A store in which somebody else acts before the n-th call that concerns a manual spec."""

    def __init__(self) -> None:
        super().__init__()
        self._left = 0
        self._act: Callable[[], object] | None = None

    def contest(self, moment: int, act: Callable[[], object]) -> None:
        self._left, self._act = moment, act

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        self._count(key)
        return super().get(key, known=known)

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        self._count(key)
        return super().put(key, body, expected=expected)

    def _count(self, key: str) -> None:
        act = self._act
        if act is None or not key.startswith("manual/"):
            return
        self._left -= 1
        if self._left < 0:
            self._act = None
            act()
