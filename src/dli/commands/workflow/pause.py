"""``dli workflow pause`` (specification 22.12)."""

from __future__ import annotations

import click

from dli.options import dataset_argument, pass_session, server_options, source_option
from dli.session import Session, say


@click.command("pause")
@dataset_argument
@source_option(everything=False)
@click.option("--reason", metavar="TEXT", help="The reason, shown with the pause.")
@server_options
@pass_session
def command(session: Session, dataset: str, source: str | None, reason: str | None) -> None:
    """Pause a dataset: no new run starts.

    It stays paused until `dli workflow unpause`, also after a deploy or a registration. Datasets
    of both sources can be paused. Active runs continue. After the pause, only the latest missed
    run is caught up.
    """
    workflow = session.client.pause(session.dataset_name(dataset), source=source, reason=reason)
    session.print_item(workflow, f"Paused: {workflow.dataset_name}")
    if workflow.note:
        say(workflow.note)
