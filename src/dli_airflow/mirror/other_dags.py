"""Notes of DAGs that the factory did not build. A dataset whose id another DAG has gets no DAG.

Airflow keeps one DAG for each id, from the file that it parsed last, and does not report duplicates: two DAGs
with one id would replace each other at every parse. :mod:`dli_airflow.policy` notes each foreign DAG; a dataset
with the same id gets an import error that names the file.

A note is valid while its file is unchanged: Airflow parses a changed file at once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from dataspec.contract import place_of
from dataspec.files import write_atomically
from dli_airflow.mirror.own_files import read_own

HOLDS_SECONDS = 3600.0
"""Seconds for which a note is valid unless a parse renews it; Airflow parses every file more often."""


@dataclass(frozen=True, slots=True)
class OtherDag:
    """The file that has a foreign DAG, and when it was changed."""

    file: str
    bundle: str | None
    changed: int | None


_NOTE = TypeAdapter(OtherDag)
_NAMES = TypeAdapter(list[str])


class OtherDags:
    """Keeps the notes in a mirror's folder, shared by all processes of the machine.

    Args:
        folder: The mirror's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._notes = folder / "others"
        self._names = folder / "names.json"

    def note(self, dag_id: str, file: str, bundle: str | None = None) -> None:
        """Note that a file has a DAG with an id.

        Raises:
            OSError: When the folder can't be written to.
        """
        self._notes.mkdir(parents=True, exist_ok=True)
        note = OtherDag(file, bundle, _changed(file))
        write_atomically(self._path(dag_id), json.dumps(asdict(note)))

    def keep(self, names: Iterable[str]) -> None:
        """Keep the datasets' names for :meth:`known`, and remove expired notes."""
        write_atomically(self._names, json.dumps(sorted(names)))
        for path in self._notes.glob("*"):
            if time.time() - path.stat().st_mtime > HOLDS_SECONDS:
                path.unlink(missing_ok=True)

    def known(self) -> dict[str, str]:
        """Return the place of each foreign DAG that has the id of a dataset, by id, for the names last kept."""
        names = read_own(_NAMES, self._names)
        return self.among(names) if names else {}

    def among(self, names: Iterable[str]) -> dict[str, str]:
        """Return the place (file and bundle) of each foreign DAG with one of these ids, by id."""
        noted = {path.name for path in self._notes.glob("*.json")}
        if not noted:
            return {}
        paths = {name: self._path(name) for name in names}
        return {name: place for name, path in paths.items() if path.name in noted and (place := _held(path))}

    def _path(self, dag_id: str) -> Path:
        return self._notes / f"{hashlib.sha256(dag_id.encode()).hexdigest()[:32]}.json"


def _held(path: Path) -> str | None:
    """Return the place in a note; None for a note that is not valid any more."""
    note = read_own(_NOTE, path)
    if note is None or note.changed is None or _is_old(path):
        return None
    return place_of(note.file, note.bundle) if note.changed == _changed(note.file) else None


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime >= HOLDS_SECONDS
    except FileNotFoundError:
        return True


def _changed(file: str) -> int | None:
    """Return the modification time of a file, or of the archive that contains it; None if neither exists."""
    found = next((place for place in (Path(file), *Path(file).parents) if place.is_file()), None)
    return found.stat().st_mtime_ns if found else None
