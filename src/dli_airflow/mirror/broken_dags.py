"""Datasets whose DAG can't be built or stored, noted by the parse that found it for the bundle to show.

A parse of a shard must not fail for one of its datasets, or Airflow would schedule none of
them; and it can't add an import error of its own. So it leaves a note, and the bundle's
next refresh makes a file of the note that raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataspec.files import write_atomically


@dataclass(frozen=True, slots=True)
class BrokenDag:
    """Which version of which dataset, and why."""

    name: str
    spec_hash: str
    reason: str


class BrokenDags:
    """The notes on a folder of DAGs, one small file for each shard that was parsed."""

    def __init__(self, dags: Path) -> None:
        self._folder = dags.parent / "parsed"

    def keep(self, shard: str, version: str, broken: Sequence[BrokenDag]) -> None:
        """Note how the parse of a shard went.

        Args:
            shard: The shard's file.
            version: Names what it held, and what it was built with.
            broken: The datasets that have no DAG.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        note = {"version": version, "broken": [asdict(dag) for dag in broken]}
        if self._read(self._path(shard)) != note:
            write_atomically(self._path(shard), json.dumps(note))

    def is_sound(self, shard: str, version: str) -> bool:
        """Tell whether every DAG of this version of a shard was built and could be stored."""
        return self._read(self._path(shard)) == {"version": version, "broken": []}

    def __iter__(self) -> Iterator[BrokenDag]:
        for path in sorted(self._folder.glob("*.json")):
            for dag in (self._read(path) or {}).get("broken", []):
                yield BrokenDag(**dag)

    def _path(self, shard: str) -> Path:
        return self._folder / f"{shard}.json"

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        try:
            note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return note
