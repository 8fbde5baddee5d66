"""Datasets whose DAG could not be built, noted by the parse that found it for the bundle to show.

A parse of a shard must not raise for one of its datasets, or Airflow would drop them all;
and it can't add an import error of its own. So it leaves a note, and the bundle's next
refresh makes a file of the note that raises.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class BrokenDag:
    """A note: which version of which dataset, and why."""

    name: str
    spec_hash: str
    reason: str


class BrokenDags:
    """The notes, a small file for each dataset."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def beside(cls, dags: Path) -> BrokenDags:
        """Return the notes that belong to a folder of DAGs."""
        return cls(dags.parent / "broken")

    def add(self, name: str, spec_hash: str, reason: str) -> None:
        """Note that a DAG can't be built."""
        self._folder.mkdir(parents=True, exist_ok=True)
        note = json.dumps(asdict(BrokenDag(name, spec_hash, reason)))
        if self._read(self._path(name)) != note:
            self._path(name).write_text(note, encoding="utf-8")

    def remove(self, name: str) -> None:
        """Drop the note on a dataset, if there is one."""
        self._path(name).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[BrokenDag]:
        for path in sorted(self._folder.glob("*.json")):
            if note := self._read(path):
                try:
                    yield BrokenDag(**json.loads(note))
                except (ValueError, TypeError):
                    continue  # being written just now

    def _path(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"

    @staticmethod
    def _read(path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
