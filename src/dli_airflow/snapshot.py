"""What the bundle's files on this machine stand for, and how fresh they are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The outcome of the last refresh; times are in seconds since 1970."""

    state: str
    """Names the store's content and the form of the files; when it is the same, so are the files."""
    taken_at: float
    """When the refresh began that the files are from."""
    attempted_at: float
    """When the last refresh began, whether it succeeded or not."""
    error: str | None = None
    """Why the last refresh failed."""

    def failed(self, attempted_at: float, error: str) -> Snapshot:
        """Return the same files after a refresh that failed."""
        return replace(self, attempted_at=attempted_at, error=error)

    @property
    def taken_words(self) -> str:
        """When the files are from, for people."""
        return datetime.fromtimestamp(self.taken_at, UTC).isoformat(timespec="seconds")


class SnapshotFile:
    """Keeps the snapshot; it is read and written under the bundle's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Snapshot | None:
        """Return what was kept; None before the first refresh, and for a file that can't be read."""
        try:
            return Snapshot(**json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of the last."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        writing = self._path.with_suffix(".writing")
        writing.write_text(json.dumps(asdict(snapshot)), encoding="utf-8")
        writing.replace(self._path)
