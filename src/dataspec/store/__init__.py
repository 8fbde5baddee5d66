"""The store, a bucket or a folder: read and write objects conditionally (specification 5.2, 5.9)."""

from dataspec.store.base import (
    Found,
    ObjectInfo,
    PreconditionFailed,
    Store,
    StoredObject,
    etag_of,
    try_delete,
    try_put,
)
from dataspec.store.memory import MemoryStore
from dataspec.store.opening import open_store

__all__ = [
    "Found",
    "MemoryStore",
    "ObjectInfo",
    "PreconditionFailed",
    "Store",
    "StoredObject",
    "etag_of",
    "open_store",
    "try_delete",
    "try_put",
]
