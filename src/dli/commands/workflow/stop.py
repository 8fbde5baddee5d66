"""``dli workflow stop`` (spec 5.4)."""

from __future__ import annotations

import click

from dataspec.workflows import RunStatus
from dli.options import pass_session, run_dataset_option, server_options
from dli.session import Session


@click.command("stop")
@click.argument("run_id")
@click.option("--reason", metavar="TEXT", help="Why; kept in the run's note.")
@run_dataset_option
@server_options
@pass_session
def command(session: Session, run_id: str, reason: str | None, dataset: str | None) -> None:
    """Stop a run and cancel its query.

    Returns when the query is cancelled and the run's process gone. A run that has
    ended stays as it ended.
    """
    run = session.client.stop_run(run_id, reason=reason, dataset=dataset)
    stopped = run.status is RunStatus.KILLED
    session.print_item(
        run, f"Stopped: {run.run_id}" if stopped else f"Already ended: {run.run_id} ({run.status})"
    )
