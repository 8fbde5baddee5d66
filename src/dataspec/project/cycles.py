"""Cycles: names that lead back to themselves."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def cycles_in(leads_to: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Return a shortest cycle through the first name of each group of names that lead to each other.

    Args:
        leads_to: Where each name leads; every name is a key.
    """
    return sorted(_shortest(group, leads_to) for group in _groups(leads_to))


def _groups(leads_to: Mapping[str, Iterable[str]]) -> list[set[str]]:
    """Return the groups of two or more that reach each other (Kosaraju's two walks, without recursion)."""
    back: defaultdict[str, list[str]] = defaultdict(list)
    for name, others in leads_to.items():
        for other in others:
            back[other].append(name)
    groups, placed = [], set[str]()
    for name in reversed(_finished(leads_to)):
        group, ahead = set[str](), [name]
        while ahead:
            if (at := ahead.pop()) not in placed:
                placed.add(at)
                group.add(at)
                ahead += back[at]
        if len(group) > 1:
            groups.append(group)
    return groups


def _finished(leads_to: Mapping[str, Iterable[str]]) -> list[str]:
    """Return every name after all that it leads to, as far as cycles allow."""
    finished: list[str] = []
    seen: set[str] = set()
    ahead = [(name, False) for name in leads_to]
    while ahead:
        at, done = ahead.pop()
        if done:
            finished.append(at)
        elif at not in seen:
            seen.add(at)
            ahead.append((at, True))
            ahead += [(other, False) for other in leads_to[at]]
    return finished


def _shortest(group: set[str], leads_to: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    first = min(group)
    paths: list[tuple[str, ...]] = [(first,)]
    seen = {first}
    for path in paths:  # it grows on the way
        for other in leads_to[path[-1]]:
            if other == first:
                return path
            if other in group and other not in seen:
                seen.add(other)
                paths.append((*path, other))
    raise AssertionError("a group reaches itself")
