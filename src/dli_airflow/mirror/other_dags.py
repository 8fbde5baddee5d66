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
from pathlib import Path

from dataspec.contract import place_of
from dataspec.files import write_atomically

HOLDS_SECONDS = 3600.0
"""Seconds for which a note is valid unless a parse renews it; Airflow parses every file more often."""


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
        note = {"file": file, "bundle": bundle, "changed": _changed(file)}
        write_atomically(self._path(dag_id), json.dumps(note))

    def keep(self, names: Iterable[str]) -> None:
        """Keep the datasets' names for :meth:`known`, and remove expired notes."""
        write_atomically(self._names, json.dumps(sorted(names)))
        for path in self._notes.glob("*"):
            if time.time() - path.stat().st_mtime > HOLDS_SECONDS:
                path.unlink(missing_ok=True)

    def known(self) -> dict[str, str]:
        """Return the place of each foreign DAG that has the id of a dataset, by id, for the names last kept."""
        try:
            names = json.loads(self._names.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return self.among(names)

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
    try:
        age = time.time() - path.stat().st_mtime
        note = json.loads(path.read_text(encoding="utf-8"))
        file, bundle, changed = str(note["file"]), note["bundle"], note["changed"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    holds = age < HOLDS_SECONDS and changed is not None and changed == _changed(file)
    return place_of(file, bundle) if holds else None


def _changed(file: str) -> int | None:
    """Return the modification time of a file, or of the archive that contains it; None if neither exists."""
    found = next((place for place in (Path(file), *Path(file).parents) if place.is_file()), None)
    return found.stat().st_mtime_ns if found else None
