"""``dli dataset unregister`` (specification 22.17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import Refused, RunsActive
from dli.options import dataset_argument, pass_session, server_options, source_option
from dli.session import Session, is_interactive, say, warn

if TYPE_CHECKING:
    from dataspec.models import UnregisteredDataset


@click.command("unregister")
@dataset_argument
@source_option(everything=False)
@click.option(
    "--yes", "-y", is_flag=True, help="Don't ask, although runs are active; they go on to their end."
)
@click.option("--stop", is_flag=True, help="End the runs that are active.")
@server_options
@pass_session
def command(session: Session, dataset: str, source: str | None, yes: bool, stop: bool) -> None:
    """Remove a dataset that was registered by hand.

    No run of it starts any more; its history stays. Where runs are active they are listed,
    and you are asked. A dataset that code has is removed in Git; with --source manual the
    kept manual file is removed, and the dataset keeps running from code.
    """
    name = session.dataset_name(dataset)
    try:
        gone = session.client.unregister(name, source=source, stop=stop, accept_active=yes)
    except RunsActive as active:
        if not is_interactive():
            raise
        warn(["\n".join([active.title, *active.runs, "They go on to their end; --stop ends them."])])
        if not click.confirm("Proceed?", err=True):
            raise Refused("Not unregistered.") from None
        gone = session.client.unregister(name, source=source, accept_active=True)
    _tell(session, gone)


def _tell(session: Session, gone: UnregisteredDataset) -> None:
    session.print_item(gone, f"Unregistered: {gone.name}")
    for run_id in gone.stopped_runs:
        say(f"Stopped: {run_id}")
    for run_id in gone.active_runs:
        say(f"Goes on to its end: {run_id}")
    warn(gone.warnings)
