"""The text of the beacon: the datasets that were built last (docs/waiting.md, "What was built").

One Variable tells every triggerer that something was built, so it does not read those of all upstreams to find out.
Another program may write any other text there: then anything may have changed. All functions are pure.
"""

from __future__ import annotations

import json

KEPT = 50
"""Number of entries. A poller that misses more reads all upstreams again."""


def with_entry(text: str | None, dataset: str, mark: str) -> str:
    """Return the text of the beacon after a dataset was built.

    Args:
        text: The text before; None if there is none.
        dataset: The dataset that was built.
        mark: Distinguishes this entry from all others.
    """
    return json.dumps([*_entries(text), [dataset, mark]][-KEPT:])


def has_entry(text: str | None, dataset: str, mark: str) -> bool:
    """Return whether an entry is in the text: one that was written at the same moment may have replaced it."""
    return [dataset, mark] in _entries(text)


def built_since(before: str | None, now: str | None) -> frozenset[str] | None:
    """Return the datasets that were built between two texts; None if the texts don't tell."""
    if before == now:
        return frozenset()
    earlier, entries = _entries(before), _entries(now)
    if not earlier or earlier[-1] not in entries:
        return None
    return frozenset(str(dataset) for dataset, _ in entries[entries.index(earlier[-1]) + 1 :])


def _entries(text: str | None) -> list[list[str]]:
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    is_ours = isinstance(found, list) and all(isinstance(entry, list) and len(entry) == 2 for entry in found)  # noqa: PLR2004 - a dataset and a mark
    return found if is_ours else []
