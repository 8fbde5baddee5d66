"""Ask the user before a command acts on several things, and act on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import DliError, InvalidUsage, NotFound, NotLoaded, Refused
from dli.session import is_interactive, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")
    R = TypeVar("R")


def ask_first(
    question: str,
    *,
    show: Callable[[], None],
    effect: str,
    declined: str,
    detail: str = "Confirm with --yes.",
) -> None:
    """Ask the user whether a command may change what it lists; refuse without a terminal.

    Args:
        question: Such as ``Stop 2 runs?``.
        show: Lists what would be changed.
        effect: The title of the refusal without a terminal, such as ``2 runs would be stopped.``.
        declined: Such as ``Nothing was stopped.``.
        detail: How to go on without a terminal.

    Raises:
        Refused: When the user declines, or can't be asked.
    """
    if not is_interactive():
        raise Refused(effect, detail=detail)
    show()
    if not click.confirm(question, err=True):
        raise Refused(declined)


def act_on_each(
    items: Iterable[T], act: Callable[[T], R], *, failed: Callable[[T], str]
) -> tuple[list[R], list[DliError]]:
    """Act on each item, also after one that is refused or invalid; an unreachable server ends it.

    Args:
        items: The items.
        act: Acts on one, and returns the result.
        failed: Returns the beginning of the message for an item that was refused.

    Returns:
        The results, and the errors of the items that were refused.
    """
    results: list[R] = []
    errors: list[DliError] = []
    for item in items:
        try:
            results.append(act(item))
        except (Refused, NotFound, NotLoaded, InvalidUsage) as error:
            errors.append(error)
            say("\n".join(filter(None, (f"{failed(item)}: {error.text}", error.detail))))
    return results, errors


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 run`` or ``1,200 runs``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
