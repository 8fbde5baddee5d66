"""Read, write and remove a spec together with its SQL, atomically for readers (specification 5.4).

The layout and the protocol are described in ``docs/architecture.md``, "The store".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field, StringConstraints

from dataspec.errors import (
    Conflict,
    CorruptObject,
    InvalidSpec,
    NewerFormat,
    StoreUnreachable,
    UnreadableObject,
)
from dataspec.keys import SQL_FOLDER, SQL_KEY
from dataspec.problems import Problem
from dataspec.spec.identity import spec_hash
from dataspec.spec.model import MAX_SQL_FILES
from dataspec.store.base import MISSING, PreconditionFailed, etag_of, try_delete, try_put, usable
from dataspec.stored_document import Moment, StoredDocument, StoredPart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dataspec.store.base import ObjectInfo, Store, StoredObject

CODE_PREFIX = "code/"
PUBLICATION_KEY = "code/publish.json"
MANUAL_PREFIX = "manual/"
SPEC_SUFFIXES = (".yaml", ".yml")

MAX_MAP_BYTES: Final = 1024 * 1024

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

_PENDING = timedelta(minutes=1)
"""Maximum time between a writer's last two writes, and for a removal after that of the YAML."""
_REMOVING_SECONDS = _PENDING.total_seconds() / 2
"""No removal of SQL begins later than this after the mark; the other half is for the last one, which may be retried."""
_KEPT = timedelta(hours=1)
"""How long replaced SQL is kept for readers that have already read the old map."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a dataset: the YAML's bytes, and its SQL files by the path in the spec."""

    yaml: bytes
    files: Mapping[str, str]

    @property
    def spec_hash(self) -> str:
        """The hash of the YAML and its SQL, which identifies this version."""
        return spec_hash(self.yaml, self.files)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _with_zone(value: Any) -> Any:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.replace(tzinfo=UTC) if isinstance(at, datetime) and at.tzinfo is None else at


_Text = Annotated[str | None, BeforeValidator(_text_or_none)]


class Publication(StoredDocument):
    """The last publication to ``code/``: its commit, author and time."""

    commit: _Text = None
    repository: _Text = None
    ref: _Text = None
    """The branch or tag, as the CI system names it."""
    published_at: Annotated[Moment, BeforeValidator(_with_zone)]
    by: _Text = None
    content: _Text = None
    """Identifies what was published."""


def read_publication(store: Store) -> Publication | None:
    """Return the last publication; None if there is none or it is damaged.

    Raises:
        NewerFormat: When a newer version of this program wrote it.
        StoreUnreachable: When the store does not answer.
    """
    stored = store.get(PUBLICATION_KEY)
    try:
        return Publication.read(stored) if stored else None
    except CorruptObject:
        return None


def manual_key(name: str) -> str:
    """Return the key of a dataset's manual spec."""
    return f"{MANUAL_PREFIX}{name}.yaml"


def is_spec_key(key: str) -> bool:
    """Tell whether a key may hold a spec."""
    return key.endswith(SPEC_SUFFIXES)


def file_map_key(spec_key: str) -> str:
    """Return the key of the map from a YAML's bytes to its SQL files."""
    return f"{_stem(spec_key)}.files.json"


def sql_prefix(spec_key: str) -> str:
    """Return the prefix of the SQL files of a YAML that has a map."""
    return f"{_stem(spec_key)}{SQL_FOLDER}/"


def sql_key(spec_key: str, digest: str) -> str:
    """Return the key of a SQL file, by the SHA-256 of its text."""
    return f"{sql_prefix(spec_key)}{digest}.sql"


def _stem(spec_key: str) -> str:
    # A .yml keeps its suffix: it may lie beside a .yaml of the same name.
    return spec_key.removesuffix(".yaml")


def _sharing(key: str) -> tuple[str, ...]:
    """Return the key of another YAML with the same map: ``a.yml`` and ``a.yml.yaml`` share theirs."""
    stem = _stem(key)
    if not stem.endswith(".yml"):
        return ()
    return (f"{stem}.yaml",) if key == stem else (stem,)


def _stored_sql(store: Store, spec_key: str) -> list[ObjectInfo]:
    """List the SQL of a YAML that has a map: only what is named by a digest, since others may put files there."""
    return [info for info in usable(store.list(sql_prefix(spec_key))) if _is_sql_of(spec_key, info.key)]


def _digest_of(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".sql")


def _is_sql_of(spec_key: str, key: str) -> bool:
    found = SQL_KEY.fullmatch(key)
    return found is not None and found["stem"] == _stem(spec_key)


def sibling_key(spec_key: str, path: str) -> str:
    """Return the key of a SQL file beside its YAML, where a plain copy of a project has it."""
    folder, slash, _ = spec_key.rpartition("/")
    return f"{folder}{slash}{path}"


def mapped_files(file_map: StoredObject | None, yaml: bytes) -> dict[str, str] | None:
    """Return the SHA-256 of the SQL files by path, for exactly these bytes of a YAML; None without an entry."""
    try:
        entry = _read_map(file_map).versions.get(_sha256(yaml))
    except NewerFormat:
        return None
    return dict(entry.files) if entry and entry.files else None


def check_map(file_map: StoredObject | None) -> None:
    """Refuse a map that can't be used: a reader that ignored it might take older files.

    Raises:
        InvalidSpec: With the reason.
    """
    if file_map is None:
        return
    try:
        _FileMap.read(file_map)
    except UnreadableObject as error:
        is_damaged = isinstance(error, CorruptObject)
        step = "Register or publish the dataset again." if is_damaged else f"{error.detail}"
        message = f"the map to the SQL files can't be used ({error.reason}). {step}"
        raise InvalidSpec([Problem(message, file_map.key)]) from None


def sql_digests(files: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each SQL file, by the path in the spec."""
    return {path: _sha256(text.encode()) for path, text in files.items()}


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
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> str:
    """Write a spec and its SQL; a reader never sees one without the other.

    Args:
        store: The store.
        key: The YAML's key.
        release: What to write.
        if_match: The ETag that the YAML must have; ``None`` for any.
        files_if_match: The ETag that the map to its SQL must have; ``None`` for any.
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
    _read_map(kept)
    try:
        if release.files:
            body = current.body if current else None
            _write_files(store, key, release, current=body, kept=kept, now=now())
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
    _read_map(kept)
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
    if _belongs_to_others(kept) or any(store.get(other) for other in _sharing(key)):
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


def _belongs_to_others(kept: StoredObject | None) -> bool:
    """Tell whether the JSON under a map's key is another program's file, or a newer version's map."""
    if kept is None:
        return False
    try:
        data = json.loads(kept.body)
    except (ValueError, RecursionError):
        return False  # a damaged map
    return not isinstance(data, dict) or "versions" not in data or _FileMap.is_newer(kept)


def _write_files(
    store: Store,
    key: str,
    release: Release,
    *,
    current: bytes | None,
    kept: StoredObject | None,
    now: datetime,
) -> None:
    digests = sql_digests(release.files)
    file_map = _read_map(kept)
    if file_map.is_removing(digests.values(), now):
        raise _conflict(key)
    versions = file_map.versions
    old, new = _sha256(current or b""), _sha256(release.yaml)
    # Without a YAML, another process may be removing the map: writing it makes that removal fail.
    is_mapped = current is not None and new in versions and versions[new].files == digests
    if not is_mapped and old == new and _another_is_writing(versions, old, now):
        raise _conflict(key)
    in_use = file_map.digests
    for path, digest in digests.items():
        _put_sql(store, sql_key(key, digest), release.files[path].encode(), in_use=digest in in_use)
    if not is_mapped:
        body = _moved_on(file_map, old, new, digests, now).body()
        store.put(file_map_key(key), body, expected=etag_of(kept))


def _moved_on(file_map: _FileMap, old: str, new: str, digests: Mapping[str, str], now: datetime) -> _FileMap:
    """Return the map with a new entry, and without entries that were replaced more than an hour ago."""
    versions = dict(file_map.versions)
    if old in versions:
        versions[old] = versions[old].changed(replaced_at=now)
    versions = {sha: entry for sha, entry in versions.items() if now - entry.last_time < _KEPT}
    versions[new] = _MapEntry(files=dict(digests), written_at=now)
    retired = {sha: at for sha, at in file_map.retired.items() if now - at < _KEPT}
    retired |= dict.fromkeys(file_map.digests, now)
    removing = {sha: at for sha, at in file_map.removing.items() if now - at < _PENDING}
    moved_on = file_map.changed(versions=versions, removing=removing, removed_at=None)
    needed = moved_on.digests
    return moved_on.changed(retired={sha: at for sha, at in retired.items() if sha not in needed})


def _sweep(store: Store, key: str, now: datetime) -> None:
    """Remove SQL that no version and no active reader needs, also what a killed writer left behind.

    A mark in the map comes first: a writer that wants the same SQL again is refused, since its ETag would be the one
    that the removal expects. After an error, the next write of the dataset removes the rest.
    """
    try:
        stored = store.get(file_map_key(key))
        file_map = _read_map(stored)
        recently = {sha for sha, at in file_map.retired.items() if now - at < _KEPT}
        needed = {sql_key(key, sha) for sha in file_map.digests | recently}
        unused = [info for info in _stored_sql(store, key) if info.key not in needed]
        old = [info for info in unused if now - info.last_modified > _KEPT]
        if not old:
            return
        removing = {**file_map.removing} | {_digest_of(info.key): now for info in old}
        mark = file_map.changed(removing=removing)
        marked_at = monotonic()
        store.put(file_map_key(key), mark.body(), expected=etag_of(stored))
        _delete_sql(store, old, marked_at)
    except (StoreUnreachable, PreconditionFailed):
        return


def _another_is_writing(versions: Mapping[str, _MapEntry], current: str, now: datetime) -> bool:
    """Tell whether another writer has written its map entry and not yet its YAML."""
    if current not in versions:
        return False
    since = versions[current].written_at
    return any(since < entry.written_at and now - entry.written_at < _PENDING for entry in versions.values())


def _put_sql(store: Store, key: str, body: bytes, *, in_use: bool) -> None:
    """Write a SQL file; an existing unused one is written again, or a sweep would remove it as old."""
    if in_use and store.get(key) is not None:
        return
    if try_put(store, key, body, expected=MISSING) is None:
        store.put(key, body, expected=etag_of(store.get(key)))


class _MapEntry(StoredPart):
    """The SQL files of one version of a YAML."""

    files: Annotated[dict[str, _Digest], Field(max_length=MAX_SQL_FILES)]
    written_at: Moment = _EARLIEST
    replaced_at: Moment | None = None

    @property
    def last_time(self) -> datetime:
        """When it was replaced; when it was written if it is current."""
        return self.replaced_at or self.written_at


class _FileMap(StoredDocument):
    """The map from a YAML's bytes to its SQL files."""

    versions: dict[str, _MapEntry]
    """By the SHA-256 of the YAML."""
    retired: Mapping[str, Moment] = {}
    """The SHA-256 of SQL that no version needs, with the time since when."""
    removing: Mapping[str, Moment] = {}
    """The SHA-256 of SQL that a sweep removes, with the time since when."""
    removed_at: Moment | None = None

    @property
    def digests(self) -> set[str]:
        """The SHA-256 of each SQL file of a version."""
        return {digest for entry in self.versions.values() for digest in entry.files.values()}

    def is_removing(self, digests: Iterable[str], now: datetime) -> bool:
        """Tell whether another process is removing the dataset, or one of these SQL files."""
        since = [at for sha in digests if (at := self.removing.get(sha))]
        return any(now - at < _PENDING for at in (*since, self.removed_at) if at)

    def body(self) -> bytes:
        """Return the map as bytes."""
        data = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(data, indent=1, sort_keys=True).encode()


def _read_map(stored: StoredObject | None) -> _FileMap:
    """Return a map; an empty one for a damaged map, which a writer replaces.

    Raises:
        NewerFormat: When a newer version of this program wrote it.
    """
    try:
        return _FileMap.read(stored) if stored else _FileMap(versions={})
    except CorruptObject:
        return _FileMap(versions={})


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _conflict(key: str) -> Conflict:
    return Conflict(
        "This dataset was changed by someone else meanwhile.",
        detail=f"{key} is not what it was when this change began. Look at it, then try again.",
    )
