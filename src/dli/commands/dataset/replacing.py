"""Show what a registration changes, and ask before it undoes another person's work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.catalog.spec_storage import manual_key
from dataspec.errors import DatasetNotFound, Forbidden, Refused
from dataspec.models import SourceType, SpecVersion
from dataspec.spec.identity import spec_hash
from dli.output.differences import VersionDiff
from dli.output.times import local as local_time
from dli.output.versions import DIGITS
from dli.project.replacement import ForeignChange, foreign_change
from dli.session import Session, is_interactive, say, warn

if TYPE_CHECKING:
    from dli.project.project import LocalDataset


def prepare(
    session: Session, local: LocalDataset, *, yes: bool, whole: bool, subject: str | None = None
) -> str | None:
    """Show what differs from the registered version, and get consent if another person has changed that.

    Args:
        session: The command's session.
        local: The valid local spec.
        yes: Don't ask.
        whole: Show every line that differs.
        subject: The dataset, named above what differs where the command registers several.

    Returns:
        The ETag that the registered version must still have; None without a registered version.

    Raises:
        Refused: Without a terminal and ``yes``, or when the answer is no.
    """
    name = local.checked().name
    registered = _registered(session, name)
    if registered is None:
        return None
    diff = VersionDiff(name, registered, _version(local))
    if not diff.is_same:
        if subject is not None:
            say(f"{subject}:")
        _show(registered, diff, whole=whole)
        foreign = (
            None
            if yes
            else foreign_change(registered, local, session.project.root, lambda: session.client.whoami().name)
        )
        if foreign is not None:
            _ask(name, registered, foreign)
    return registered.etag if registered.file == manual_key(name) else None


def _registered(session: Session, name: str) -> SpecVersion | None:
    """Return the manual version on the server; None without one, and for a name that the user may not see."""
    try:
        return session.client.get_versions(name).manual
    except (DatasetNotFound, Forbidden):
        return None


def _version(local: LocalDataset) -> SpecVersion:
    return SpecVersion(
        source_type=SourceType.MANUAL,
        file=local.file,
        spec_hash=spec_hash(local.yaml, local.sql),
        yaml=local.yaml.decode(),
        files=local.sql,
    )


def _show(registered: SpecVersion, diff: VersionDiff, *, whole: bool) -> None:
    who = f" by {registered.written_by}" if registered.written_by else ""
    when = f" at {local_time(registered.written_at)}" if registered.written_at else ""
    written = f", written{who}{when}" if who or when else ""
    say(f"Changes to the registered version {(registered.spec_hash or '(invalid)')[:DIGITS]}{written}:")
    for line in diff.changes.described():
        say(f"  {line}")
    if whole:
        diff.show_lines(err=True)


def _ask(name: str, registered: SpecVersion, foreign: ForeignChange) -> None:
    """Ask whether to replace a version that the project may not have.

    Raises:
        Refused: Without a terminal, if the project certainly does not have it; or when the answer is no.
    """
    version = (registered.spec_hash or "")[:DIGITS]
    text = f"The registered version {foreign.reason}. Registering replaces it."
    see = f"See it with: dli dataset show {name} --version {version}"
    if is_interactive():
        warn([f"{text}\n{see}"])
        if not click.confirm("Proceed?", err=True):
            raise Refused("Not registered.")
    elif foreign.is_certain:
        take = "Take its changes over into your file, or replace it with --yes."
        raise Refused("Not registered.", detail=f"{text}\n{see}\n{take}")
    else:
        warn([f"{text}\n{see}"])
