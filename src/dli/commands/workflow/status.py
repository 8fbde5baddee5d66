"""``dli workflow status`` (specification 22.4)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from dataspec.errors import AirflowUnreachable, BackfillNotFound, RunNotFound
from dli.options import pass_session, run_dataset_option, server_options
from dli.output.tables import pairs
from dli.output.times import between, local
from dli.session import Session

if TYPE_CHECKING:
    from dataspec.models import WorkflowRun


@click.command("status")
@click.argument("run_id")
@click.option("--wait", is_flag=True, help="Follow the run to its end; exit status 1 unless it completed.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="With --wait: wait no longer than this; the run continues.",
)
@run_dataset_option
@server_options
@pass_session
def command(session: Session, run_id: str, dataset: str | None, wait: bool, timeout: float | None) -> None:
    """Show how a run or a backfill is doing.

    A run is PENDING until its first attempt has started, then RUNNING, and in the end
    COMPLETED, FAILED or KILLED; so is a backfill. Times are in your time zone.
    """
    if timeout and not wait:
        raise click.UsageError("--timeout is for --wait.")
    try:
        run = session.client.get_run(run_id, dataset=dataset)
    except (RunNotFound, AirflowUnreachable) as error:  # of a backfill the server knows without Airflow
        if dataset is not None or not _show_backfill(session, run_id, wait=wait, timeout=timeout):
            raise error from None
        return
    if not wait:
        session.print_item(run, described(run))
        return
    from dli.output.run_progress import tell_end, wait_for

    run = wait_for(session.client, run_id, timeout=timeout, dataset=dataset)
    session.print_item(run, described(run))
    tell_end(run)


def _show_backfill(session: Session, backfill_id: str, *, wait: bool, timeout: float | None) -> bool:
    """Show the backfill of that id; False if there is none."""
    from dli.output import backfill_progress as backfills

    try:
        backfill = session.client.get_backfill(backfill_id)
    except BackfillNotFound:
        return False
    if wait:
        backfill = backfills.wait_for(session.client, backfill_id, timeout=timeout)
    session.print_item(backfill, backfills.described(backfill))
    if wait:
        backfills.tell_end(backfill)
    return True


def described(run: WorkflowRun) -> str:
    """Return what is known of a run, a line each."""
    spec = f" (spec {run.spec_hash})" if run.spec_hash else ""
    attempts = f"{run.attempts} of {run.max_attempts}" if run.max_attempts else str(run.attempts)
    return pairs(
        [
            ("Run", run.run_id),
            ("Dataset", run.dataset_name),
            ("Status", str(run.status)),
            ("Type", run.run_type),
            ("Source", f"{run.source_type}{spec}" if run.source_type else "-"),
            ("Parameters", "\n".join(f"{key}={_shown(value)}" for key, value in run.parameters.items())),
            ("Created", local(run.created_at)),
            ("Started", local(run.started_at)),
            ("Finished", local(run.finished_at)),
            ("Took", between(run.started_at, run.finished_at)),
            ("Attempts", attempts),
            ("Error", run.error),
            ("Note", run.note),
            ("Page", run.url),
        ]
    )


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
