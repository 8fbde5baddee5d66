"""Notes of datasets whose DAG can't be built or stored.

A parse of a shard must not fail for one dataset: Airflow would schedule none of the shard. It leaves a note, and
the next refresh writes a DAG file that raises the reason, which Airflow lists as an import error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from dataspec.files import write_atomically
from dli_airflow.mirror.own_files import read_own


@dataclass(frozen=True, slots=True)
class BrokenDag:
    """A version of a dataset without a DAG, and the reason."""

    name: str
    spec_hash: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedShard:
    """The result of the parse of a shard."""

    version: str
    """Identifies the shard's content and the Airflow that parsed it."""
    broken: tuple[BrokenDag, ...]


_PARSED = TypeAdapter(ParsedShard)


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
        note = ParsedShard(version, tuple(broken))
        if read_own(_PARSED, self._path(shard)) != note:
            write_atomically(self._path(shard), json.dumps(asdict(note)))

    def is_sound(self, shard: str, version: str) -> bool:
        """Tell whether every DAG of this version of a shard was built and can be stored."""
        return read_own(_PARSED, self._path(shard)) == ParsedShard(version, ())

    def __iter__(self) -> Iterator[BrokenDag]:
        for path in sorted(self._folder.glob("*.json")):
            note = read_own(_PARSED, path)
            yield from note.broken if note else ()

    def _path(self, shard: str) -> Path:
        return self._folder / f"{shard}.json"
