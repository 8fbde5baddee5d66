"""``dli config trust`` (specification 22.31)."""

from __future__ import annotations

import click

from dli.options import common_options, pass_session
from dli.session import Session, say


@click.command("trust")
@common_options
@pass_session
def command(session: Session) -> None:
    """Agree to what this project's settings ask for.

    A project that somebody else wrote may not send credentials of yours where it likes. This
    agrees, for this project on this machine, to settings files that belong to another user,
    to credentials in the address of its server, and to variables that its connections send to
    other machines. Each is printed. What changes later is asked for again.
    """
    agreed = session.settings.grant_permissions()
    items = [{"origin": permission.place, "agreed": permission.what} for permission in agreed]
    if not items:
        say("Nothing new to agree to.")
    if items or session.format == "json":
        session.print_items(items, ("ORIGIN", "AGREED"), lambda item: (item["origin"], item["agreed"]))
