"""Make a damaged ledger anew (docs/sources.md, "The ledger").

The start is what this process knows, or what can be read of the object. A file that can't be used at this moment needs
its last good version besides: the archive has it, under the file's key or the dataset's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import PurePosixPath

from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.catalog.ledger import KeptVersion, Ledger, LedgerEntry
from dataspec.catalog.version_archive import FoundVersion, KeptVersions
from dataspec.models import SourceType


def repaired(catalog: Catalog, archive: KeptVersions, *, now: datetime) -> Ledger:
    """Return a ledger with a last good version for each file that can't be used, as far as one is found.

    Args:
        catalog: The specs, and what is known of the ledger.
        archive: The good versions of all datasets.
        now: The current time.

    Raises:
        StoreUnreachable: When the store does not answer.
    """
    entries = dict(catalog.ledger.entries)
    lost = [file for file in catalog.invalid if _has_no_version(file, catalog)]
    versions = sorted(archive.all(), key=lambda one: one.written_at, reverse=True) if lost else []
    for file in lost:
        found = _last_good(file, versions, archive)
        if found is not None:
            entries[found.name] = _entry(entries.get(found.name), file.source, found.kept(file.key))
    return catalog.ledger.changed(moved_at=now, entries=entries)


def _has_no_version(file: SpecFile, catalog: Catalog) -> bool:
    is_held = file.name is not None and catalog.get(file.name, file.source) is not None
    return not is_held and file.key not in catalog.ledger.by_key


def _last_good(
    file: SpecFile, newest_first: Iterable[FoundVersion], archive: KeptVersions
) -> FoundVersion | None:
    """Return the newest version of a file that can be used."""
    for version in _candidates(file, list(newest_first)):
        kept = version.kept(file.key)
        if kept in archive.files([kept]):
            return version
    return None


def _candidates(file: SpecFile, newest_first: list[FoundVersion]) -> Iterator[FoundVersion]:
    name = file.name or PurePosixPath(file.key).stem
    yield from (version for version in newest_first if version.file == file.key)
    yield from (version for version in newest_first if version.name == name)


def _entry(known: LedgerEntry | None, source: SourceType, kept: KeptVersion) -> LedgerEntry:
    versions = {**(known.versions if known else {}), source: kept}
    effective = SourceType.CODE if SourceType.CODE in versions else SourceType.MANUAL
    if known is not None:
        return known.changed(source=effective, versions=versions)
    return LedgerEntry(since=kept.written_at, source=effective, versions=versions)
