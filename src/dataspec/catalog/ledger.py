"""The ledger: the state of each dataset's sources that Basecamp keeps (``docs/sources.md``, "The ledger").

It is one object, changed by compare-and-swap only; Airflow's machines read it. It names the last good version of
every spec; the content of each version is stored under its hash.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dataspec.catalog.spec_storage import Release
from dataspec.models import SourceType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.store.base import StoredObject

log = logging.getLogger(__name__)

LEDGER_KEY = "basecamp/ledger.json"
VERSIONS_PREFIX = "basecamp/versions/"
FORMAT = 1

_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError)
"""The exceptions that reading arbitrary JSON may raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptVersion:
    """The last good version of a dataset in one source."""

    key: str
    """The key of the file in the store."""
    spec_hash: str
    written_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """The ledger's entry of one dataset."""

    since: datetime
    """When the name appeared after it had been in neither source."""
    source: SourceType
    """The effective source that was announced last."""
    versions: Mapping[SourceType, KeptVersion]
    switches: int = 0
    """The number of switches of the effective source since then: it identifies a switch."""
    removed_at: datetime | None = None
    """When the dataset was found removed from all sources; its runs may still be active."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The entries of all datasets."""

    moved_at: datetime | None = None
    """When the ledger was written last; None for one that was never written."""
    entries: Mapping[str, LedgerEntry] = field(default_factory=dict)

    @classmethod
    def read(cls, stored: StoredObject | None) -> Ledger:
        """Return the ledger in an object; an empty one for no object or another format."""
        try:
            data = json.loads(stored.body) if stored else {}
            if data.get("format") != FORMAT:
                return cls()
            return cls(
                moved_at=datetime.fromisoformat(data["moved_at"]),
                entries=dict(_entries(data["datasets"])),
            )
        except _UNREADABLE:
            return cls()

    def body(self) -> bytes:
        """Return the ledger as bytes for :meth:`read`."""
        return json.dumps(
            {
                "format": FORMAT,
                "moved_at": self.moved_at.isoformat() if self.moved_at else None,
                "datasets": {name: _to_json(entry) for name, entry in self.entries.items()},
            }
        ).encode()

    @cached_property
    def by_key(self) -> Mapping[str, tuple[str, KeptVersion]]:
        """The name and the last good version of each file, by the file's key."""
        return {
            kept.key: (name, kept) for name, entry in self.entries.items() for kept in entry.versions.values()
        }

    def holder(self, source: SourceType, name: str) -> str | None:
        """Return the key of the file with a name in a source; any other file with that name is a duplicate."""
        entry = self.entries.get(name)
        kept = entry.versions.get(source) if entry else None
        return kept.key if kept else None


def version_key(spec_hash: str) -> str:
    """Return the key of a version's content."""
    return f"{VERSIONS_PREFIX}{spec_hash}.json"


def version_body(release: Release) -> bytes:
    """Return the content of a version as bytes: the YAML and its SQL files."""
    return json.dumps({"yaml": release.yaml.decode(), "files": dict(release.files)}).encode()


def read_version(stored: StoredObject | None) -> Release | None:
    """Return a stored version; None for a missing one, and for content that does not match its hash."""
    if stored is None:
        return None
    try:
        data = json.loads(stored.body)
        release = Release(data["yaml"].encode(), data["files"])
        whole = stored.key == version_key(release.spec_hash)
    except _UNREADABLE:
        return None
    return release if whole else None


def _entries(datasets: Mapping[str, Any]) -> Iterator[tuple[str, LedgerEntry]]:
    """Yield the readable entries; a dataset with an unreadable one counts as new, and no other is affected."""
    for name, data in datasets.items():
        try:
            entry = _entry(data)
        except _UNREADABLE:
            log.warning("The ledger's entry of %s can't be read; it is made anew", ascii(name))
        else:
            yield name, entry


def _entry(data: Mapping[str, Any]) -> LedgerEntry:
    removed_at = data.get("removed_at")
    return LedgerEntry(
        since=datetime.fromisoformat(data["since"]),
        source=SourceType(data["source"]),
        versions={
            SourceType(source): KeptVersion(
                key=kept["key"],
                spec_hash=kept["spec_hash"],
                written_at=datetime.fromisoformat(kept["written_at"]),
            )
            for source, kept in data["versions"].items()
        },
        switches=data["switches"],
        removed_at=datetime.fromisoformat(removed_at) if removed_at else None,
    )


def _to_json(entry: LedgerEntry) -> dict[str, Any]:
    removed = {"removed_at": entry.removed_at.isoformat()} if entry.removed_at else {}
    return {
        "since": entry.since.isoformat(),
        "source": entry.source.value,
        "versions": {
            source.value: {
                "key": kept.key,
                "spec_hash": kept.spec_hash,
                "written_at": kept.written_at.isoformat(),
            }
            for source, kept in entry.versions.items()
        },
        "switches": entry.switches,
        **removed,
    }
