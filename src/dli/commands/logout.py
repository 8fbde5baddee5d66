"""``dli logout`` (specification 26.62)."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from dataspec.errors import DliError, Unauthorized
from dli.client.addresses import parse_address
from dli.client.protocol import TOKEN
from dli.credentials.keeping import forget
from dli.credentials.kept import KeptSignIns
from dli.credentials.lookup import credential_of
from dli.options import pass_session, server_options
from dli.output.times import local
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from dli.client.addresses import Address
    from dli.credentials.kept import KeptSignIn


@click.command("logout")
@server_options
@pass_session
def command(session: Session) -> None:
    """Sign out of the server; its token is revoked.

    The token of `dli login` is removed from this machine as well. `DLI_TOKEN` stays valid.
    """
    session.settings.require_sign_in_permission()
    server = parse_address(session.settings.server_url)
    if os.environ.get(TOKEN):
        warn(
            [
                f"{TOKEN} is set, and stays valid: unset it. An admin revokes it with: basecamp token revoke NAME"
            ]
        )
    kept = KeptSignIns(os.environ).read(server)
    if kept is None:
        say(f"You are not signed in to {server}.")
        return
    try:
        _revoke(session, server, kept)
    except DliError as error:
        warn([f"The token could not be revoked, and is valid until {local(kept.expires_at)}: {error.title}"])
    warn(forget(server, kept, os.environ))
    session.print_item({"server": str(server), "name": kept.name}, f"Signed out of {server}.")


def _revoke(session: Session, server: Address, kept: KeptSignIn) -> None:
    """Revoke a token; one that the server does not know any more needs nothing."""
    credential = credential_of(kept, server, os.environ)
    with session.client_with(credential.token) as client, suppress(Unauthorized):
        client.logout()
