"""The ledger: what Basecamp must not forget about each dataset's sources (``docs/sources.md``, "The ledger").

One object, moved on by compare-and-swap alone; Airflow's machines only read it. It names
the last good version of every spec, and each version is kept whole under its hash.
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
"""What reading JSON of any form may raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptVersion:
    """The last good version of a dataset in one source."""

    key: str
    """The file's key in the store."""
    spec_hash: str
    written_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One dataset."""

    since: datetime
    """When the name came, after it had been in neither source."""
    source: SourceType
    """The effective source, as last announced."""
    versions: Mapping[SourceType, KeptVersion]
    switches: int = 0
    """How often the effective source has changed since then: it tells one switch from another."""
    removed_at: datetime | None = None
    """When it was seen that no source has it any more; its runs may still be active."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All datasets."""

    moved_at: datetime | None = None
    """When it was last written; None for one that never was."""
    entries: Mapping[str, LedgerEntry] = field(default_factory=dict)

    @classmethod
    def read(cls, stored: StoredObject | None) -> Ledger:
        """Return the ledger in an object; an empty one where there is none, or one of another form."""
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
        """Return what :meth:`read` reads."""
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
        """Return the key of the file that has a name in a source; another one with it is a double."""
        entry = self.entries.get(name)
        kept = entry.versions.get(source) if entry else None
        return kept.key if kept else None


def version_key(spec_hash: str) -> str:
    """Return where a version is kept, whole."""
    return f"{VERSIONS_PREFIX}{spec_hash}.json"


def version_body(release: Release) -> bytes:
    """Return a version as it is kept: the YAML and its SQL files."""
    return json.dumps({"yaml": release.yaml.decode(), "files": dict(release.files)}).encode()


def read_version(stored: StoredObject | None) -> Release | None:
    """Return a version that was kept, or None where it is missing or is not what its hash says."""
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
    """Yield the entries that can be read; the others' datasets count as new, and no dataset bears with them."""
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
