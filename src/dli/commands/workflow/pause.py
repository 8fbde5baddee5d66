"""``dli workflow pause`` (specification 22.12)."""

from __future__ import annotations

import click

from dli.options import dataset_argument, pass_session, server_options, source_option
from dli.session import Session, say


@click.command("pause")
@dataset_argument
@source_option(everything=False)
@server_options
@pass_session
def command(session: Session, dataset: str, source: str | None) -> None:
    """Pause a dataset so that no run of it starts.

    It stays paused until `dli workflow unpause`, through every deploy and
    registration; it works on datasets of both sources. A run that has started goes on. After the
    pause only the latest missed run is made up for.
    """
    workflow = session.client.pause(session.dataset_name(dataset), source=source)
    session.print_item(workflow, f"Paused: {workflow.dataset_name}")
    if workflow.note:
        say(workflow.note)
