"""Mark text by its origin: a template's own text, and values that were checked to be names."""

from __future__ import annotations

import re
from typing import Any


class TemplateText(str):
    """A template's own text with placeholders of its values, as a ``{% set %}`` block or a macro yields it."""

    __slots__ = ()


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*){0,3}")


class SqlName(str):
    """A value that was checked to be a name, such as ``schema.table``."""

    __slots__ = ()


class TableName(SqlName):
    """The name of a spec's own table, of which a part may need quotes."""

    __slots__ = ()


def sql_name(value: Any) -> SqlName:
    """Check that a value is a name, for the template filter ``identifier``.

    Raises:
        ValueError: When it is not.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name such as table or schema.table")
    return SqlName(value)
