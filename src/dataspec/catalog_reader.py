"""Reads the catalog of a store, and of that only what changed since the last time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dataspec.catalog import Catalog, SpecFile, resolve
from dataspec.errors import InvalidSpec
from dataspec.names import why_invalid
from dataspec.parsing import check_document, is_dataset, looks_like_dataset, parse_document
from dataspec.problems import Problem
from dataspec.releases import (
    CODE_PREFIX,
    MANUAL_PREFIX,
    Release,
    file_map_key,
    is_spec_key,
    mapped_files,
    sibling_key,
    sql_key,
)
from dataspec.spec_cache import CachedSpec
from dataspec.workflows import SourceType
from dataspec.yaml_document import MAX_YAML_BYTES, Document, read_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.spec_cache import SpecCache
    from dataspec.store.base import ObjectInfo, Store, StoredObject

_ABSENT = ""
"""The ETag that a key without an object counts as."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects under ``code/`` and ``manual/`` at one time."""

    objects: Mapping[str, ObjectInfo]

    @property
    def fingerprint(self) -> str:
        """A hash that differs when any object does."""
        digest = hashlib.sha256()
        for key, info in self.objects.items():
            digest.update(f"{key}\x00{info.etag}\x00".encode())
        return digest.hexdigest()

    def etag(self, key: str) -> str:
        """Return the ETag of a key, also of one without an object."""
        info = self.objects.get(key)
        return info.etag if info else _ABSENT


class CatalogReader:
    """Reads the catalog of a store, and of that only what changed since the last time."""

    def __init__(self, store: Store, cache: SpecCache) -> None:
        self._store = store
        self._cache = cache

    def listing(self) -> Listing:
        """List the store.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        prefixes = (CODE_PREFIX, MANUAL_PREFIX)
        return Listing({info.key: info for prefix in prefixes for info in self._store.list(prefix)})

    def read(self, listing: Listing | None = None) -> Catalog:
        """Read the catalog.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        listing = listing or self.listing()
        keys = [key for key in listing.objects if is_spec_key(key)]
        known = self._cache.load()
        changed = [key for key in keys if not _is_current(known.get(key), key, listing)]
        fresh = self._read_specs(changed, known, listing)
        removed = [key for key in known if key not in listing.objects]
        self._cache.save(fresh, removed)
        entries = [fresh.get(key) or known[key] for key in keys if key in fresh or key in known]
        return resolve(
            [entry.current for entry in entries if entry.current],
            {entry.last_good.key: entry.last_good for entry in entries if entry.last_good},
        )

    def _read_specs(
        self, keys: list[str], known: Mapping[str, CachedSpec], listing: Listing
    ) -> dict[str, CachedSpec]:
        small = {key for key in keys if listing.objects[key].size <= MAX_YAML_BYTES}
        bodies = self._store.get_many(small)
        maps = self._store.get_many(
            [file_map_key(key) for key in bodies if file_map_key(key) in listing.objects]
        )
        drafts = {
            key: _draft(listing.objects[key], bodies.get(key), maps)
            for key in keys
            if key in bodies or key not in small  # the others were removed since the store was listed
        }
        sql = self._store.get_many({key for draft in drafts.values() for key in draft.sql_keys.values()})
        return {key: self._finished(draft, maps | sql, known.get(key)) for key, draft in drafts.items()}

    @staticmethod
    def _finished(
        draft: _Draft, consulted: Mapping[str, StoredObject], before: CachedSpec | None
    ) -> CachedSpec:
        current = draft.finish(consulted)
        keys = [file_map_key(draft.file.key), *draft.sql_keys.values()]
        etags = {key: consulted[key].etag if key in consulted else _ABSENT for key in keys}
        return CachedSpec(etags | {draft.file.key: draft.file.etag}, current, _last_good(current, before))


@dataclass(frozen=True, slots=True)
class _Draft:
    """A YAML file that was read, before its SQL is."""

    file: SpecFile
    document: Document | None
    """None for a file that can't be read, whose error says why, and for one of another kind."""
    sql_keys: Mapping[str, str]
    """Where its SQL files are, by the path that it names them with."""

    def finish(self, sql: Mapping[str, StoredObject]) -> SpecFile | None:
        """Return the spec with its SQL, or None for a YAML file of another kind."""
        if self.document is None:
            return self.file if self.file.error else None
        try:
            files = {path: _text(sql[key], path) for path, key in self.sql_keys.items() if key in sql}
            spec = check_document(self.document, files)
        except InvalidSpec as error:
            return replace(self.file, error=error)
        spec_hash = Release(self.file.yaml, files).spec_hash
        return replace(self.file, spec=spec, name=spec.name, files=files, spec_hash=spec_hash)


def _draft(info: ObjectInfo, stored: StoredObject | None, maps: Mapping[str, StoredObject]) -> _Draft:
    body = stored.body if stored else b""
    file = SpecFile(
        source=SourceType.CODE if info.key.startswith(CODE_PREFIX) else SourceType.MANUAL,
        key=info.key,
        etag=stored.etag if stored else info.etag,
        last_modified=info.last_modified,
        name=None,
        yaml=body,
    )
    if stored is None:
        return _Draft(replace(file, error=InvalidSpec([_too_large(info)])), None, {})
    try:
        document = read_document(body, info.key)
    except InvalidSpec as error:
        return _Draft(replace(file, error=error) if looks_like_dataset(body) else file, None, {})
    if not is_dataset(document):
        return _Draft(file, None, {})
    return _Draft(
        replace(file, name=_readable_name(document)), document, _sql_keys(info.key, document, body, maps)
    )


def _is_current(entry: CachedSpec | None, key: str, listing: Listing) -> bool:
    return (
        entry is not None
        and key in entry.etags
        and all(listing.etag(consulted) == etag for consulted, etag in entry.etags.items())
    )


def _last_good(current: SpecFile | None, before: CachedSpec | None) -> SpecFile | None:
    """Return what keeps running while a file can't be used; nothing once it names another dataset."""
    if current is None or current.error is None or before is None:
        return None
    good = before.last_good or before.current
    if good is None or good.error is not None or current.name not in {None, good.name}:
        return None
    return good


def _sql_keys(key: str, document: Document, yaml: bytes, maps: Mapping[str, StoredObject]) -> dict[str, str]:
    """Return where the SQL files of a YAML are, by the path that it names them with."""
    file_map = maps.get(file_map_key(key))
    mapped = mapped_files(file_map.body if file_map else None, yaml)
    if mapped is not None:
        return {path: sql_key(key, digest) for path, digest in mapped.items()}
    try:
        return {path: sibling_key(key, path) for path in parse_document(document).files}
    except InvalidSpec:
        return {}


def _too_large(info: ObjectInfo) -> Problem:
    size, limit = info.size // 1024, MAX_YAML_BYTES // 1024
    return Problem(f"the file has {size:,} KiB; a spec may have {limit} KiB at most.", info.key, 1, 1)


def _text(stored: StoredObject, path: str) -> str:
    try:
        return stored.body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"the SQL file '{path}' is not UTF-8 (byte {error.start})."
        raise InvalidSpec([Problem(message, stored.key)]) from None


def _readable_name(document: Document) -> str | None:
    name = document.data.get("name")
    return name if isinstance(name, str) and why_invalid(name) is None else None
