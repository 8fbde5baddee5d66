"""``dli workflow stop`` (specification 22.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import AirflowUnreachable, BackfillNotFound, RunNotFound
from dataspec.models import RunStatus
from dli.options import pass_session, run_dataset_option, server_options
from dli.session import Session

if TYPE_CHECKING:
    from dataspec.models import Backfill, WorkflowRun


@click.command("stop")
@click.argument("run_id")
@click.option("--reason", metavar="TEXT", help="The reason, kept in the run's note.")
@run_dataset_option
@server_options
@pass_session
def command(session: Session, run_id: str, reason: str | None, dataset: str | None) -> None:
    """Stop a run or a backfill and cancel its query.

    Returns when the query is cancelled and the run's process has ended. A stopped backfill starts
    no further run. A run that has finished keeps its status.
    """
    stopped: WorkflowRun | Backfill
    try:
        stopped = session.client.stop_run(run_id, reason=reason, dataset=dataset)
    except (RunNotFound, AirflowUnreachable) as error:  # a backfill is stopped without Airflow
        if dataset is not None:
            raise
        try:
            stopped = session.client.stop_backfill(run_id, reason=reason)
        except BackfillNotFound:
            raise error from None
    killed = stopped.status is RunStatus.KILLED
    text = f"Stopped: {run_id}" if killed else f"Already ended: {run_id} ({stopped.status})"
    session.print_item(stopped, text)
