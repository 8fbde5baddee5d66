"""Reads the catalog of a store, and of that only what changed since the last time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dataspec.catalog import Catalog, SpecFile, resolve
from dataspec.documents import is_dataset, looks_like_dataset
from dataspec.errors import InvalidSpec
from dataspec.kept_versions import KeptVersions
from dataspec.listing import ABSENT, Lister
from dataspec.names import why_invalid
from dataspec.parsing import check_document, parse_document
from dataspec.problems import Problem
from dataspec.releases import (
    CODE_PREFIX,
    Release,
    file_map_key,
    is_spec_key,
    mapped_files,
    sibling_key,
    sql_key,
)
from dataspec.spec_cache import CachedSpec
from dataspec.store.base import StoredObject
from dataspec.workflows import SourceType
from dataspec.yaml_document import MAX_YAML_BYTES, Document, read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dataspec.ledger import KeptVersion, Ledger
    from dataspec.listing import Listing
    from dataspec.spec_cache import SpecCache
    from dataspec.store.base import ObjectInfo, Store


BATCH = 500
"""How many specs are read at once: what parsing them takes in memory is many times what is kept."""


class CatalogReader:
    """Reads the catalog of a store, and of that only what changed since the last time."""

    def __init__(self, store: Store, cache: SpecCache) -> None:
        self._store = store
        self._cache = cache
        self._versions = KeptVersions(store)
        self._lister = Lister(store)
        self._last: Catalog | None = None

    def listing(self) -> Listing:
        """List the store.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        return self._lister.listing()

    def ledger_moved_on(self, stored: StoredObject, ledger: Ledger) -> None:
        """Take over the ledger that was just written, so that it need not be read back."""
        self._lister.moved_on(stored, ledger)

    def read(self, listing: Listing | None = None) -> Catalog:
        """Read the catalog. Where nothing has changed, the last one is returned as it is.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        listing = listing or self.listing()
        last = self._last
        if last and (last.fingerprint, last.ledger_etag) == (listing.fingerprint, listing.ledger_etag):
            return last
        entries, removed = self._entries(listing)
        files = [_named(entry) for entry in entries.values() if entry.current]
        good = {entry.last_good.key: entry.last_good for entry in entries.values() if entry.last_good}
        catalog = resolve(files, good, listing.ledger)
        self._last = replace(
            catalog,
            retired=self._retired(catalog, removed),
            ledger_etag=listing.ledger_etag,
            fingerprint=listing.fingerprint,
        )
        return self._last

    def _entries(self, listing: Listing) -> tuple[dict[str, CachedSpec], dict[str, CachedSpec]]:
        """Return what is known of each YAML file that is there, and of those that were there before."""
        keys = [key for key in listing.objects if is_spec_key(key)]
        known = self._cache.load()
        changed = [key for key in keys if not _is_current(known.get(key), key, listing)]
        fresh: dict[str, CachedSpec] = {}
        for start in range(0, len(changed), BATCH):
            fresh |= self._read_specs(changed[start : start + BATCH], known, listing)
        entries = {key: fresh.get(key) or known[key] for key in keys if key in fresh or key in known}
        mended = self._with_kept(entries, listing.ledger)
        gone = {key: entry for key, entry in known.items() if key not in listing.objects}
        forgotten = [key for key in gone if key not in listing.ledger.by_key]
        self._cache.save(fresh | mended, forgotten)
        return entries | mended, gone

    def _with_kept(self, entries: Mapping[str, CachedSpec], ledger: Ledger) -> dict[str, CachedSpec]:
        """Return the entries of broken files of which the ledger knows a newer good version than we do."""
        wanted = {
            key: ledger.by_key[key][1]
            for key, entry in entries.items()
            if key in ledger.by_key and _knows_better(*ledger.by_key[key], entry)
        }
        versions = self._versions.files(wanted.values()) if wanted else {}
        return {
            key: replace(entries[key], last_good=versions[kept])
            for key, kept in wanted.items()
            if kept in versions
        }

    def _retired(self, catalog: Catalog, gone: Mapping[str, CachedSpec]) -> dict[str, SpecFile]:
        """Return the last versions of datasets that the ledger lists, and no source has."""
        entries = catalog.ledger.entries
        last = {
            name: entry.versions.get(entry.source) or next(iter(entry.versions.values()))
            for name, entry in entries.items()
            if name not in catalog.effective and entry.versions
        }
        at_hand = {
            file.spec_hash: file
            for entry in gone.values()
            for file in (entry.current, entry.last_good)
            if file is not None and file.spec is not None
        }
        missing = [kept for kept in last.values() if kept.spec_hash not in at_hand]
        read = self._versions.files(missing) if missing else {}
        found = {name: at_hand.get(kept.spec_hash) or read.get(kept) for name, kept in last.items()}
        return {name: file for name, file in found.items() if file is not None}

    def _read_specs(
        self, keys: list[str], known: Mapping[str, CachedSpec], listing: Listing
    ) -> dict[str, CachedSpec]:
        unchanged = _Unchanged(known, listing)
        small = {key for key in keys if listing.objects[key].size <= MAX_YAML_BYTES}
        bodies = self._get_many(small, unchanged.yaml)
        maps = self._store.get_many(
            [file_map_key(key) for key in bodies if file_map_key(key) in listing.objects]
        )
        drafts = {
            key: _draft(listing.objects[key], bodies.get(key), maps)
            for key in keys
            if key in bodies or key not in small  # the others were removed since the store was listed
        }
        sql: dict[str, StoredObject] = {}
        for key, draft in drafts.items():
            sql |= unchanged.sql(key, draft.sql_keys)
        sql |= self._store.get_many(
            {wanted for draft in drafts.values() for wanted in draft.sql_keys.values()} - sql.keys()
        )
        return {key: self._finished(draft, maps | sql, known.get(key)) for key, draft in drafts.items()}

    def _get_many(
        self, keys: set[str], at_hand: Callable[[str], StoredObject | None]
    ) -> dict[str, StoredObject]:
        found = {key: stored for key in keys if (stored := at_hand(key)) is not None}
        return found | self._store.get_many(keys - found.keys())

    @staticmethod
    def _finished(
        draft: _Draft, consulted: Mapping[str, StoredObject], before: CachedSpec | None
    ) -> CachedSpec:
        current = draft.finish(consulted)
        keys = [file_map_key(draft.file.key), *draft.sql_keys.values()]
        etags = {key: consulted[key].etag if key in consulted else ABSENT for key in keys}
        return CachedSpec(etags | {draft.file.key: draft.file.etag}, current, _last_good(current, before))


@dataclass(frozen=True, slots=True)
class _Unchanged:
    """The objects of changed specs that did not change themselves: they need not be read again."""

    known: Mapping[str, CachedSpec]
    listing: Listing

    def yaml(self, key: str) -> StoredObject | None:
        """Return a YAML whose SQL alone changed."""
        entry = self.known.get(key)
        if entry is None or entry.current is None or not self._is_same(entry, key):
            return None
        return StoredObject(key, entry.etags[key], entry.current.yaml) if entry.current.yaml else None

    def sql(self, key: str, sql_keys: Mapping[str, str]) -> dict[str, StoredObject]:
        """Return the SQL files of a spec that are as they were."""
        entry = self.known.get(key)
        if entry is None or entry.current is None:
            return {}
        texts = entry.current.files
        return {
            place: StoredObject(place, entry.etags[place], texts[path].encode())
            for path, place in sql_keys.items()
            if path in texts and self._is_same(entry, place) and _is_place_of(texts[path], place, key, path)
        }

    def _is_same(self, entry: CachedSpec, key: str) -> bool:
        return bool(entry.etags.get(key)) and entry.etags[key] == self.listing.etag(key)


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


def _is_place_of(text: str, place: str, spec_key: str, path: str) -> bool:
    """Tell whether a text is what lies at a key, where that has not changed since it was read."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return place in {sibling_key(spec_key, path), sql_key(spec_key, digest)}


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


def _knows_better(name: str, kept: KeptVersion, entry: CachedSpec) -> bool:
    """Tell whether a kept version is newer than the last good one that is known of a broken file."""
    current = entry.current
    if current is None or current.error is None or current.name not in {None, name}:
        return False
    return entry.last_good is None or (
        entry.last_good.spec_hash != kept.spec_hash and entry.last_good.last_modified < kept.written_at
    )


def _named(entry: CachedSpec) -> SpecFile:
    """Return a spec file; one whose name can't be read has that of its last good version."""
    current = entry.current
    if current is None:
        raise ValueError("not a spec")
    if current.name is None and entry.last_good is not None:
        return replace(current, name=entry.last_good.name)
    return current


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
