"""DAGs that others bring: where one has a dataset's id, the dataset's own DAG steps back.

Airflow keeps one DAG for each id, that of the file that it parsed last, and reports nothing where
two files make one: they would take turns, and run on each other's schedule. So each parse notes the
DAGs that are not the factory's (:mod:`dli_airflow.policy`), and a dataset whose id is among them gets
an import error that names the file, and no DAG.

A note holds while its file is as it was when it was parsed: Airflow parses a file that changed at once.
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
"""How long a note holds unless a parse renews it: Airflow parses every file more often, changed or not."""


class OtherDags:
    """The notes in the folder of a mirror of the store; the processes of the machine share them.

    Args:
        folder: The mirror's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._notes = folder / "others"
        self._names = folder / "names.json"

    def note(self, dag_id: str, file: str, bundle: str | None = None) -> None:
        """Note that a file makes a DAG of an id.

        Raises:
            OSError: When the folder can't be written to.
        """
        self._notes.mkdir(parents=True, exist_ok=True)
        note = {"file": file, "bundle": bundle, "changed": _changed(file)}
        write_atomically(self._path(dag_id), json.dumps(note))

    def keep(self, names: Iterable[str]) -> None:
        """Keep the datasets' names for :meth:`known`, and remove notes that nothing renewed."""
        write_atomically(self._names, json.dumps(sorted(names)))
        for path in self._notes.glob("*"):
            if time.time() - path.stat().st_mtime > HOLDS_SECONDS:
                path.unlink(missing_ok=True)

    def known(self) -> dict[str, str]:
        """Return the place of each other DAG that has the id of one of the datasets that were kept."""
        try:
            names = json.loads(self._names.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return self.among(names)

    def among(self, names: Iterable[str]) -> dict[str, str]:
        """Return the place of each other DAG that has one of these ids, by id: its file, and its bundle."""
        noted = {path.name for path in self._notes.glob("*.json")}
        if not noted:
            return {}
        paths = {name: self._path(name) for name in names}
        return {name: place for name, path in paths.items() if path.name in noted and (place := _held(path))}

    def _path(self, dag_id: str) -> Path:
        return self._notes / f"{hashlib.sha256(dag_id.encode()).hexdigest()[:32]}.json"


def _held(path: Path) -> str | None:
    """Return the place that a note names, if the note holds."""
    try:
        age = time.time() - path.stat().st_mtime
        note = json.loads(path.read_text(encoding="utf-8"))
        file, bundle, changed = str(note["file"]), note["bundle"], note["changed"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    holds = age < HOLDS_SECONDS and changed is not None and changed == _changed(file)
    return place_of(file, bundle) if holds else None


def _changed(file: str) -> int | None:
    """Return when a file changed last, or the archive that holds it; None where there is none."""
    found = next((place for place in (Path(file), *Path(file).parents) if place.is_file()), None)
    return found.stat().st_mtime_ns if found else None
