"""``dli dataset rollback``: register an earlier version of a manual dataset again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dataspec.errors import REVERT, ManagedByCode, Refused
from dli.commands.dataset.override import with_consent
from dli.options import dataset_argument, pass_session, server_options, wait_options
from dli.output.differences import VersionDiff
from dli.output.versions import DIGITS, told
from dli.session import Session, is_interactive, say, warn

if TYPE_CHECKING:
    from dataspec.models import SpecVersion, VersionDetails

NOTHING_REGISTERED = "No manual spec of this name is registered now; the version is registered again."


@click.command("rollback")
@dataset_argument
@click.argument("version", metavar="HASH")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@click.option("--reason", metavar="TEXT", help="The reason, kept in the audit log.")
@wait_options
@server_options
@pass_session
def command(
    session: Session,
    *,
    dataset: str,
    version: str,
    dry_run: bool,
    yes: bool,
    reason: str | None,
    no_wait: bool,
    wait_seconds: int,
) -> None:
    """Register an earlier version of a manual dataset again.

    HASH is the version, as `dli dataset versions` lists it; its first digits are enough. Its YAML
    and SQL take the place of the registered ones, which stay a version to return to. Your local
    files stay as they are. A dataset that code has is rolled back in Git: git revert.
    """
    name = session.dataset_name(dataset)
    target = session.client.get_version(name, version)
    registered = _registered(session, name)
    diff = VersionDiff(name, registered, target) if registered else None
    if dry_run:
        _show(session, name, target, diff)
        return
    if diff is not None and diff.is_same:
        current = session.client.get_dataset(name, source="manual")
        session.print_item(current, f"{name} is at {target.spec_hash[:DIGITS]} already. Nothing was changed.")
        return
    if not yes:
        _ask(name, target, diff)
    done = with_consent(
        lambda accepted: session.client.rollback(
            name,
            target.spec_hash,
            accept_override=accepted,
            accept_dependents=accepted,
            reason=reason,
            wait_seconds=0 if no_wait else wait_seconds,
            if_match=registered.etag if registered else "",
        ),
        yes=yes,
        refusal="Not rolled back.",
    )
    session.print_item(done, f"Rolled back: {name} to {target.spec_hash[:DIGITS]}")
    warn(done.warnings)


def _registered(session: Session, name: str) -> SpecVersion | None:
    """Return the manual version that is registered now; None if there is none.

    Raises:
        ManagedByCode: When code alone has the dataset.
    """
    current = session.client.get_versions(name)
    if current.manual is None and current.code is not None:
        raise ManagedByCode(REVERT)
    return current.manual


def _show(session: Session, name: str, target: VersionDetails, diff: VersionDiff | None) -> None:
    if session.format == "json":
        report: dict[str, Any] = {"name": name, "dry_run": True, "from": None, "to": target}
        session.print_json(report if diff is None else diff.to_json() | {"dry_run": True})
        return
    if diff is None:
        click.echo(NOTHING_REGISTERED)
    else:
        diff.show()
    click.echo("Nothing was changed.")


def _ask(name: str, target: VersionDetails, diff: VersionDiff | None) -> None:
    """Show what changes; on a terminal, ask.

    Raises:
        Refused: When the answer is no.
    """
    say(f"Rolling back {name} to {target.spec_hash[:DIGITS]}, written {told(target)}.")
    for line in diff.changes.described() if diff else (NOTHING_REGISTERED,):
        say(f"  {line}")
    if is_interactive() and not click.confirm("Proceed?", err=True):
        raise Refused("Not rolled back.")
