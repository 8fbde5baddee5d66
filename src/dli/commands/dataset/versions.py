"""``dli dataset versions``: the versions of a dataset that the server keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.options import dataset_argument, limit_option, pass_session, server_options
from dli.output.versions import DIGITS, action_of, state_of, written_at
from dli.session import Session, warn

if TYPE_CHECKING:
    from dataspec.models import VersionInfo

TITLES = ("SPEC", "SOURCE", "STATE", "WRITTEN", "BY", "ACTION", "LAST RUN", "STATUS")


@click.command("versions")
@dataset_argument
@limit_option("versions")
@server_options
@pass_session
def command(session: Session, dataset: str, limit: int) -> None:
    """List the versions of a dataset that the server keeps.

    The registered ones come first, then the newest. SPEC begins the version's hash, by which
    `show --version`, `diff` and `rollback` know it. LAST RUN is the last run of that version,
    among the dataset's newest 100 runs. Times are in your time zone; "before" stands where only
    the end of a version's time is known.
    """
    versions = session.client.list_versions(session.dataset_name(dataset), limit=limit)
    session.print_items(versions, TITLES, _row)
    warn(versions.warnings)


def _row(version: VersionInfo) -> tuple[str, ...]:
    return (
        version.spec_hash[:DIGITS],
        version.source_type or "-",
        state_of(version),
        written_at(version),
        version.written_by or "-",
        action_of(version),
        version.last_run_id or "-",
        version.last_run_status or "-",
    )
