"""Settings of a session that change how an engine reads strings, set by a spec's own statements."""

from __future__ import annotations

import re

_SETTINGS = re.compile(
    r"standard_conforming_strings|backslash_quote"  # PostgreSQL
    r"|sql_mode|\bset\s+(?:names|charset|character\s+set)\b|character_set_client"  # MySQL, MariaDB
    r"|escapedstringliterals|doublequotedidentifiers"  # Spark
    r"|quoted_identifier|quoting_identifiers",  # SQL Server, Drill
    re.IGNORECASE,
)


def changes_strings(sql: str) -> bool:
    """Tell whether SQL names a setting that changes how strings are read after it."""
    return _SETTINGS.search(sql) is not None
