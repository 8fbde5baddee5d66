"""What a key is: the one definition that every kind of store keeps to (specification 5.16)."""

from __future__ import annotations

import re
from typing import Final

from dataspec.errors import InvalidKey

MAX_KEY_BYTES: Final = 1024
"""The limit of S3; in a bucket the store's own prefix counts as well."""
MAX_PART_BYTES: Final = 255
"""The limit of file systems for one name."""

HIDDEN: Final = "."
"""Names that begin with a dot are other programs', such as ``.git``, or the folder store's own."""

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_UNSHOWABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def why_no_key(key: str, *, limit: int = MAX_KEY_BYTES) -> str | None:
    """Return why no store can have an object under a key, or None where each can.

    Args:
        key: The key, or the path of a file that is to be one.
        limit: How many bytes it may have, in UTF-8.
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
    """Refuse what can't be a key.

    Raises:
        InvalidKey: With the reason.
    """
    if reason := why_no_key(key, limit=limit):
        raise InvalidKey(shown_key(key), reason)


def is_hidden(key: str) -> bool:
    """Tell whether a key has a part that begins with a dot, and is no step such as ``..``."""
    return any(part.startswith(HIDDEN) and part.strip(".") for part in key.split("/"))


def shown_key(key: str) -> str:
    r"""Return a key as text that can be printed; control characters and foreign bytes as ``\x01``."""
    return _UNSHOWABLE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", key)
