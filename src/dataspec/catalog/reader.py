"""Read the catalog of a store, and only the specs that changed since the last time."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dataspec.catalog.cache import CachedSpec
from dataspec.catalog.effective import Catalog, SpecFile, resolve
from dataspec.catalog.listing import ABSENT, StoreLister
from dataspec.catalog.spec_storage import CODE_PREFIX, Release, is_spec_key, sibling_key, sql_text
from dataspec.catalog.sql_map import (
    MAX_MAP_BYTES,
    UNKNOWN_AUTHORS,
    authors_of,
    check_map,
    file_map_key,
    mapped_files,
    sql_key,
)
from dataspec.catalog.version_archive import KeptVersions
from dataspec.errors import InvalidSpec
from dataspec.keys import why_no_key
from dataspec.models import SourceType
from dataspec.problems import Problem, unexpected
from dataspec.spec.detection import is_dataset, looks_like_dataset
from dataspec.spec.identity import why_invalid
from dataspec.spec.parse import parse_document
from dataspec.spec.yaml_reader import MAX_YAML_BYTES, Document, read_document
from dataspec.sql.validation import MAX_SQL_BYTES, check_document, file_places
from dataspec.sql.values.seeds import MAX_SEED_BYTES, is_seed
from dataspec.store.base import StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dataspec.catalog.cache import SpecCache
    from dataspec.catalog.ledger import KeptVersion, Ledger
    from dataspec.catalog.listing import StoreListing
    from dataspec.store.base import ObjectInfo, Store

log = logging.getLogger(__name__)

UNREADABLE = "unreadable"
"""The ETag of a listed object that could not be read; every refresh tries again."""
UNFORESEEN = "unforeseen"
"""The ETag of a spec that failed with an unexpected error; it is read again with the next change of the store."""

BATCH = 500
"""Number of specs read at a time: parsing takes many times the memory of the result."""


class CatalogReader:
    """Reads the catalog of a store, and only the specs that changed since the last time."""

    def __init__(self, store: Store, cache: SpecCache) -> None:
        self._store = store
        self._cache = cache
        self._versions = KeptVersions(store)
        self._lister = StoreLister(store)
        self._last: Catalog | None = None

    def listing(self) -> StoreListing:
        """List the store.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        return self._lister.listing()

    def ledger_moved_on(self, stored: StoredObject, ledger: Ledger) -> None:
        """Take the ledger that this process has just written, without reading it back."""
        self._lister.moved_on(stored, ledger)

    def read(self, listing: StoreListing | None = None) -> Catalog:
        """Read the catalog; without a change, return the same object as the last time.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        listing = listing or self.listing()
        last = self._last
        if last and last.fingerprint == listing.fingerprint:
            if last.ledger_etag == listing.ledger_etag:
                return last
            if _needs_no_ledger(last, listing):
                self._last = replace(
                    last,
                    ledger=listing.ledger,
                    ledger_etag=listing.ledger_etag,
                    ledger_error=listing.ledger_error,
                    retired={},
                )
                return self._last
        entries, removed = self._entries(listing)
        files = [_named(entry) for entry in entries.values() if entry.current]
        good = {entry.last_good.key: entry.last_good for entry in entries.values() if entry.last_good}
        catalog = resolve(files, good, listing.ledger)
        self._last = replace(
            catalog,
            retired=self._retired(catalog, removed),
            ledger_etag=listing.ledger_etag,
            ledger_error=listing.ledger_error,
            fingerprint="" if _is_unsettled(entries.values()) else listing.fingerprint,
        )
        return self._last

    def _entries(self, listing: StoreListing) -> tuple[dict[str, CachedSpec], dict[str, CachedSpec]]:
        """Return the entries of the listed YAML files, and those of removed ones."""
        keys = [key for key in listing.objects if is_spec_key(key) or key.endswith("/")]
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
        """Return the entries of broken files for which the ledger has a newer good version than the cache."""
        wanted = {
            key: ledger.by_key[key][1]
            for key, entry in entries.items()
            if _is_broken(entry) and key in ledger.by_key and _knows_better(*ledger.by_key[key], entry)
        }
        versions = self._versions.files(wanted.values()) if wanted else {}
        return {
            key: replace(entries[key], last_good=versions[kept])
            for key, kept in wanted.items()
            if kept in versions
        }

    def _retired(self, catalog: Catalog, gone: Mapping[str, CachedSpec]) -> dict[str, SpecFile]:
        """Return the last versions of datasets that are in the ledger and in no source."""
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
        self, keys: list[str], known: Mapping[str, CachedSpec], listing: StoreListing
    ) -> dict[str, CachedSpec]:
        unchanged, reading = _Unchanged(known, listing), _Reading(self._store, listing)
        reading.take(stored for key in keys if (stored := unchanged.yaml(key)) is not None)
        reading.read(keys, MAX_YAML_BYTES, "a spec")
        present = [key for key in keys if reading.holds(key)]  # the others were removed since the listing
        maps = [file_map_key(key) for key in present if file_map_key(key) in listing.objects]
        reading.read(maps, MAX_MAP_BYTES, "a map")
        drafts = {key: _guarded_draft(key, reading) for key in present}
        for key, draft in drafts.items():
            reading.take(unchanged.sql(key, draft.sql_keys).values())
        places = [place for draft in drafts.values() for place in draft.sql_keys.items()]
        reading.read((key for path, key in places if is_seed(path)), MAX_SEED_BYTES, "a seed")
        reading.read((key for path, key in places if not is_seed(path)), MAX_SQL_BYTES, "a SQL file")
        return {key: _finished(draft, reading, known.get(key)) for key, draft in drafts.items()}


class _Reading:
    """The objects read for a batch of specs, and the problems of unreadable ones."""

    def __init__(self, store: Store, listing: StoreListing) -> None:
        self._store = store
        self.listing = listing
        self.found: dict[str, StoredObject] = {}
        self.problems: dict[str, str] = {}
        """The reasons why objects can't be used, by key."""
        self._unreadable: set[str] = set()

    def take(self, objects: Iterable[StoredObject]) -> None:
        """Add objects that need not be read."""
        self.found |= {stored.key: stored for stored in objects}

    def read(self, keys: Iterable[str], limit: int, kind: str) -> None:
        """Read objects in parallel; one above the limit in bytes is a problem."""
        wanted = {key for key in keys if not self.holds(key)}
        for key in wanted:
            if problem := self._why_not(key, limit, kind):
                self.problems[key] = problem
        found = self._store.get_many(wanted - self.problems.keys())
        self.found |= found
        self.problems |= found.unreadable
        self._unreadable |= found.unreadable.keys()

    def _why_not(self, key: str, limit: int, kind: str) -> str | None:
        info = self.listing.objects.get(key)
        if info is None:
            return why_no_key(key)
        if info.size > limit:
            return f"it has {info.size // 1024:,} KiB; {kind} may have {limit // 1024:,} KiB at most"
        return info.problem

    def holds(self, key: str) -> bool:
        """Tell whether an object was read or is a problem."""
        return key in self.found or key in self.problems

    def etag(self, key: str) -> str:
        """Return the ETag of a key for the cache, which decides when it is read again."""
        if key in self.found:
            return self.found[key].etag
        if key in self._unreadable:
            return UNREADABLE
        return self.listing.etag(key) if key in self.problems else ABSENT


@dataclass(frozen=True, slots=True)
class _Unchanged:
    """The cached objects of changed specs that are unchanged and need not be read again."""

    known: Mapping[str, CachedSpec]
    listing: StoreListing

    def yaml(self, key: str) -> StoredObject | None:
        """Return a YAML of which only the SQL changed."""
        entry = self.known.get(key)
        if entry is None or entry.current is None or not self._is_same(entry, key):
            return None
        return StoredObject(key, entry.etags[key], entry.current.yaml) if entry.current.yaml else None

    def sql(self, key: str, sql_keys: Mapping[str, str]) -> dict[str, StoredObject]:
        """Return the unchanged SQL files of a spec."""
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
    """A YAML file before its SQL files are read."""

    file: SpecFile
    document: Document | None = None
    """None for an unreadable file, which has an error, and for a file that is not a spec."""
    sql_keys: Mapping[str, str] = field(default_factory=dict)
    """The keys of its SQL files, by the path in the spec."""
    is_unforeseen: bool = False

    def finish(self, reading: _Reading) -> SpecFile | None:
        """Return the spec with its SQL; None for a YAML file that is not a spec."""
        if self.document is None or self.file.error is not None:
            return self.file if self.file.error else None
        places = self.sql_keys.items()
        try:
            self._check_readable(self.document, reading)
            files = {path: sql_text(reading.found[key], path) for path, key in places if key in reading.found}
            spec = check_document(self.document, files)
        except InvalidSpec as error:
            return replace(self.file, error=error)
        spec_hash = Release(self.file.yaml, files).spec_hash
        return replace(self.file, spec=spec, name=spec.name, files=files, spec_hash=spec_hash)

    def _check_readable(self, document: Document, reading: _Reading) -> None:
        if not reading.problems.keys() & set(self.sql_keys.values()):
            return
        places = {path: at for at, path in file_places(parse_document(document))}
        raise InvalidSpec(
            [
                document.problem(places.get(path, ()), f"the SQL file '{path}' can't be used: {problem}.")
                for path, key in self.sql_keys.items()
                if (problem := reading.problems.get(key))
            ]
        )


def _guarded_draft(key: str, reading: _Reading) -> _Draft:
    """Return a spec's draft; an unexpected exception becomes its error and does not fail the other specs."""
    try:
        return _draft(key, reading)
    except Exception as error:
        log.exception("%s can't be read", key)
        file = _spec_file(reading.listing.objects[key], reading.found.get(key), reading)
        return _Draft(_broken(file, unexpected(error, key)), is_unforeseen=True)


def _finished(draft: _Draft, reading: _Reading, before: CachedSpec | None) -> CachedSpec:
    file = draft.file
    etag = UNFORESEEN if draft.is_unforeseen else reading.etag(file.key)
    try:
        current = draft.finish(reading)
    except Exception as error:
        log.exception("%s can't be read", file.key)
        current, etag = _broken(file, unexpected(error, file.key)), UNFORESEEN
    keys = [file_map_key(file.key), *draft.sql_keys.values()]
    etags = {key: reading.etag(key) for key in keys} | {file.key: etag}
    return CachedSpec(etags, current, _last_good(current, before))


def _is_unsettled(entries: Iterable[CachedSpec]) -> bool:
    return any(UNREADABLE in entry.etags.values() for entry in entries)


def _is_place_of(text: str, place: str, spec_key: str, path: str) -> bool:
    """Tell whether a cached text is the content of an unchanged key."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return place in {sibling_key(spec_key, path), sql_key(spec_key, digest)}


def _draft(key: str, reading: _Reading) -> _Draft:
    info, stored = reading.listing.objects[key], reading.found.get(key)
    file = _spec_file(info, stored, reading)
    if stored is None:
        return _Draft(_broken(file, Problem(f"the file can't be used: {reading.problems[key]}.", key, 1, 1)))
    try:
        document = read_document(stored.body, key)
    except InvalidSpec as error:
        return _Draft(replace(file, error=error) if looks_like_dataset(stored.body) else file)
    if not is_dataset(document):
        return _Draft(file)
    file = replace(file, name=_readable_name(document))
    try:
        return _Draft(file, document, _sql_keys(key, document, stored.body, reading))
    except InvalidSpec as error:
        return _Draft(replace(file, error=error), document)


def _spec_file(info: ObjectInfo, stored: StoredObject | None, reading: _Reading) -> SpecFile:
    is_code = info.key.startswith(CODE_PREFIX)
    file_map = None if is_code else reading.found.get(file_map_key(info.key))
    return SpecFile(
        source=SourceType.CODE if is_code else SourceType.MANUAL,
        key=info.key,
        etag=stored.etag if stored else info.etag,
        last_modified=info.last_modified,
        name=None,
        yaml=stored.body if stored else b"",
        authors=authors_of(file_map, stored.body) if file_map and stored else UNKNOWN_AUTHORS,
    )


def _broken(file: SpecFile, problem: Problem) -> SpecFile:
    return replace(file, error=InvalidSpec([problem]))


def _needs_no_ledger(last: Catalog, listing: StoreListing) -> bool:
    """Return whether nothing but the ledger changed, and no spec depends on it: none is broken, doubled or removed."""
    return not last.invalid and listing.ledger.entries.keys() <= last.effective.keys()


def _is_current(entry: CachedSpec | None, key: str, listing: StoreListing) -> bool:
    if entry is None or key not in entry.etags:
        return False
    objects = listing.objects
    for consulted, etag in entry.etags.items():  # a loop, not all(): this is most of a check without changes
        info = objects.get(consulted)
        if (info.etag if info else ABSENT) != etag:
            return False
    return True


def _last_good(current: SpecFile | None, before: CachedSpec | None) -> SpecFile | None:
    """Return the version that runs while a file can't be used; None once the file names another dataset."""
    if current is None or current.error is None or before is None:
        return None
    good = before.last_good or before.current
    if good is None or good.error is not None or current.name not in {None, good.name}:
        return None
    return good


def _is_broken(entry: CachedSpec) -> bool:
    return entry.current is not None and entry.current.error is not None


def _knows_better(name: str, kept: KeptVersion, entry: CachedSpec) -> bool:
    """Tell whether an archived version is newer than the cached last good version of a broken file."""
    if entry.current is not None and entry.current.name not in {None, name}:
        return False
    return entry.last_good is None or (
        entry.last_good.spec_hash != kept.spec_hash and entry.last_good.last_modified < kept.written_at
    )


def _named(entry: CachedSpec) -> SpecFile:
    """Return a spec file; without a readable name, it gets the name of its last good version."""
    current = entry.current
    if current is None:
        raise ValueError("not a spec")
    if current.name is None and entry.last_good is not None:
        return replace(current, name=entry.last_good.name)
    return current


def _sql_keys(key: str, document: Document, yaml: bytes, reading: _Reading) -> dict[str, str]:
    """Return the keys of a YAML's SQL files, by the path in the spec.

    Raises:
        InvalidSpec: When the spec has SQL files and its map to them can't be used.
    """
    map_key = file_map_key(key)
    file_map = reading.found.get(map_key)
    mapped = mapped_files(file_map, yaml)
    if mapped is not None:
        return {path: sql_key(key, digest) for path, digest in mapped.items()}
    try:
        named = parse_document(document).files
    except InvalidSpec:
        return {}
    if named and map_key in reading.problems:
        raise InvalidSpec(
            [Problem(f"the map to the SQL files can't be used: {reading.problems[map_key]}.", map_key)]
        )
    if named and file_map:
        check_map(file_map)
    return {path: sibling_key(key, path) for path in named}


def _readable_name(document: Document) -> str | None:
    name = document.data.get("name")
    return name if isinstance(name, str) and why_invalid(name) is None else None
