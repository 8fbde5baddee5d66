"""Read, write and remove a spec together with its SQL, atomically for readers (specification 5.4).

The layout and the protocol are described in ``docs/architecture.md``, "The store".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from dataspec.catalog.sql_map import (
    KEPT,
    PENDING,
    SpecWriter,
    belongs_to_others,
    check_map,
    digest_of,
    file_map_key,
    is_sql_of,
    mapped_files,
    read_map,
    sha256_of,
    sharing_keys,
    sql_digests,
    sql_key,
    sql_prefix,
)
from dataspec.errors import Conflict, InvalidSpec, StoreUnreachable
from dataspec.problems import Problem
from dataspec.spec.identity import spec_hash
from dataspec.store.base import MISSING, PreconditionFailed, etag_of, try_delete, try_put, usable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dataspec.store.base import ObjectInfo, Store, StoredObject

CODE_PREFIX = "code/"
MANUAL_PREFIX = "manual/"
SPEC_SUFFIXES = (".yaml", ".yml")

_REMOVING_SECONDS = PENDING.total_seconds() / 2
"""No removal of SQL begins later than this after the mark; the other half is for the last one, which may be retried."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a dataset: the YAML's bytes, and its SQL files by the path in the spec."""

    yaml: bytes
    files: Mapping[str, str]

    @property
    def spec_hash(self) -> str:
        """The hash of the YAML and its SQL, which identifies this version."""
        return spec_hash(self.yaml, self.files)


def manual_key(name: str) -> str:
    """Return the key of a dataset's manual spec."""
    return f"{MANUAL_PREFIX}{name}.yaml"


def is_spec_key(key: str) -> bool:
    """Tell whether a key may hold a spec."""
    return key.endswith(SPEC_SUFFIXES)


def _stored_sql(store: Store, spec_key: str) -> list[ObjectInfo]:
    """List the SQL of a YAML that has a map: only what is named by a digest, since others may put files there."""
    return [info for info in usable(store.list(sql_prefix(spec_key))) if is_sql_of(spec_key, info.key)]


def sibling_key(spec_key: str, path: str) -> str:
    """Return the key of a SQL file beside its YAML, where a plain copy of a project has it."""
    folder, slash, _ = spec_key.rpartition("/")
    return f"{folder}{slash}{path}"


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release in the store, with the ETags for a conditional write."""

    release: Release
    etag: str
    files_etag: str


def read_release(store: Store, key: str, named: Iterable[str] = ()) -> StoredRelease | None:
    """Return a spec with its SQL; None if there is none, or if one of its files was removed meanwhile.

    Args:
        store: The store.
        key: The YAML's key.
        named: The paths of SQL files in the spec, for a spec without a map.

    Raises:
        InvalidSpec: When its map or a SQL file can't be used.
        StoreUnreachable: When the store does not answer.
    """
    stored = store.get(key)
    if stored is None:
        return None
    file_map = store.get(file_map_key(key))
    check_map(file_map if named else None)
    mapped = mapped_files(file_map, stored.body)
    if mapped is None:
        places = {path: sibling_key(key, path) for path in named}
    else:
        places = {path: sql_key(key, digest) for path, digest in mapped.items()}
    found = store.get_many(set(places.values()))
    for place, reason in found.unreadable.items():
        raise InvalidSpec([Problem(f"the SQL file can't be used: {reason}.", place)])
    if not found.keys() >= set(places.values()):
        return None
    files = {path: sql_text(found[place], path) for path, place in places.items()}
    return StoredRelease(Release(stored.body, files), stored.etag, etag_of(file_map))


def sql_text(stored: StoredObject, path: str) -> str:
    """Return the text of a SQL file.

    Raises:
        InvalidSpec: When it is not UTF-8.
    """
    try:
        return stored.body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"the SQL file '{path}' is not UTF-8 (byte {error.start})."
        raise InvalidSpec([Problem(message, stored.key)]) from None


def write_release(
    store: Store,
    key: str,
    release: Release,
    *,
    if_match: str | None = None,
    files_if_match: str | None = None,
    writer: SpecWriter | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> str:
    """Write a spec and its SQL; a reader never sees one without the other.

    Args:
        store: The store.
        key: The YAML's key.
        release: What to write.
        if_match: The ETag that the YAML must have; ``None`` for any.
        files_if_match: The ETag that the map to its SQL must have; ``None`` for any.
        writer: Who writes it, and by what, kept in the map; ``None`` for a publication.
        now: Returns the current time.

    Returns:
        The YAML's new ETag.

    Raises:
        Conflict: When another writer was first; nothing that a reader sees has changed.
        NewerFormat: When a newer version of this program wrote the map; nothing is written.
    """
    current = store.get(key)
    etag = etag_of(current)
    if if_match is not None and if_match != etag:
        raise _conflict(key)
    kept = store.get(file_map_key(key))
    if files_if_match is not None and files_if_match != etag_of(kept):
        raise _conflict(key)
    read_map(kept)
    try:
        if release.files or writer is not None:
            body = current.body if current else None
            _write_files(store, key, release, current=body, kept=kept, now=now(), writer=writer)
        if current is None or current.body != release.yaml:
            etag = store.put(key, release.yaml, expected=etag)
    except PreconditionFailed:
        raise _conflict(key) from None
    if kept is not None:
        _sweep(store, key, now())
    return etag


def delete_release(
    store: Store, key: str, *, if_match: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Remove a spec with its map and SQL, the YAML first: a reader never sees it without them.

    Args:
        store: The store.
        key: The YAML's key.
        if_match: The ETag that the YAML must have.
        now: Returns the current time.

    Raises:
        Conflict: When another writer was first; nothing is removed.
        NewerFormat: When a newer version of this program wrote the map; nothing is removed.
    """
    kept = store.get(file_map_key(key))
    read_map(kept)
    if not try_delete(store, key, expected=if_match):
        raise _conflict(key)
    if kept is not None:
        _delete_files(store, key, kept, now())


def delete_leftovers(
    store: Store, key: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Remove the map and the SQL of a YAML that was removed; do nothing if it exists."""
    kept = store.get(file_map_key(key))
    if store.get(key) is None:
        _delete_files(store, key, kept, now())


def _delete_files(store: Store, key: str, kept: StoredObject | None, now: datetime) -> None:
    """Remove a map and its SQL; meanwhile, a mark in the map makes writers fail."""
    if belongs_to_others(kept) or any(store.get(other) for other in sharing_keys(key)):
        return
    mark = json.dumps({"versions": {}, "removed_at": now.isoformat()}).encode()
    marked_at = monotonic()
    try:
        marked = store.put(file_map_key(key), mark, expected=etag_of(kept))
        _delete_sql(store, _stored_sql(store, key), marked_at)
        store.delete(file_map_key(key), expected=marked)
    except PreconditionFailed:
        return  # another process writes the dataset again, or removes it as well


def _delete_sql(store: Store, sql: Iterable[ObjectInfo], marked_at: float) -> None:
    """Remove SQL while the mark in its map keeps writers off; a later write removes the rest."""
    for info in sql:
        if monotonic() - marked_at > _REMOVING_SECONDS:
            return
        store.delete(info.key, expected=info.etag)


def _write_files(
    store: Store,
    key: str,
    release: Release,
    *,
    current: bytes | None,
    kept: StoredObject | None,
    now: datetime,
    writer: SpecWriter | None,
) -> None:
    digests = sql_digests(release.files)
    file_map = read_map(kept)
    if file_map.is_removing(digests.values(), now):
        raise _conflict(key)
    versions = file_map.versions
    old, new = sha256_of(current or b""), sha256_of(release.yaml)
    # Without a YAML, another process may be removing the map: writing it makes that removal fail.
    is_mapped = current is not None and new in versions and versions[new].files == digests
    if is_mapped and writer is not None and versions[new].replaced_at is not None:
        is_mapped = False  # it is registered again, maybe by somebody else
    if not is_mapped and old == new and file_map.has_another_writer(old, now):
        raise _conflict(key)
    in_use = file_map.digests
    for path, digest in digests.items():
        _put_sql(store, sql_key(key, digest), release.files[path].encode(), in_use=digest in in_use)
    if not is_mapped:
        before = None if current is None else old
        changed = file_map.with_version(before, new, digests, now, writer)
        store.put(file_map_key(key), changed.body(), expected=etag_of(kept))
    elif writer is not None and writer.action == "register" and (accepted := file_map.accepted(new)):
        store.put(file_map_key(key), accepted.body(), expected=etag_of(kept))


def _sweep(store: Store, key: str, now: datetime) -> None:
    """Remove SQL that no version and no active reader needs, also what a killed writer left behind.

    A mark in the map comes first: a writer that wants the same SQL again is refused, since its ETag would be the one
    that the removal expects. After an error, the next write of the dataset removes the rest.
    """
    try:
        stored = store.get(file_map_key(key))
        file_map = read_map(stored)
        needed = {sql_key(key, sha) for sha in file_map.needed(now)}
        unused = [info for info in _stored_sql(store, key) if info.key not in needed]
        old = [info for info in unused if now - info.last_modified > KEPT]
        if not old:
            return
        removing = {**file_map.removing} | {digest_of(info.key): now for info in old}
        mark = file_map.changed(removing=removing)
        marked_at = monotonic()
        store.put(file_map_key(key), mark.body(), expected=etag_of(stored))
        _delete_sql(store, old, marked_at)
    except (StoreUnreachable, PreconditionFailed):
        return


def _put_sql(store: Store, key: str, body: bytes, *, in_use: bool) -> None:
    """Write a SQL file; an existing unused one is written again, or a sweep would remove it as old."""
    if in_use and store.get(key) is not None:
        return
    if try_put(store, key, body, expected=MISSING) is None:
        store.put(key, body, expected=etag_of(store.get(key)))


def _conflict(key: str) -> Conflict:
    return Conflict(
        "This dataset was changed by someone else meanwhile.",
        detail=f"{key} is not what it was when this change began. Look at it, then try again.",
    )
