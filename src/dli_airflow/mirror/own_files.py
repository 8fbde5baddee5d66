"""Read the mirror's own JSON files on this machine; each can be made anew, so a damaged one counts as missing."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def read_own(kind: TypeAdapter[T], path: Path) -> T | None:
    """Return the content of a file; None for a missing one, and for one that is damaged or of another version."""
    try:
        return kind.validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
