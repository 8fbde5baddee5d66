"""``dli dataset unregister`` (specification 22.17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import BreaksDependents, ManagedByCode, Refused, RunsActive
from dli.commands.dataset.override import confirm_broken
from dli.options import dataset_argument, pass_session, server_options, source_option
from dli.session import Session, is_interactive, say, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from dataspec.models import UnregisteredDataset


STAYS = (
    "Running it (workflow run, backfill, retry, stop) works as for any dataset.\n"
    "To remove it, delete its YAML in Git and deploy: dli code publish"
)


@click.command("unregister")
@dataset_argument
@source_option(everything=False)
@click.option(
    "--yes",
    "-y",
    is_flag=True,
    help="Don't ask if runs are active, which keep running, or if other datasets depend on it.",
)
@click.option("--stop", is_flag=True, help="Stop the active runs.")
@click.option("--reason", metavar="TEXT", help="The reason, kept in the audit log.")
@server_options
@pass_session
def command(
    session: Session, *, dataset: str, source: str | None, yes: bool, stop: bool, reason: str | None
) -> None:
    """Remove a manually registered dataset.

    No new run starts; the history stays. If runs are active, or other datasets depend on it,
    they are listed and you are asked. A dataset that code has is removed in Git; --source manual removes the kept manual
    file, and the dataset keeps running from code.
    """
    name = session.dataset_name(dataset)

    def remove(*, active: bool, dependents: bool) -> UnregisteredDataset:
        return session.client.unregister(
            name,
            source=source,
            stop=stop,
            accept_active=active,
            accept_dependents=dependents,
            reason=reason,
        )

    try:
        gone = _with_consent(remove, yes=yes)
    except ManagedByCode:
        raise ManagedByCode(STAYS) from None
    _tell(session, gone)


def _with_consent(remove: Callable[..., UnregisteredDataset], *, yes: bool) -> UnregisteredDataset:
    """Remove a dataset; ask first if others depend on it, and if runs are active."""
    active = dependents = yes
    while True:
        try:
            return remove(active=active, dependents=dependents)
        except BreaksDependents as broken:
            confirm_broken(broken)
            dependents = True
        except RunsActive as found:
            if not is_interactive():
                raise
            warn(
                [
                    "\n".join(
                        [found.title, *found.runs, "They keep running, unless you stop them with --stop."]
                    )
                ]
            )
            active = True
        if not click.confirm("Proceed?", err=True):
            raise Refused("Not unregistered.") from None


def _tell(session: Session, gone: UnregisteredDataset) -> None:
    session.print_item(gone, f"Unregistered: {gone.name}")
    for run_id in gone.stopped_runs:
        say(f"Stopped: {run_id}")
    for run_id in gone.active_runs:
        say(f"Keeps running: {run_id}")
    warn(gone.warnings)
