"""Check that the store honours conditional writes; some servers with S3's API ignore them (specification 5.11)."""

from __future__ import annotations

import uuid

from basecamp.monitoring.housekeeping import PROBE_PREFIX
from dataspec.errors import InvalidSettings
from dataspec.store import Store
from dataspec.store.base import MISSING, PreconditionFailed, try_delete, try_put


def prove_conditional_writes(store: Store) -> None:
    """Write an object in ways that must be refused, then remove it.

    Raises:
        InvalidSettings: When the store accepts what it must refuse: with such a store
            two users who change a dataset at once would overwrite each other.
        StoreUnreachable: When the store does not answer, or lets nothing be written.
    """
    key = f"{PROBE_PREFIX}{uuid.uuid4().hex}"
    first = store.put(key, b"first", expected=MISSING)
    try:
        if try_put(store, key, b"created twice", expected=MISSING) is not None:
            raise _refused(store, "it overwrites an object that was to be created only")
        second = store.put(key, b"second", expected=first)
        if try_put(store, key, b"stale", expected=first) is not None:
            raise _refused(store, "it overwrites an object that has changed")
        if second == first:
            raise _refused(store, "its ETags don't tell one content from another")
    except PreconditionFailed:
        raise _refused(store, f"it refuses a write with the right ETag{_setting(store)}") from None
    finally:
        _remove(store, key)


def _remove(store: Store, key: str) -> None:
    stored = store.get(key)
    if stored is not None:
        try_delete(store, key, expected=stored.etag)


def _setting(store: Store) -> str:
    """Return a hint for servers that accept ETags only without their quotes."""
    if not store.url.startswith("s3:"):
        return ""
    return " (Ceph takes it without quotes only: add ?unquoted_etags=true to the store's address)"


def _refused(store: Store, why: str) -> InvalidSettings:
    return InvalidSettings(
        f"The store {store.url} does not honour conditional writes: {why}. Use a store that does, such as S3."
    )
