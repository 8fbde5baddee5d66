"""The ledger: the state of each dataset's sources that Basecamp keeps (``docs/sources.md``, "The ledger").

It is one object, changed by compare-and-swap only; Airflow's machines read it. It names the last good version of
every spec; the content of each version is stored under its hash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from dataspec.catalog.spec_storage import Release
from dataspec.errors import CorruptObject
from dataspec.models import SourceType
from dataspec.stored_document import Moment, StoredContent, StoredDocument, StoredPart

_Part = TypeVar("_Part", bound=StoredPart)

LEDGER_KEY = "basecamp/ledger.json"
VERSIONS_PREFIX = "basecamp/versions/"


class KeptVersion(StoredPart):
    """The last good version of a dataset in one source."""

    key: str
    """The key of the file in the store."""
    spec_hash: str
    written_at: Moment


class LedgerEntry(StoredPart):
    """The ledger's entry of one dataset."""

    since: Moment
    """When the name appeared after it had been in neither source."""
    source: SourceType
    """The effective source that was announced last."""
    versions: Mapping[SourceType, KeptVersion]
    switches: int = 0
    """The number of switches of the effective source since then: it identifies a switch."""
    removed_at: Moment | None = None
    """When the dataset was found removed from all sources; its runs may still be active."""
    team: str | None = None
    """The team of the effective spec, or of the last one; None without a team, and if it is not known."""

    @cached_property
    def json_values(self) -> Mapping[str, Any]:
        """The entry as JSON values, made once: most entries stay the same from one ledger to the next."""
        return self.model_dump(mode="json", by_alias=True)


class RemovedDataset(StoredPart):
    """A dataset that was removed from all sources, and whose runs have ended."""

    removed_at: Moment
    team: str | None = None
    """The team of its last effective spec; None without a team, and if it is not known."""


class Ledger(StoredDocument):
    """The entries of all datasets."""

    moved_at: Moment | None = None
    """When the ledger was written last; None for one that was never written."""
    entries: Annotated[Mapping[str, LedgerEntry], Field(alias="datasets")]
    removed: Mapping[str, RemovedDataset] = {}
    """Datasets without an entry, for the rights to their history."""
    has_history: bool = False
    """Whether the history has the versions of earlier releases."""

    def following(self, stored: StoredContent) -> Ledger:
        """Parse a later state of this ledger; entries that stayed the same are taken over, not checked again.

        Raises:
            NewerFormat: When a newer version of this program wrote it.
            CorruptObject: When it can't be read.
        """
        values = self._values(stored)
        datasets = values.get("datasets")
        if isinstance(datasets, dict):
            values["datasets"] = {
                name: self._unchanged(name, entry) or entry for name, entry in datasets.items()
            }
        return self._made_of(values, stored.key)

    def _unchanged(self, name: str, values: Any) -> LedgerEntry | None:
        """Return the entry of a dataset if it has these JSON values."""
        entry = self.entries.get(name)
        return entry if entry is not None and entry.json_values == values else None

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as JSON values; only changed entries are serialized."""
        datasets = {name: entry.json_values for name, entry in self.entries.items()}
        return {**self.changed(entries={}).model_dump(mode="json", by_alias=True), "datasets": datasets}

    @classmethod
    def salvaged(cls, stored: StoredContent) -> Ledger:
        """Return what can be read of a damaged ledger: each entry by itself."""
        try:
            data = dict(json.loads(stored.body))
        except (ValueError, TypeError, RecursionError):
            return cls(entries={})
        return cls(
            entries=_readable(LedgerEntry, data.get("datasets")),
            removed=_readable(RemovedDataset, data.get("removed")),
        )

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


NO_LEDGER = Ledger(entries={}, has_history=True)
"""The ledger of a store that has none."""


def _readable(kind: type[_Part], datasets: Any) -> dict[str, _Part]:
    found = {}
    for name, data in datasets.items() if isinstance(datasets, dict) else ():
        try:
            found[name] = kind.model_validate(data)
        except ValidationError:
            continue
    return found


class ArchivedVersion(StoredDocument):
    """One version of a dataset: the YAML and its SQL files. Its key is the hash of its content."""

    yaml: str
    files: dict[str, str]
    name: str | None = None
    """The dataset's name, by which its versions are found; versions of earlier releases lack it."""
    file: str | None = None
    """The key of the file that had this version first."""

    @classmethod
    def read(cls, stored: StoredContent) -> ArchivedVersion:
        """Parse a version.

        Raises:
            NewerFormat: When a newer version of this program wrote it.
            CorruptObject: When it can't be read, or does not match its hash.
        """
        version = super().read(stored)
        if stored.key != version_key(version.release.spec_hash):
            raise CorruptObject(stored.key, "its content does not match its hash")
        return version

    @property
    def release(self) -> Release:
        """The version's content."""
        return Release(self.yaml.encode(), self.files)


def version_key(spec_hash: str) -> str:
    """Return the key of a version's content."""
    return f"{VERSIONS_PREFIX}{spec_hash}.json"


def hash_of(key: str) -> str:
    """Return the hash in the key of a version's content."""
    return key.removeprefix(VERSIONS_PREFIX).removesuffix(".json")
