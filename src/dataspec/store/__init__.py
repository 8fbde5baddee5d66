"""The store: a bucket, or a folder, that holds every spec (specification 5.2, 5.9)."""

from dataspec.store.base import Found, ObjectInfo, PreconditionFailed, Store, StoredObject
from dataspec.store.memory import MemoryStore
from dataspec.store.opening import open_store

__all__ = ["Found", "MemoryStore", "ObjectInfo", "PreconditionFailed", "Store", "StoredObject", "open_store"]
