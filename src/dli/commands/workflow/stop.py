"""``dli workflow stop`` (specification 22.9, 22.34)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import AirflowUnreachable, BackfillNotFound, DatasetNotFound, RunNotFound
from dataspec.models import RunStatus
from dli.confirmation import act_on_each, ask_first, counted
from dli.named_runs import dataset_named
from dli.options import MAX_LIMIT, pass_session, run_dataset_option, server_options
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from dataspec.models import Backfill, WorkflowRun


@click.command("stop")
@click.argument("run", metavar="RUN_ID|DATASET")
@click.option("--reason", metavar="TEXT", help="The reason, kept in the run's note.")
@click.option("--yes", "-y", is_flag=True, help="With a DATASET: don't ask.")
@run_dataset_option
@server_options
@pass_session
def command(session: Session, *, run: str, reason: str | None, yes: bool, dataset: str | None) -> None:
    """Stop a run or a backfill and cancel its query.

    Returns when the query is cancelled and the run's process has ended. A stopped backfill starts
    no further run. A run that has finished keeps its status.

    With the name of a dataset, its active runs and backfills are listed, you are asked, and all
    of them are stopped.
    """
    try:
        stopped = _stop(session, run, reason, dataset)
    except RunNotFound as error:
        if dataset is not None:
            raise
        _stop_all(session, run, reason, error, yes=yes)
        return
    session.print_item(stopped, _told(run, stopped))


def _stop(session: Session, run_id: str, reason: str | None, dataset: str | None) -> WorkflowRun | Backfill:
    """Stop the run or the backfill with an id."""
    try:
        return session.client.stop_run(run_id, reason=reason, dataset=dataset)
    except (RunNotFound, AirflowUnreachable) as error:  # a backfill is stopped without Airflow
        if dataset is not None:
            raise
        try:
            return session.client.stop_backfill(run_id, reason=reason)
        except BackfillNotFound:
            raise error from None


def _stop_all(session: Session, named: str, reason: str | None, error: RunNotFound, *, yes: bool) -> None:
    name = dataset_named(session, named, error)
    try:
        active = _active(session, name)
    except DatasetNotFound:
        raise error from None
    if active and not yes:
        count = counted(len(active), "active run")
        ask_first(
            f"Stop {count}?",
            show=lambda: say("\n".join(active)),
            effect=f"{count} of {name} would be stopped.",
            declined="Nothing was stopped.",
            detail="\n".join((*active, "Confirm with --yes.")),
        )

    def stop(run_id: str) -> WorkflowRun | Backfill:
        stopped = _stop(session, run_id, reason, None)
        if session.format == "table":
            click.echo(_told(run_id, stopped))
        return stopped

    stopped, errors = act_on_each(active, stop, failed=lambda run_id: f"Not stopped: {run_id}")
    if session.format == "json":
        session.print_json(stopped)
    if not active:
        say(f"No run of {name} is active.")
    if errors:
        raise click.exceptions.Exit(errors[0].exit_status)


def _active(session: Session, name: str) -> list[str]:
    """Return the ids of a dataset's active backfills, then of its other active runs, waiting ones first."""
    statuses = [status for status in RunStatus if not status.finished]
    runs = session.client.list_runs(dataset=name, status=statuses, limit=MAX_LIMIT)
    backfills = session.client.list_backfills(dataset=name, active=True, limit=MAX_LIMIT)
    warn(dict.fromkeys((*runs.warnings, *backfills.warnings)))
    backfill_ids = [backfill.backfill_id for backfill in backfills]
    others = [run for run in runs if run.backfill_id not in backfill_ids]
    others.sort(key=lambda run: run.status is not RunStatus.PENDING)
    return [*backfill_ids, *(run.run_id for run in others)]


def _told(run_id: str, stopped: WorkflowRun | Backfill) -> str:
    killed = stopped.status is RunStatus.KILLED
    return f"Stopped: {run_id}" if killed else f"Already ended: {run_id} ({stopped.status})"
