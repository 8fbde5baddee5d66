"""Airflow's SQLite file: migrated beside itself and put in place whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Database:
    """The file, and the version of Airflow that it was last migrated for."""

    file: Path

    @property
    def draft(self) -> Path:
        """The file that is migrated, so that one that is cut off leaves nothing half done."""
        return self.file.with_suffix(".draft.db")

    @property
    def _stamp(self) -> Path:
        return self.file.with_suffix(".version")

    def is_for(self, version: str) -> bool:
        """Say whether the file fits a version of Airflow."""
        return self.file.exists() and self._stamp.exists() and self._stamp.read_text() == version

    def begin(self) -> None:
        """Make the draft: a copy of what is there, or nothing yet."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self.file.parent.glob(f"{self.draft.name}*"):
            leftover.unlink()
        if self.file.exists():
            # Closing the last connection also folds a killed Airflow's write-ahead log into the file.
            with closing(sqlite3.connect(self.file)) as there, closing(sqlite3.connect(self.draft)) as draft:
                there.backup(draft)

    def finish(self, version: str) -> None:
        """Put the migrated draft in place."""
        with closing(sqlite3.connect(self.draft)) as draft:
            # Without it each writer keeps every reader out, and Airflow's parts meet "database is locked".
            draft.execute("PRAGMA journal_mode=WAL")
        self.draft.replace(self.file)
        self._stamp.write_text(version)
