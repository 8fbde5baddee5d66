"""Notes of datasets whose DAG can't be built or stored.

A parse of a shard must not fail for one dataset: Airflow would schedule none of the shard. It leaves a note, and
the next refresh writes a DAG file that raises the reason, which Airflow lists as an import error.
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
    """A version of a dataset without a DAG, and the reason."""

    name: str
    spec_hash: str
    reason: str


class BrokenDags:
    """Keeps the notes: one small file for each parsed shard, beside the folder of DAG files."""

    def __init__(self, dags: Path) -> None:
        self._folder = dags.parent / "parsed"

    def keep(self, shard: str, version: str, broken: Sequence[BrokenDag]) -> None:
        """Keep the result of the parse of a shard.

        Args:
            shard: The name of the shard's file.
            version: Identifies the shard's content and the Airflow that parsed it.
            broken: The datasets without a DAG.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        note = {"version": version, "broken": [asdict(dag) for dag in broken]}
        if self._read(self._path(shard)) != note:
            write_atomically(self._path(shard), json.dumps(note))

    def is_sound(self, shard: str, version: str) -> bool:
        """Tell whether every DAG of this version of a shard was built and can be stored."""
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
