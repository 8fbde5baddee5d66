"""``dli workflow unpause`` (specification 22.12)."""

from __future__ import annotations

import click

from dli.options import dataset_argument, pass_session, server_options, source_option
from dli.session import Session, say


@click.command("unpause")
@dataset_argument
@source_option(everything=False)
@server_options
@pass_session
def command(session: Session, dataset: str, source: str | None) -> None:
    """Resume a paused dataset.

    A spec with `enabled: false` still has no scheduled runs; the command says so.
    Exit status 4 if the dataset was not paused.
    """
    workflow = session.client.unpause(session.dataset_name(dataset), source=source)
    session.print_item(workflow, f"Unpaused: {workflow.dataset_name}")
    if workflow.note:
        say(workflow.note)
