"""Complete the history of versions (docs/sources.md, "The versions"): from a store of an earlier release, or with gaps.

Each check records what it finds new, so gaps come only from replicas of an earlier release, and from lost objects.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from basecamp.datasets.catalog_cache import CatalogCache
from dataspec.catalog.effective import Catalog
from dataspec.catalog.spec_storage import CODE_PREFIX
from dataspec.catalog.version_archive import FoundVersion, KeptVersions
from dataspec.catalog.version_history import VersionEntry, VersionHistory, VersionRecord, recorded
from dataspec.models import SourceType

log = logging.getLogger(__name__)


class HistoryRepair:
    """Records archived versions that the history lacks, of which alone the content is read."""

    def __init__(self, specs: CatalogCache, archive: KeptVersions, history: VersionHistory) -> None:
        self._specs = specs
        self._archive = archive
        self._history = history

    def complete(self) -> int:
        """Record every archived version that the history lacks; return how many.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        known = {entry.spec_hash for entry in self._history.all()}
        missing = self._archive.hashes() - known
        if not missing:
            return 0
        found = dict(_current(self._specs.catalog(fresh=True)))
        records = {entry: record for entry, record in found.items() if entry.spec_hash in missing}
        records |= map(_archived, self._archive.all(missing - {entry.spec_hash for entry in records}))
        self._history.record(records)
        log.info("Recorded %d versions that the history lacked", len(records))
        return len(records)


def _current(catalog: Catalog) -> Iterator[tuple[VersionEntry, VersionRecord]]:
    for files in (catalog.effective, catalog.overridden):
        for name, file in files.items():
            yield recorded(name, file, None)


def _archived(version: FoundVersion) -> tuple[VersionEntry, VersionRecord]:
    """Return the record of a version by its archive: it is written again when the version is replaced."""
    is_code = (version.file or "").startswith(CODE_PREFIX)
    source = (SourceType.CODE if is_code else SourceType.MANUAL) if version.file else None
    entry = VersionEntry(version.name, source, version.spec_hash, version.written_at)
    return entry, VersionRecord(file=version.file, is_exact=False)
