"""``dli version``."""

from __future__ import annotations

import click

from dli.options import format_option, pass_session
from dli.session import Session


def version() -> str:
    """Return the installed version."""
    from importlib.metadata import version as installed

    return installed("dli")


@click.command("version")
@format_option()
@pass_session
def command(session: Session) -> None:
    """Show dli's version."""
    session.print_item({"version": version()}, f"dli {version()}")
