"""What a store can do. One interface; the same contract tests pass on each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from dataspec.errors import InvalidKey, UnreadableObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

MISSING: Final = "*missing*"
"""The ``expected`` ETag of a write that may only create."""


class PreconditionFailed(Exception):
    """The object is not the one that the writer expected: someone else was first."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} was changed by someone else")
        self.key = key


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing shows it. The ETag alone tells whether it changed (specification 4.7)."""

    key: str
    etag: str
    size: int
    last_modified: datetime
    problem: str | None = None
    """Why no reader can use the object: it has a key that is none, or can't be read."""

    @classmethod
    def unusable(cls, key: str, problem: str, last_modified: datetime) -> ObjectInfo:
        """Return an object that no reader can use; its problem stands for the ETag."""
        return cls(key, problem, 0, last_modified, problem)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes and the ETag that they have."""

    key: str
    etag: str
    body: bytes


class Found(dict[str, StoredObject]):
    """Objects by their keys, as far as they exist and can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: dict[str, str] = {}
        """Why others could not be read, by their keys: one of them must not keep the rest from being read."""

    def take(self, key: str, read: Callable[[], StoredObject | None]) -> None:
        """Read an object, and put it among those that were found or those that can't be read."""
        try:
            stored = read()
        except (InvalidKey, UnreadableObject) as error:
            self.unreadable[key] = error.reason
        else:
            if stored is not None:
                self[key] = stored


def etag_of(stored: StoredObject | None) -> str:
    """Return what a write to an object that was read expects: its ETag, or ``MISSING`` where there was none."""
    return stored.etag if stored else MISSING


def try_put(store: Store, key: str, body: bytes, *, expected: str) -> str | None:
    """Write an object as :meth:`Store.put` does.

    Returns:
        The new ETag; None where another writer was first.

    Raises:
        StoreUnreachable: When the store does not answer.
    """
    try:
        return store.put(key, body, expected=expected)
    except PreconditionFailed:
        return None


def try_delete(store: Store, key: str, *, expected: str) -> bool:
    """Remove an object as :meth:`Store.delete` does; return False where another writer was first.

    Raises:
        StoreUnreachable: When the store does not answer.
    """
    try:
        store.delete(key, expected=expected)
    except PreconditionFailed:
        return False
    return True


def usable(listed: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    """Yield the objects of a listing that can be read."""
    return (info for info in listed if info.problem is None)


class Store(Protocol):
    """A flat space of keys, such as ``manual/sales.daily.yaml``.

    What a key is, is the same for every kind of store (:mod:`dataspec.keys`). Every call ends
    within the store's timeout and raises :class:`~dataspec.errors.StoreUnreachable` when there is no
    answer, and :class:`~dataspec.errors.InvalidKey` for a key that is none.
    """

    @property
    def url(self) -> str:
        """The store's address, free of credentials."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object under a prefix, in the order of keys, over all pages.

        What other programs put there and no reader can use is among them, with its ``problem``, and
        its key as it can be shown: :func:`usable` leaves it out. A folder that can't be looked into is
        such an object, whose key ends in ``/``.
        """
        ...

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        """Return an object, or None if there is none.

        Args:
            key: The object's key.
            known: What the caller has of it; returned as it is while the object has that ETag,
                which a bucket answers without sending it again.

        Raises:
            UnreadableObject: When the object is there and can't be read.
        """
        ...

    def get_many(self, keys: Iterable[str]) -> Found:
        """Return the objects of those keys that exist, read side by side; no key stops the others."""
        ...

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        """Write an object if it has the expected ETag, or does not exist for ``MISSING``.

        Returns:
            The new ETag.

        Raises:
            PreconditionFailed: When someone else was first; nothing is written.
        """
        ...

    def delete(self, key: str, *, expected: str) -> None:
        """Remove an object if it has the expected ETag.

        Raises:
            PreconditionFailed: When it has another, or is gone.
        """
        ...
