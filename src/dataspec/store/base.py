"""What a store can do. One interface; the same contract tests pass on each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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
    """An object as a listing shows it. The ETag alone tells whether it changed (decisions 4)."""

    key: str
    etag: str
    size: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes and the ETag that they have."""

    key: str
    etag: str
    body: bytes


class Store(Protocol):
    """A flat space of keys, such as ``manual/sales.daily.yaml``.

    Every call ends within the store's timeout and raises
    :class:`~dataspec.errors.StoreUnreachable` when there is no answer.
    """

    @property
    def url(self) -> str:
        """The store's address, free of credentials."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every object under a prefix, in the order of keys, over all pages."""
        ...

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        """Return an object, or None if there is none.

        Args:
            key: The object's key.
            known: What the caller has of it; returned as it is while the object has that ETag,
                which a bucket answers without sending it again.
        """
        ...

    def get_many(self, keys: Iterable[str]) -> dict[str, StoredObject]:
        """Return the objects of those keys that exist, read side by side."""
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
