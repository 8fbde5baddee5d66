"""``dli config show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dataspec.problems import nearest
from dli.config.masking import masked
from dli.config.settings import VARIABLES
from dli.options import pass_session, server_options
from dli.session import Session, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dli.config.settings import Settings


@click.command("show")
@server_options
@pass_session
def command(session: Session) -> None:
    """Show each setting with its value and its origin.

    Passwords and other secrets are shown as ***.
    """
    settings = session.settings
    shown = [{"setting": s.key, "value": masked(s.key, s.value), "origin": s.origin} for s in settings.all()]
    session.print_items(shown, ("SETTING", "VALUE", "ORIGIN"), _row)
    warn(_warnings(settings))


def _row(setting: dict[str, Any]) -> tuple[str, str, str]:
    value = setting["value"]
    return setting["setting"], "-" if value is None else str(value), setting["origin"]


def _warnings(settings: Settings) -> Iterator[str]:
    for name in settings.unread_variables():
        hint = nearest(name, VARIABLES.values())
        yield f"The variable {name} is set, but no setting reads it." + (f" {hint}" if hint else "")
