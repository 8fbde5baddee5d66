"""``dli config trust`` (specification 22.31)."""

from __future__ import annotations

import click

from dli.options import common_options, pass_session
from dli.session import Session, say


@click.command("trust")
@common_options
@pass_session
def command(session: Session) -> None:
    """Grant the permissions that this project's settings need.

    Without them, a project can't send your credentials to machines that it names. This grants,
    for this project on this machine: settings files that belong to another user, credentials in
    the server's address, and variables that connections send to other machines. Each is
    printed. A later change of one needs a new permission.
    """
    agreed = session.settings.grant_permissions()
    items = [{"origin": permission.place, "agreed": permission.what} for permission in agreed]
    if not items:
        say("No new permission is needed.")
    if items or session.format == "json":
        session.print_items(items, ("ORIGIN", "AGREED"), lambda item: (item["origin"], item["agreed"]))
