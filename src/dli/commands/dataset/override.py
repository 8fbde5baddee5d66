"""Consent to a manual spec that code overrides, or that breaks others (specification 22.14, 32.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import BreaksDependents, ExistsInCode, Refused
from dli.session import is_interactive, say, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from dataspec.models import RegisteredDataset

OVERRIDE_WARNING = (
    "This dataset already exists in Code path.\n"
    "Your Manual registration will be overridden by Code.\n"
    "The Manual file will be kept but inactive."
)
"""The text of specification 22.14."""


def with_consent(
    write: Callable[[bool], RegisteredDataset],
    *,
    yes: bool,
    refusal: str = "Not registered.",
    subject: str | None = None,
) -> RegisteredDataset:
    """Write a manual spec; if code has the dataset, or others would wait in vain, ask first.

    Args:
        write: Writes it; the argument says whether that is accepted.
        yes: Accept it without asking.
        refusal: The title of the error without consent.
        subject: The dataset, named above the question where the command registers several.

    Raises:
        Refused: Without a terminal, or when the answer is no.
    """
    try:
        return write(yes)
    except ExistsInCode:
        if subject is not None:
            say(f"{subject}:")
        warn([OVERRIDE_WARNING])
        if not is_interactive():
            raise Refused(refusal, detail="To register it anyway, add --yes.") from None
    except BreaksDependents as broken:
        confirm_broken(broken)
    if not click.confirm("Proceed?", err=True):
        raise Refused(refusal) from None
    return write(True)


def confirm_broken(broken: BreaksDependents) -> None:
    """Show which datasets a change breaks; without a terminal to ask on, raise the error itself."""
    if not is_interactive():
        raise broken
    told = (broken.detail or "").splitlines()
    warn(["\n".join([broken.title, *told[:-1]])])
