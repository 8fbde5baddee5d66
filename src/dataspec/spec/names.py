"""Names: what that of a dataset may look like (specification 3.1), of the default connection, of the user's own folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dataspec.errors import InvalidName

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_CONNECTION = "dli_default"
"""The connection of a dataset that names none (specification 2.11)."""

MAX_LENGTH = 200
RESERVED_PREFIXES = ("manual__", "scheduled__", "backfill__", "asset_triggered__", "dataset_triggered__")

_ALLOWED = re.compile(r"[A-Za-z0-9_.-]+")
_LIKE_A_RUN_ID = re.compile(r"_\d{8}_\d{6}(_\d+)?(_\d{8})?$")


def check_name(name: str) -> str:
    """Return the name if it may name a dataset.

    Raises:
        InvalidName: With the rule that it breaks.
    """
    if reason := why_invalid(name):
        raise InvalidName(f"Invalid dataset name '{name[:MAX_LENGTH]}': {reason}")
    return name


def why_invalid(name: str) -> str | None:
    """Say which rule a name breaks, or None if it may name a dataset."""
    if not name:
        return "it is empty."
    if len(name) > MAX_LENGTH:
        return f"it has {len(name)} characters, at most {MAX_LENGTH} are allowed."
    if not _ALLOWED.fullmatch(name):
        wrong = next(letter for letter in name if not _ALLOWED.fullmatch(letter))
        return f"{wrong!r} is not allowed. Use letters A-Z a-z, digits, '_', '-' and '.'."
    if ".." in name or name.startswith(".") or name.endswith("."):
        return "a dot must stand between two other characters."
    if prefix := next((p for p in RESERVED_PREFIXES if name.startswith(p)), None):
        return f"it must not begin with '{prefix}', which Airflow keeps for runs."
    if _LIKE_A_RUN_ID.search(name):
        return "it must not end like a run id (_YYYYMMDD_HHMMSS)."
    return None


def user_folder(environ: Mapping[str, str]) -> Path:
    """Return the user's own folder, for settings and permissions of every project."""
    folder = environ.get("XDG_CONFIG_HOME")
    base = Path(folder) if folder else Path(environ.get("HOME") or Path.home()) / ".config"
    return base / "dli"
