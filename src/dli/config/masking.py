"""Hide the secrets in settings."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
MAX_SHOWN = 2_000
"""Maximum number of characters that are searched for secrets; a longer value is hidden whole."""

_SECRET_NAME = re.compile(
    r"pass|pwd|secret|token|credential|(^|[_-])key$|api_?key|access_?key", re.IGNORECASE
)
# Up to the last @: a password that was not encoded may contain one.
_PASSWORD = re.compile(r"(://[^/@\s:]*:)\S+(?=@)")
_NAMED = re.compile(
    r"((?:^|[?&;\s])[^=?&;\s]*(?:pass|pwd|secret|token|key)[^=?&;\s]*\s*=\s*)[^&;\s]+", re.IGNORECASE
)


def masked(key: str, value: Any) -> Any:
    """Return a setting's value, hidden if the key names a secret, else with the secrets inside it hidden.

    Args:
        key: The setting, such as ``connections.warehouse.options.password``.
        value: Its value; a URL or a connection string may hold a password of its own.
    """
    if value is None:
        return None
    if _SECRET_NAME.search(key.rpartition(".")[2]):
        return HIDDEN
    if not isinstance(value, str):
        return value
    if len(value) > MAX_SHOWN:
        return HIDDEN
    return _NAMED.sub(rf"\g<1>{HIDDEN}", _PASSWORD.sub(rf"\g<1>{HIDDEN}", value))
