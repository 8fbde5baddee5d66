"""Identify datasets by name (specification 3.1 and 3.2), and versions of a spec by hash."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dataspec.errors import InvalidName

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_CONNECTION = "dli_default"
"""The connection of a spec that names none (specification 2.11)."""

MAX_NAME_LENGTH = 200
HASH_LENGTH = 16
RESERVED_PREFIXES = ("manual__", "scheduled__", "backfill__", "asset_triggered__", "dataset_triggered__")

_ALLOWED = re.compile(r"[A-Za-z0-9_.-]+")
_LIKE_A_RUN_ID = re.compile(r"_\d{8}_\d{6}(_\d+)?(_\d{8}(T\d{4}Z)?)?$|_\d{8}T\d{4}Z$")


def check_name(name: str) -> str:
    """Return a dataset name unchanged.

    Raises:
        InvalidName: With the rule that the name breaks.
    """
    if reason := why_invalid(name):
        raise InvalidName(f"Invalid dataset name '{name[:MAX_NAME_LENGTH]}': {reason}")
    return name


def why_invalid(name: str) -> str | None:
    """Return the rule that a dataset name breaks; None for a valid name."""
    if not name:
        return "it is empty."
    if len(name) > MAX_NAME_LENGTH:
        return f"it has {len(name)} characters, at most {MAX_NAME_LENGTH} are allowed."
    if not _ALLOWED.fullmatch(name):
        wrong = next(letter for letter in name if not _ALLOWED.fullmatch(letter))
        return f"{wrong!r} is not allowed. Use letters A-Z a-z, digits, '_', '-' and '.'."
    if ".." in name or name.startswith(".") or name.endswith("."):
        return "a dot must be between two other characters."
    if prefix := next((p for p in RESERVED_PREFIXES if name.startswith(p)), None):
        return f"it must not begin with '{prefix}', which Airflow keeps for runs."
    if _LIKE_A_RUN_ID.search(name):
        return "it must not end like a run id (_YYYYMMDD_HHMMSS, or _YYYYMMDDTHHMMZ)."
    return None


def spec_hash(yaml: bytes, files: Mapping[str, str]) -> str:
    """Return the hash of a spec version: of its YAML and its SQL files together.

    Args:
        yaml: The YAML file's bytes.
        files: The text of each SQL file, by its path in the YAML.
    """
    import hashlib  # 5 ms of CPU, which commands without a hash need not pay

    digest = hashlib.sha256(yaml)
    for path, text in sorted(files.items()):
        digest.update(b"\x00" + path.encode() + b"\x00" + text.encode())
    return digest.hexdigest()[:HASH_LENGTH]
