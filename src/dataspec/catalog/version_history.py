"""The history of each dataset's versions: which there were, when each was written, and by whom (docs/sources.md).

The archive has a version's content under its hash; the history says whose it is. Each write of a version is one small
object, ``basecamp/history/<dataset>/<time>-<source>-<hash>.json``. Its key is made of what it records, so a repeated
write adds nothing, and a listing is an index: it tells a dataset's versions without reading one.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataspec.errors import UnreadableObject
from dataspec.models import SourceType
from dataspec.store.base import MISSING, try_put, usable
from dataspec.stored_document import StoredDocument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dataspec.catalog.effective import SpecFile
    from dataspec.catalog.publication import Publication
    from dataspec.store.base import Store

log = logging.getLogger(__name__)

HISTORY_PREFIX = "basecamp/history/"

_TIME = "%Y%m%dT%H%M%S.%fZ"
_UNKNOWN = "unknown"
"""The source in the key of a version that an earlier release kept without its file."""
_WRITERS = 32


class VersionRecord(StoredDocument):
    """One write of a version: what the key does not say."""

    file: str | None = None
    """The key of the spec's file."""
    written_by: str | None = None
    action: str | None = None
    """A :data:`~dataspec.models.VersionAction`, or one of a newer version; None if unknown."""
    commit: str | None = None
    """The commit of a published version."""
    is_exact: bool = True
    """Whether it was written at the time in the key; False if at that time or earlier."""


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """One write of a version, by its key in the history."""

    name: str
    """The dataset."""
    source: SourceType | None
    """None for a version that an earlier release kept without its file."""
    spec_hash: str
    at: datetime

    @property
    def version(self) -> tuple[str, SourceType | None, str]:
        """What was written: the dataset, its source, and the version's hash."""
        return self.name, self.source, self.spec_hash

    @property
    def key(self) -> str:
        """The key of its record."""
        at = self.at.astimezone(UTC).strftime(_TIME)
        return f"{_prefix(self.name)}{at}-{self.source or _UNKNOWN}-{self.spec_hash}.json"

    @classmethod
    def of_key(cls, key: str) -> VersionEntry | None:
        """Return the entry of a record's key; None for another object."""
        name, _, file = key.removeprefix(HISTORY_PREFIX).rpartition("/")
        try:
            at, source, spec_hash = file.removesuffix(".json").split("-")
            moment = datetime.strptime(at, _TIME).replace(tzinfo=UTC)
            return cls(name, None if source == _UNKNOWN else SourceType(source), spec_hash, moment)
        except ValueError:
            return None


class VersionHistory:
    """The history in a store. Every write may be repeated."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, name: str) -> list[VersionEntry]:
        """Return every write of a version of a dataset, the newest first.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        return sorted(self._listed(_prefix(name)), key=lambda entry: entry.at, reverse=True)

    def all(self) -> list[VersionEntry]:
        """Return every write of a version of every dataset.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        return list(self._listed(HISTORY_PREFIX))

    def records(self, entries: Iterable[VersionEntry]) -> Mapping[VersionEntry, VersionRecord]:
        """Return the records of entries; an empty one where it can't be read.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        wanted = {entry.key: entry for entry in entries}
        found = dict.fromkeys(wanted.values(), VersionRecord())
        for key, stored in self._store.get_many(wanted).items():
            try:
                found[wanted[key]] = VersionRecord.read(stored)
            except UnreadableObject as error:
                log.warning("%s The version's writer is unknown.", error.title)
        return found

    def record(self, records: Mapping[VersionEntry, VersionRecord]) -> None:
        """Add records; existing ones stay as they are.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        if len(records) == 1:  # most checks find one change; a thread would only cost time
            self._record(*next(iter(records.items())))
            return
        with ThreadPoolExecutor(_WRITERS) as writers:
            list(writers.map(self._record, records.keys(), records.values()))

    def _record(self, entry: VersionEntry, record: VersionRecord) -> None:
        try_put(self._store, entry.key, record.body(), expected=MISSING)

    def _listed(self, prefix: str) -> Iterator[VersionEntry]:
        entries = (VersionEntry.of_key(info.key) for info in usable(self._store.list(prefix)))
        return (entry for entry in entries if entry is not None)


def _prefix(name: str) -> str:
    return f"{HISTORY_PREFIX}{name}/"


def recorded(
    name: str, file: SpecFile, publication: Publication | None
) -> tuple[VersionEntry, VersionRecord]:
    """Return the record of a spec's current version.

    Args:
        name: The dataset.
        file: Its usable file.
        publication: The publication that wrote it, for a file in code; None if unknown.
    """
    authors = file.authors
    entry = VersionEntry(name, file.source, file.spec_hash or "", authors.written_at or file.last_modified)
    if file.source is SourceType.MANUAL:
        return entry, VersionRecord(file=file.key, written_by=authors.written_by, action=authors.action)
    if publication is None:
        return entry, VersionRecord(file=file.key)
    by, commit = publication.by, publication.commit
    return entry, VersionRecord(file=file.key, written_by=by, action="publish", commit=commit)
