"""Names of tables, and when two of them mean one table."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Parts = tuple[str, ...]

_QUALIFIED = 2
"""From so many parts on a name may leave out what stands before it, such as the catalog."""


def parts_of(name: str) -> Parts:
    """Return the parts of a table's name in lower case: names match whatever their case."""
    return tuple(name.lower().split("."))


def may_be_same(one: Parts, other: Parts) -> bool:
    """Tell whether two names may mean one table: one's parts are the end of the other's.

    A name of one part is that of an equal one only: the schema that it leaves out may be any.
    """
    shorter = min(len(one), len(other))
    return one == other or (shorter >= _QUALIFIED and one[-shorter:] == other[-shorter:])


class Endings:
    """Names of tables, by which others are found that may mean one of them, as :func:`may_be_same` has it."""

    def __init__(self, names: Iterable[Parts]) -> None:
        self._names = set(names)
        self._endings = {ending for name in self._names for ending in _endings(name)}

    def hold(self, name: Parts) -> bool:
        """Tell whether a name may mean one of these tables."""
        shorter = any(ending in self._names for ending in _endings(name))
        return name in self._names or shorter or (len(name) >= _QUALIFIED and name in self._endings)


class TableNames:
    """Many tables, found by their names or by the ends of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._written: dict[Parts, str] = {}
        self._ending: defaultdict[Parts, set[Parts]] = defaultdict(set)
        for name in names:
            parts = parts_of(name)
            self._written.setdefault(parts, name)
            for ending in _endings(parts):
                self._ending[ending].add(parts)

    def find(self, name: str) -> str | None:
        """Return the table that a name means; None if there is none, or more than one that it may be."""
        parts = parts_of(name)
        if parts in self._written:
            return self._written[parts]
        shorter = {ending for ending in _endings(parts) if ending in self._written}
        found = shorter | self._ending.get(parts, set())
        return self._written[found.pop()] if len(found) == 1 else None


def _endings(parts: Parts) -> list[Parts]:
    return [parts[begin:] for begin in range(len(parts) - _QUALIFIED + 1)]
