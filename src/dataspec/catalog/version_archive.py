"""The archive of good spec versions: they run while a file is broken, or until the last runs end."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataspec.catalog.effective import SpecFile
from dataspec.catalog.ledger import VERSIONS_PREFIX, ArchivedVersion, KeptVersion, hash_of, version_key
from dataspec.catalog.spec_storage import CODE_PREFIX, Release
from dataspec.errors import InvalidSpec, StoreUnreachable, UnreadableObject
from dataspec.models import SourceType
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.validation import check_spec
from dataspec.store.base import MISSING, StoredObject, try_put, usable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from dataspec.store.base import Store

log = logging.getLogger(__name__)

_WRITERS = 32

BATCH = 500
"""Number of versions that are read at a time."""


@dataclass(frozen=True, slots=True)
class FoundVersion:
    """A version in the archive."""

    name: str
    """The dataset's name."""
    file: str | None
    """The key of the file that had this version first, if that is known."""
    spec_hash: str
    written_at: datetime

    def kept(self, key: str) -> KeptVersion:
        """Return it as the last good version of a file."""
        return KeptVersion(key=key, spec_hash=self.spec_hash, written_at=self.written_at)


class KeptVersions:
    """The archived versions of a store, cached without expiry: a version never changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[KeptVersion, SpecFile] = {}

    def files(self, wanted: Iterable[KeptVersion]) -> Mapping[KeptVersion, SpecFile]:
        """Return versions as spec files, without missing ones and those that can't be used any more.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        wanted = set(wanted)
        missing = wanted - self._read.keys()
        stored = self._store.get_many({version_key(kept.spec_hash) for kept in missing})
        self._read = {kept: file for kept, file in self._read.items() if kept in wanted}
        for kept in missing:
            release = _release(stored.get(version_key(kept.spec_hash)))
            file = _spec_file(kept, release) if release else None
            if file is not None:
                self._read[kept] = file
        return dict(self._read)

    def release(self, spec_hash: str) -> Release | None:
        """Return a version by its hash; None if it is not in the archive.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        return self.releases([spec_hash]).get(spec_hash)

    def releases(self, spec_hashes: Iterable[str]) -> dict[str, Release]:
        """Return versions by their hashes, without those that are not in the archive.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        keys = {version_key(spec_hash): spec_hash for spec_hash in spec_hashes}
        stored = self._store.get_many(keys)
        found = {spec_hash: _release(stored.get(key)) for key, spec_hash in keys.items()}
        return {spec_hash: release for spec_hash, release in found.items() if release is not None}

    def hashes(self) -> frozenset[str]:
        """Return the hash of every version.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        return frozenset(hash_of(info.key) for info in usable(self._store.list(VERSIONS_PREFIX)))

    def all(self, wanted: Collection[str] | None = None) -> Iterator[FoundVersion]:
        """Yield versions that can be read: those with the wanted hashes, by default the whole archive.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        infos = usable(self._store.list(VERSIONS_PREFIX))
        listed = [info for info in infos if wanted is None or hash_of(info.key) in wanted]
        for start in range(0, len(listed), BATCH):
            batch = {info.key: info for info in listed[start : start + BATCH]}
            for key, stored in self._store.get_many(batch).items():
                version = _read(stored)
                if version is not None and (name := _name_of(version)):
                    yield FoundVersion(name, version.file, hash_of(key), batch[key].last_modified)

    def keep(self, files: Iterable[SpecFile]) -> None:
        """Store usable specs in the archive; existing versions are not written again.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        with ThreadPoolExecutor(_WRITERS) as writers:
            list(writers.map(self._keep, files))

    def renew(self, spec_hashes: Iterable[str]) -> None:
        """Write versions that are replaced at this moment again: the archive keeps them for a time from now on.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        for key in map(version_key, spec_hashes):
            stored = self._store.get_many([key]).get(key)
            if stored is not None and not ArchivedVersion.is_newer(stored):
                try_put(self._store, key, stored.body, expected=stored.etag)

    def _keep(self, file: SpecFile) -> None:
        version = ArchivedVersion(
            yaml=file.yaml.decode(), files=dict(file.files), name=file.name, file=file.key
        )
        key, body = version_key(version.release.spec_hash), version.body()
        try:
            # A version that exists is the same, for its key is the hash of its content; unless it is damaged.
            if try_put(self._store, key, body, expected=MISSING) is None:
                self._renew(key, body)
        except StoreUnreachable:
            raise
        except Exception:
            log.exception("The version of %s can't be kept", file.key)

    def _renew(self, key: str, body: bytes) -> None:
        """Write an existing version again: it is mended if it was damaged, and its age begins anew."""
        stored = self._store.get(key)
        if stored is not None and not ArchivedVersion.is_newer(stored):
            try_put(self._store, key, body, expected=stored.etag)


def _release(stored: StoredObject | None) -> Release | None:
    """Return the content of a version; None for a missing one and one that can't be read."""
    version = _read(stored) if stored else None
    return version.release if version else None


def _read(stored: StoredObject) -> ArchivedVersion | None:
    try:
        return ArchivedVersion.read(stored)
    except UnreadableObject as error:
        log.warning("%s This version is not used.", error.title)
        return None


def _name_of(version: ArchivedVersion) -> str | None:
    """Return the name of a version's dataset; versions of earlier releases have it in their YAML alone."""
    if version.name is not None:
        return version.name
    try:
        name = read_document(version.yaml.encode(), "").data.get("name")
    except InvalidSpec:
        return None
    return name if isinstance(name, str) else None


def _spec_file(kept: KeptVersion, release: Release) -> SpecFile | None:
    try:
        spec = check_spec(release.yaml, release.files, file=kept.key)
    except InvalidSpec:
        return None  # it was valid for an older version of this program
    except Exception:
        log.exception("The version %s of %s can't be read", kept.spec_hash, kept.key)
        return None
    return SpecFile(
        source=SourceType.CODE if kept.key.startswith(CODE_PREFIX) else SourceType.MANUAL,
        key=kept.key,
        etag="",
        last_modified=kept.written_at,
        name=spec.name,
        yaml=release.yaml,
        spec=spec,
        files=dict(release.files),
        spec_hash=release.spec_hash,
    )
