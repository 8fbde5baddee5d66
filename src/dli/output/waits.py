"""Text of what a run waits for: first what does not come by itself, and of many the first ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dataspec.models import WaitingFor


def waits(waiting_for: Sequence[WaitingFor], *, limit: int, names: bool = False) -> list[str]:
    """Return a text for each thing, and how many more there are.

    Args:
        waiting_for: The things.
        limit: The maximum number of texts.
        names: Whether to give the names alone.
    """
    first = sorted(waiting_for, key=lambda one: not one.needs_help)[:limit]
    more = [f"and {len(waiting_for) - limit} more"] if len(waiting_for) > limit else []
    return [one.name if names else one.text for one in first] + more
