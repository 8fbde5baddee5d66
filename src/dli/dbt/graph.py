"""Which table is built from which, so that a check reads no table that is built later."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class TableGraph:
    """The tables of a project, and those that each reads."""

    def __init__(self) -> None:
        self._reads: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, table: str, reads: Iterable[str]) -> None:
        """Add the tables that a table is built from, or checked against."""
        self._reads[table.lower()].update(one.lower() for one in reads if one.lower() != table.lower())

    def is_built_from(self, table: str, other: str) -> bool:
        """Return whether a table is built from another one, directly or through others."""
        waiting, seen = [table.lower()], set()
        while waiting:
            one = waiting.pop()
            if one == other.lower():
                return True
            if one not in seen:
                seen.add(one)
                waiting += self._reads.get(one, ())
        return False
