"""Cache the specs that were read from the store: unchanged ones are not read again."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from dataspec.catalog.effective import SpecFile
from dataspec.errors import InvalidSpec
from dataspec.models import SourceType
from dataspec.problems import Problem
from dataspec.spec.model import DatasetSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of the format on disk, increased with each change; a cache of another version is dropped."""

_LOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CachedSpec:
    """A YAML file as it was read, and the ETags of all objects that it depends on."""

    etags: Mapping[str, str]
    current: SpecFile | None
    """None for a YAML file that is not a Dataset Spec."""
    last_good: SpecFile | None
    """The last usable version, if the current one can't be used."""


class SpecCache(Protocol):
    """Specs by key. A lost cache costs only time."""

    def load(self) -> dict[str, CachedSpec]:
        """Return all entries."""
        ...

    def save(self, changed: Mapping[str, CachedSpec], removed: Sequence[str]) -> None:
        """Store the changed entries and delete the removed ones."""
        ...


class MemorySpecCache:
    """A cache in the memory of this process."""

    def __init__(self) -> None:
        self._entries: dict[str, CachedSpec] = {}

    def load(self) -> dict[str, CachedSpec]:
        """Return all entries."""
        return dict(self._entries)

    def save(self, changed: Mapping[str, CachedSpec], removed: Sequence[str]) -> None:
        """Store the changed entries and delete the removed ones."""
        gone = set(removed)
        self._entries = {k: v for k, v in self._entries.items() if k not in gone} | dict(changed)


class DiskSpecCache:
    """A cache in a folder that processes share; each keeps a copy in memory."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"specs-{FORMAT}.sqlite"
        self._entries: dict[str, CachedSpec] = {}
        self._version = -1

    def load(self) -> dict[str, CachedSpec]:
        """Return all entries; an unreadable file is replaced by an empty one."""
        try:
            with closing(self._open()) as database:
                version = database.execute("PRAGMA user_version").fetchone()[0]
                if version != self._version:
                    rows = database.execute("SELECT key, entry FROM specs").fetchall()
                    self._entries = dict(_readable(rows))
                    self._version = version
        except (sqlite3.DatabaseError, ValueError, LookupError, TypeError):
            self._path.unlink(missing_ok=True)
            self._entries, self._version = {}, -1
        return dict(self._entries)

    def save(self, changed: Mapping[str, CachedSpec], removed: Sequence[str]) -> None:
        """Store the changed entries and delete the removed ones."""
        if not changed and not removed:
            return
        rows = list(_writable(changed))
        with closing(self._open()) as database, database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT OR REPLACE INTO specs VALUES (?, ?)", rows)
            database.executemany("DELETE FROM specs WHERE key = ?", [(key,) for key in removed])
            version = database.execute("PRAGMA user_version").fetchone()[0] + 1
            database.execute(f"PRAGMA user_version = {version}")
        fresh = self._version == version - 1
        gone = set(removed)
        self._entries = {k: v for k, v in self._entries.items() if k not in gone} | dict(changed)
        self._version = version if fresh else -1

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=_LOCK_SECONDS, isolation_level=None)
        try:
            database.execute("CREATE TABLE IF NOT EXISTS specs (key TEXT PRIMARY KEY, entry TEXT NOT NULL)")
        except BaseException:
            database.close()
            raise
        return database


def _readable(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, CachedSpec]]:
    """Yield the readable entries; the other specs are read from the store again."""
    for key, text in rows:
        try:
            entry = _from_json(json.loads(text))
        except Exception:
            log.exception("%s can't be read from the cache", ascii(key))
        else:
            yield key, entry


def _writable(entries: Mapping[str, CachedSpec]) -> Iterator[tuple[str, str]]:
    """Yield the entries that can be serialized; the other specs are read from the store each time."""
    for key, entry in entries.items():
        try:
            text = json.dumps(_to_json(entry))
        except Exception:
            log.exception("%s can't be kept in the cache", ascii(key))
        else:
            yield key, text


def _to_json(entry: CachedSpec) -> dict[str, Any]:
    return {
        "etags": dict(entry.etags),
        "current": _file_to_json(entry.current),
        "last_good": _file_to_json(entry.last_good),
    }


def _from_json(data: dict[str, Any]) -> CachedSpec:
    return CachedSpec(data["etags"], _file_from_json(data["current"]), _file_from_json(data["last_good"]))


def _file_to_json(file: SpecFile | None) -> dict[str, Any] | None:
    if file is None:
        return None
    return {
        "source": file.source.value,
        "key": file.key,
        "etag": file.etag,
        "last_modified": file.last_modified.isoformat(),
        "name": file.name,
        "yaml": file.yaml.decode("utf-8", "surrogateescape"),
        "spec": spec_to_json(file.spec) if file.spec else None,
        "files": dict(file.files),
        "spec_hash": file.spec_hash,
        "problems": [asdict(problem) for problem in file.error.problems] if file.error else None,
    }


def _file_from_json(data: dict[str, Any] | None) -> SpecFile | None:
    if data is None:
        return None
    problems = data["problems"]
    return SpecFile(
        source=SourceType(data["source"]),
        key=data["key"],
        etag=data["etag"],
        last_modified=datetime.fromisoformat(data["last_modified"]),
        name=data["name"],
        yaml=data["yaml"].encode("utf-8", "surrogateescape"),
        spec=DatasetSpec.model_validate(data["spec"]) if data["spec"] else None,
        files=data["files"],
        spec_hash=data["spec_hash"],
        error=InvalidSpec([Problem(**problem) for problem in problems]) if problems else None,
    )


def spec_to_json(spec: DatasetSpec) -> dict[str, Any]:
    """Return a spec as JSON that :class:`~dataspec.spec.model.DatasetSpec` reads back."""
    return spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
