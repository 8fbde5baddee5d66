"""``dli version``."""

from __future__ import annotations

import click

from dataspec import distribution
from dli.options import format_option, pass_session
from dli.session import Session


@click.command("version")
@format_option()
@pass_session
def command(session: Session) -> None:
    """Show dli's version and distribution."""
    item = {"version": distribution.version(), "distribution": distribution.NAME}
    session.print_item(item, distribution.version_line("dli"))
