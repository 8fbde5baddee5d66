"""The interface of a store. Every kind of store passes the same contract tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from dataspec.errors import InvalidKey, StoreUnreachable, UnreadableObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

MISSING: Final = "*missing*"
"""The ``expected`` ETag of a write that may only create."""


class PreconditionFailed(Exception):
    """The object does not have the ETag that the writer expected: another writer was first."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} was changed by someone else")
        self.key = key


class StoreDown(StoreUnreachable):
    """The store does not answer in time, or can't serve requests now. A write may still take effect."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing shows it. The ETag alone tells whether it changed (specification 4.7)."""

    key: str
    etag: str
    size: int
    last_modified: datetime
    problem: str | None = None
    """Why the object can't be used: its key is not valid, or it can't be read."""

    @classmethod
    def unusable(cls, key: str, problem: str, last_modified: datetime) -> ObjectInfo:
        """Return the entry of an object that can't be used, with its problem as the ETag."""
        return cls(key, problem, 0, last_modified, problem)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The content of an object and its ETag."""

    key: str
    etag: str
    body: bytes


class Found(dict[str, StoredObject]):
    """The objects that exist and could be read, by key."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: dict[str, str] = {}
        """Why the other objects could not be read, by key; the rest of a batch is read anyway."""

    def take(self, key: str, read: Callable[[], StoredObject | None]) -> None:
        """Read an object and record it as found or unreadable."""
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


def age_of(store: Store, key: str) -> timedelta:
    """Return for how long an object has been as it is, by the store's clock; 0 for one that is missing.

    Raises:
        StoreUnreachable: When the store does not answer.
    """
    written = next((info.last_modified for info in store.list(key) if info.key == key), None)
    return max(store.now() - written, timedelta(0)) if written else timedelta(0)


def usable(listed: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    """Yield the objects of a listing that can be read."""
    return (info for info in listed if info.problem is None)


class Store(Protocol):
    """A flat space of keys, such as ``manual/sales.daily.yaml``.

    All kinds of store accept the same keys (:mod:`dataspec.keys`). Every call ends within the store's timeout. It
    raises :class:`~dataspec.errors.StoreUnreachable` when the store does not answer and
    :class:`~dataspec.errors.InvalidKey` for a key that is not valid.
    """

    @property
    def url(self) -> str:
        """The store's address, free of credentials."""
        ...

    def now(self) -> datetime:
        """Return the time of the clock that sets ``last_modified``; it may be cut to the second."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object under a prefix, in the order of keys, over all pages.

        Objects of other programs that can't be used are included, with a ``problem`` and a printable key;
        :func:`usable` filters them out. A folder that can't be read is such an object, with a key that ends in
        ``/``.
        """
        ...

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        """Return an object, or None if there is none.

        Args:
            key: The object's key.
            known: A copy that the caller has; returned if the object still has its ETag, which a bucket tells
                without sending the content.

        Raises:
            UnreadableObject: When the object exists and can't be read.
        """
        ...

    def get_many(self, keys: Iterable[str]) -> Found:
        """Return the objects with these keys that exist, read in parallel; an unreadable one does not fail the others."""
        ...

    def put(self, key: str, body: bytes, *, expected: str) -> str:
        """Write an object if it has the expected ETag, or does not exist for ``MISSING``.

        Returns:
            The new ETag.

        Raises:
            PreconditionFailed: When another writer was first; nothing is written.
        """
        ...

    def delete(self, key: str, *, expected: str) -> None:
        """Remove an object if it has the expected ETag.

        Raises:
            PreconditionFailed: When it has another ETag or does not exist.
        """
        ...
