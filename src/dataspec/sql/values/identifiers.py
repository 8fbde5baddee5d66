"""Names in SQL, which may stand without quotes once they were checked."""

from __future__ import annotations

import re
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*){0,3}")


class SqlName(str):
    """Text that was checked to be a name, such as ``schema.table``."""

    __slots__ = ()


def sql_name(value: Any) -> SqlName:
    """Check that a value is a name; the template filter ``identifier``.

    Raises:
        ValueError: When it is not.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name such as table or schema.table")
    return SqlName(value)
