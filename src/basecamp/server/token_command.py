"""The commands ``basecamp token …``: API tokens, made with the store's credentials alone.

They need no server and no sign-in, so that the first admin can be made: who can write to the store can do everything.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import click
from rich.console import Console
from rich.table import Table

from basecamp.access.audit.log import AuditLog
from basecamp.access.audit.records import Actor, Target
from basecamp.access.principal import Role, grant_named
from basecamp.access.tokens import MAX_LIFETIME, TokenRecord, Tokens
from basecamp.server.settings import read_store_url
from basecamp.shared.clock import SystemClock
from dataspec.store import Store, open_store

DEFAULT_DAYS = 90
_WIDE = 1000
"""Columns of the list, which is never cut: a terminal wraps it."""


@click.group()
def token() -> None:
    """Make, list and revoke API tokens.

    Needs BASECAMP_STORE_URL and the store's credentials (AWS_…), as on the server's machine, and nothing else.
    """


@token.command()
@click.argument("name")
@click.option(
    "--role", required=True, metavar="ROLE", help=f"One of {', '.join(role.label for role in Role)}."
)
@click.option("--team", "teams", multiple=True, help="For the datasets of this team alone; may be repeated.")
@click.option(
    "--days",
    type=click.IntRange(1, MAX_LIFETIME.days),
    default=DEFAULT_DAYS,
    show_default=True,
    help="How long it counts.",
)
def create(name: str, role: str, teams: Sequence[str], days: int) -> None:
    """Make a token, and print it alone on standard output.

    It is shown this once: the store keeps no more than its SHA-256.
    """
    grant, store = grant_named(role, teams), _store()
    with _audited(store, "create token", f"{name} ({grant}, {days} days)") as person:
        new = Tokens(store, SystemClock()).create(
            name, grant, lifetime=timedelta(days=days), created_by=person
        )
    click.echo(new.text)
    click.echo(
        f"The token '{name}' ({new.record.id}) is {_granted(new.record)}, until "
        f"{new.record.expires_at:%Y-%m-%d %H:%M} UTC. It is not shown again.",
        err=True,
    )


@token.command("list")
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_tokens(output: Literal["table", "json"]) -> None:
    """List the tokens, and those that expired in the last 30 days."""
    found = Tokens(_store(), SystemClock()).all()
    for error in found.unreadable:
        click.echo(f"Warning: {error.title}", err=True)
    if output == "json":
        click.echo(json.dumps([_as_json(record) for record in found.records], indent=2))
    else:
        _print_table(found.records)


@token.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke a token by its name or id; every server refuses it within 30 seconds."""
    store = _store()
    with _audited(store, "revoke token", name):
        revoked = Tokens(store, SystemClock()).revoke(name)
    for record in revoked:
        click.echo(f"Revoked the token '{record.name}' ({record.id}).")


def _store() -> Store:
    return open_store(read_store_url(os.environ))


@contextmanager
def _audited(store: Store, action: str, subject: str) -> Iterator[str]:
    """Audit a change, and yield who makes it; without an entry nothing is changed."""
    person = _this_person()
    actor = Actor(name=person, method="machine", identity=person, role=Role.ADMIN.label)
    with AuditLog(store, SystemClock(), "").change(actor, action, Target(subject=subject)):
        yield person


def _this_person() -> str:
    """Return the person at this machine, for the list of tokens."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _granted(record: TokenRecord) -> str:
    return " and ".join(str(grant.grant()) for grant in record.grants)


def _as_json(record: TokenRecord) -> dict[str, Any]:
    highest = record.highest
    return {
        "name": record.name,
        "id": record.id,
        "role": highest.role.label,
        "teams": None if highest.teams is None else sorted(highest.teams),
        "grants": [grant.model_dump(include={"role", "teams"}) for grant in record.grants],
        "created_at": _moment(record.created_at),
        "created_by": record.created_by,
        "expires_at": _moment(record.expires_at),
        "last_used_at": _moment(record.last_used_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


def _print_table(records: Sequence[TokenRecord]) -> None:
    if not records:
        click.echo("There are no tokens. Make one with: basecamp token create NAME --role ROLE")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("NAME", "ID", "ROLE", "CREATED", "BY", "EXPIRES", "LAST USED"):
        table.add_column(heading, no_wrap=True)
    now = datetime.now(UTC)
    for record in records:
        expires = f"{record.expires_at:%Y-%m-%d}" + ("" if record.is_living(now) else " (expired)")
        used = f"{record.last_used_at:%Y-%m-%d %H:%M}" if record.last_used_at else "never"
        table.add_row(
            record.name,
            record.id,
            _granted(record),
            f"{record.created_at:%Y-%m-%d}",
            record.created_by,
            expires,
            used,
        )
    Console(width=_WIDE, markup=False, emoji=False, highlight=False).print(table)
