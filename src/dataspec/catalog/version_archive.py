"""The archive of good spec versions: they run while a file is broken, or until the last runs end."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dataspec.catalog.effective import SpecFile
from dataspec.catalog.ledger import read_version, version_body, version_key
from dataspec.catalog.spec_storage import CODE_PREFIX, Release
from dataspec.errors import InvalidSpec, StoreUnreachable
from dataspec.models import SourceType
from dataspec.sql.validation import check_spec
from dataspec.store.base import MISSING, try_put

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dataspec.catalog.ledger import KeptVersion
    from dataspec.store.base import Store

log = logging.getLogger(__name__)

_WRITERS = 32


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
            release = read_version(stored.get(version_key(kept.spec_hash)))
            file = _spec_file(kept, release) if release else None
            if file is not None:
                self._read[kept] = file
        return dict(self._read)

    def release(self, spec_hash: str) -> Release | None:
        """Return a version by its hash; None if it is not in the archive.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        key = version_key(spec_hash)
        return read_version(self._store.get_many([key]).get(key))

    def keep(self, files: Iterable[SpecFile]) -> None:
        """Store usable specs in the archive; existing versions are not written again.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        with ThreadPoolExecutor(_WRITERS) as writers:
            list(writers.map(self._keep, files))

    def _keep(self, file: SpecFile) -> None:
        release = Release(file.yaml, file.files)
        try:
            # A version that exists is the same: its key is the hash of its content.
            try_put(self._store, version_key(release.spec_hash), version_body(release), expected=MISSING)
        except StoreUnreachable:
            raise
        except Exception:
            log.exception("The version of %s can't be kept", file.key)


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
