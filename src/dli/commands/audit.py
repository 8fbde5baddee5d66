"""``dli audit``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.options import complete_dataset, limit_option, pass_session, server_options
from dli.output.times import local, parse_moment
from dli.session import Session, warn

if TYPE_CHECKING:
    from dataspec.models import AuditEntry

TITLES = ("TIME", "WHO", "ROLE", "ACTION", "DATASET", "OUTCOME", "REASON")


@click.command("audit")
@click.option(
    "--dataset", "-d", metavar="NAME", help="Only changes of this dataset.", shell_complete=complete_dataset
)
@click.option("--user", "-u", metavar="NAME", help="Only changes by this user or program.")
@click.option(
    "--since",
    metavar="TIME",
    help="Only changes since this time, such as 2d (two days ago), 12h, 2024-01-15 or 2024-01-15T09:00.",
)
@limit_option("entries", default=50)
@server_options
@pass_session
def command(
    session: Session, *, dataset: str | None, user: str | None, since: str | None, limit: int
) -> None:
    """Show who changed what on the server.

    The newest entry comes first. OUTCOME is `done`, `repeated` (an earlier request had made the
    change), `refused`, `failed`, or `unknown` if the server ended in between. Needs the role
    admin. Times are in your time zone.
    """
    entries = session.client.list_audit_entries(
        dataset=session.dataset_name(dataset) if dataset else None,
        user=user,
        since=parse_moment(since) if since else None,
        limit=limit,
    )
    session.print_items(entries, TITLES, _row)
    warn(entries.warnings)


def _row(entry: AuditEntry) -> tuple[str, ...]:
    return (
        local(entry.at),
        entry.name,
        entry.role or "-",
        entry.action,
        entry.dataset or entry.subject or "-",
        f"{entry.outcome}: {entry.title or entry.code}" if entry.code else entry.outcome,
        entry.reason or "-",
    )
