"""``dli login`` (specification 26.62)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from dataspec.errors import DliError, InvalidSettings, NoSignIn, NotFound, Unauthorized
from dli.browser import open_page
from dli.client.addresses import check_token_is_safe, parse_address
from dli.client.protocol import TOKEN
from dli.credentials.keeping import keep, prepare
from dli.credentials.kept import KeptSignIns
from dli.credentials.lookup import credential_of
from dli.options import pass_session, server_options
from dli.output.progress import StatusLine
from dli.output.tables import printable
from dli.output.times import local
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from dataspec.models import LoginCode, LoginResult
    from dli.client.addresses import Address
    from dli.client.client import Client

_ENDS = {
    "denied": "The sign-in was denied on the page.",
    "expired": "The code has ended: nobody approved it in time, or its token was fetched already.",
}


@click.command("login")
@server_options
@pass_session
def command(session: Session) -> None:
    """Sign in to the server.

    Prints a code and the address of a page, on which you sign in and approve the code; on a desktop
    the page opens by itself. The token is kept in the system's keyring, or in a file that only
    you can read: with `DLI_CREDENTIALS=file`, and where there is no keyring. It ends after
    30 days; `dli logout` revokes it. Programs use `DLI_TOKEN` instead.
    """
    settings = session.settings
    settings.require_sign_in_permission()
    server = parse_address(settings.server_url)
    check_token_is_safe(server, os.environ)
    if server.credentials:
        raise InvalidSettings(
            f"The address of {server} has a user and password, so no token can be sent beside them.",
            detail="Write the address without them.",
        )
    prepare(server, os.environ)
    with session.client_with("") as client:
        try:
            login = client.begin_login(socket.gethostname() or "a machine without a name")
        except (NoSignIn, NotFound):  # a server of before sign-in has no such route
            say(f"{server} has no sign-in: nothing to do.")
            return
        result = _wait(client, login)
    if result.token is None or result.expires_at is None:
        raise Unauthorized(_ENDS[result.status], detail="Try again: dli login")
    name, before = printable(result.name or ""), _token_before(server)
    try:
        place = keep(server, result.token, name, result.expires_at, os.environ)
    except BaseException:
        _revoke(session, result.token)
        raise
    if before is not None:
        _revoke(session, before)
    item = {"server": str(server), "name": name, "kept_in": place, "expires_at": result.expires_at}
    session.print_item(item, f"Signed in to {server} as {name} until {local(result.expires_at)}.")
    if session.format != "json":
        say(f"The token is kept in {place}.")
    if os.environ.get(TOKEN):
        warn([f"{TOKEN} is set, and counts before this sign-in."])


def _token_before(server: Address) -> str | None:
    """Return the token that this login replaces."""
    kept = KeptSignIns(os.environ).read(server)
    with suppress(Unauthorized):
        return credential_of(kept, server, os.environ).token if kept else None
    return None


def _revoke(session: Session, token: str) -> None:
    """Revoke a token that is not kept, if the server answers."""
    with session.client_with(token) as client, suppress(DliError):
        client.logout()


def _wait(client: Client, login: LoginCode) -> LoginResult:
    """Show the code, and wait until the person has decided."""
    page = printable(login.verification_uri_complete)
    say(f"Open {page}\nand check that the page shows the code: {printable(login.user_code)}")
    open_page(page)
    line = StatusLine()
    try:
        if line.replaceable:
            line.show("Waiting for your approval (Ctrl-C ends the command)")
        return client.finish_login(login)
    finally:
        line.clear()
