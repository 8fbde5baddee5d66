"""Define valid keys of objects, the same for every kind of store (specification 5.16)."""

from __future__ import annotations

import re
from typing import Final

from dataspec.errors import InvalidKey

MAX_KEY_BYTES: Final = 1024
"""The limit of S3, which includes the bucket's prefix."""
MAX_PART_BYTES: Final = 255
"""The limit of file systems for one file name."""

HIDDEN: Final = "."
"""Prefix of names that belong to other programs, such as ``.git``, or to the folder store."""

SQL_FOLDER: Final = ".files"
"""Suffix of the folders that hold SQL under its SHA-256."""
SQL_KEY: Final = re.compile(rf"(?P<stem>.+){re.escape(SQL_FOLDER)}/[0-9a-f]{{64}}\.sql")

MACRO_FOLDER: Final = "macros/"
"""The folder of a project whose files SQL templates import."""
SEED_FOLDER: Final = "seeds/"
"""The folder of a project whose CSV files SQL templates read as tables."""
UNREAD: Final = "-- not read"
"""Stands for the text of a file that exists and can't be read, which has a problem of its own."""

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_UNSHOWABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def why_no_key(key: str, *, limit: int = MAX_KEY_BYTES) -> str | None:
    """Return why a key is invalid; None for a valid key.

    Args:
        key: The key, or a file path that becomes one.
        limit: Maximum number of bytes, in UTF-8.
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "it is not UTF-8"
    if found := _CONTROL.search(key):
        return f"it holds the control character U+{ord(found[0]):04X}"
    if "\\" in key:
        return "it holds a backslash"
    if size > limit:
        return f"it has {size:,} bytes; at most {limit:,} are allowed"
    return next(filter(None, map(_why_no_part, key.split("/"))), None)


def _why_no_part(part: str) -> str | None:
    if not part:
        return "a part between two '/' is empty, or it begins or ends with '/'"
    if part in {".", ".."}:
        return f"one of its parts is '{part}'"
    if part.startswith(HIDDEN):
        return f"its part '{part}' begins with a dot"
    if (size := len(part.encode())) > MAX_PART_BYTES:
        return f"its part '{part[:20]}…' has {size:,} bytes; at most {MAX_PART_BYTES} are allowed"
    return None


def check_key(key: str, *, limit: int = MAX_KEY_BYTES) -> None:
    """Check a key.

    Raises:
        InvalidKey: For an invalid key, with the reason.
    """
    if reason := why_no_key(key, limit=limit):
        raise InvalidKey(shown_key(key), reason)


def is_hidden(key: str) -> bool:
    """Return whether a part of a key starts with a dot, other than ``.`` and ``..``."""
    return any(part.startswith(HIDDEN) and part.strip(".") for part in key.split("/"))


def shown_key(key: str) -> str:
    r"""Return a key as printable text, with control characters and invalid bytes as ``\x01``."""
    return _UNSHOWABLE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", key)


def owner_of(key: str) -> str | None:
    """Return the key of the YAML that a map or a SQL file belongs to; None for anything else."""
    found = SQL_KEY.fullmatch(key)
    stem = found["stem"] if found else key.removesuffix(".files.json")
    if stem == key:
        return None
    return stem if stem.endswith(".yml") else f"{stem}.yaml"


def why_reserved(path: str) -> str | None:
    """Return why a YAML can't be published from its place; None if it can.

    Args:
        path: Its path within the project.
    """
    *folders, _ = path.split("/")
    if reserved := next((folder for folder in folders if folder.endswith(SQL_FOLDER)), None):
        return (
            f"the folder '{reserved}' is reserved: Basecamp and publishes keep SQL in folders whose name ends "
            f"with '{SQL_FOLDER}'. Move the file to another folder"
        )
    return None
