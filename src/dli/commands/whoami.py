"""``dli whoami`` (specification 26.68)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.client.addresses import parse_address
from dli.client.protocol import encode
from dli.options import pass_session, server_options
from dli.output.tables import pairs
from dli.output.times import local
from dli.session import Session

if TYPE_CHECKING:
    from dataspec.models import Identity, RoleGrant


@click.command("whoami")
@server_options
@pass_session
def command(session: Session) -> None:
    """Show your name and your roles at the server.

    Also shows where your credential comes from: `DLI_TOKEN`, the system's keyring or a file.
    """
    identity = session.client.whoami()
    server = str(parse_address(session.settings.server_url))
    place = session.credential.place if session.credential else None
    item = {**encode(identity), "server": server, "credential": place}
    session.print_item(item, _shown(identity, server, place))


def _shown(identity: Identity, server: str, place: str | None) -> str:
    is_open = identity.method == "open"
    lines = [
        ("Name", identity.name),
        ("Server", server),
        ("Sign-in", "none: everybody who reaches this server may do everything" if is_open else None),
        ("Roles", None if is_open else "\n".join(map(_role, identity.grants)) or "none"),
        ("Credential", place),
        ("Expires", local(identity.expires_at) if identity.expires_at else None),
    ]
    return pairs(lines)


def _role(grant: RoleGrant) -> str:
    return f"{grant.role} for {'all datasets' if grant.teams is None else ', '.join(grant.teams)}"
