"""``dli workflow status`` (specification 22.4)."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from dataspec.errors import DatasetNotFound, InvalidSpec
from dataspec.models import WorkflowRun
from dli.named_runs import find_run
from dli.options import follow_options, pass_session, run_dataset_option, server_options
from dli.output.tables import pairs
from dli.output.times import between, local, spanned
from dli.output.waits import waits
from dli.session import Session, say

if TYPE_CHECKING:
    from dataspec.models import Backfill

SHOWN = 20
"""Maximum number of lines of what a run waits for."""


@click.command("status")
@click.argument("run", metavar="RUN_ID|DATASET")
@follow_options()
@run_dataset_option
@server_options
@pass_session
def command(session: Session, run: str, dataset: str | None, wait: bool, timeout: float | None) -> None:
    """Show the state of a run or a backfill.

    RUN_ID is the id of a run or a backfill; the name of a dataset shows its last run. A run is
    PENDING until its first attempt has started, then RUNNING, and finally COMPLETED, FAILED or
    KILLED. A backfill has the same states. Times are in your time zone.
    """
    found = find_run(session, run, dataset=dataset)
    if isinstance(found, WorkflowRun):
        if found.run_id != run:
            _print_note(session, found.dataset_name)
        _show_run(session, found, wait=wait, timeout=timeout)
    else:
        _show_backfill(session, found, wait=wait, timeout=timeout)


def _print_note(session: Session, name: str) -> None:
    """Print the note of a dataset, such as that its schedule is off; a removed dataset has none."""
    with suppress(DatasetNotFound, InvalidSpec):
        if note := session.client.get_workflow(name).note:
            say(f"{name}: {note}")


def _show_run(session: Session, run: WorkflowRun, *, wait: bool, timeout: float | None) -> None:
    if not wait:
        session.print_item(run, described(run))
        return
    from dli.output.progress import report_run_end, wait_for_run

    run = wait_for_run(session.client, run.run_id, timeout=timeout, dataset=run.dataset_name)
    session.print_item(run, described(run))
    report_run_end(run)


def _show_backfill(session: Session, backfill: Backfill, *, wait: bool, timeout: float | None) -> None:
    from dli.output.progress import describe_backfill, report_backfill_end, wait_for_backfill

    if wait:
        backfill = wait_for_backfill(session.client, backfill.backfill_id, timeout=timeout)
    session.print_item(backfill, describe_backfill(backfill))
    if wait:
        report_backfill_end(backfill)


def described(run: WorkflowRun) -> str:
    """Return a run's fields, one per line."""
    spec = f" (spec {run.spec_hash})" if run.spec_hash else ""
    attempts = f"{run.attempts} of {run.max_attempts}" if run.max_attempts else str(run.attempts)
    return pairs(
        [
            ("Run", run.run_id),
            ("Dataset", run.dataset_name),
            ("Status", str(run.status)),
            ("Type", run.run_type),
            ("Source", f"{run.source_type}{spec}" if run.source_type else "-"),
            ("Partition", spanned(run.partition, run.partition_label)),
            ("Parameters", "\n".join(f"{key}={_shown(value)}" for key, value in run.parameters.items())),
            ("Started by", run.requested_by),
            ("Created", local(run.created_at)),
            ("Started", local(run.started_at)),
            ("Finished", local(run.finished_at)),
            ("Took", between(run.started_at, run.finished_at)),
            ("Rows", f"{run.rows:,} written" if run.rows is not None else None),
            ("Attempts", attempts),
            ("Waits for", "\n".join(waits(run.waiting_for, limit=SHOWN))),
            ("Checks", "\n".join(check.message or f"{check.name}: passed" for check in run.checks)),
            ("Error", run.error),
            ("Note", run.note),
            ("Page", run.url),
        ]
    )


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
