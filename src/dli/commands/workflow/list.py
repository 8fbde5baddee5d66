"""``dli workflow list`` (specification 22.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.models import WorkflowStatus
from dli.options import datasets_option, pass_session, server_options, source_option
from dli.output.times import in_zone, local
from dli.output.waits import waits
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dataspec.models import WorkflowInfo

TITLES = ("DATASET", "SOURCE", "STATUS", "CRON", "NEXT RUN", "LAST RUN")
RUNNING_TITLES = ("RUN ID", "STARTED")
LATE_TITLES = ("LATE", "SINCE")
RESULT_TITLES = ("RESULT", "SINCE", "FAILURES")
WAITING_TITLES = ("RUN ID", "WAITING SINCE", "WAITS FOR")
SHOWN = 3
"""Maximum number of things in the column WAITS FOR."""


@click.command("list")
@source_option(everything=True)
@click.option("--running", is_flag=True, help="Only datasets with an active run, and that run.")
@click.option("--waiting", is_flag=True, help="Only datasets with a run that waits for others, and what for.")
@click.option(
    "--status",
    type=click.Choice(["failed", "killed", "completed"]),
    help="Only datasets whose last run that has ended, ended like this, and since when.",
)
@click.option("--late", is_flag=True, help="Only datasets with a partition that was not built in time.")
@click.option("--enabled-only", is_flag=True, help="Only datasets whose schedule is active.")
@datasets_option
@server_options
@pass_session
def command(
    session: Session,
    *,
    source: str | None,
    running: bool,
    waiting: bool,
    status: str | None,
    late: bool,
    enabled_only: bool,
    datasets: list[str] | None,
) -> None:
    """List registered datasets and their schedules.

    A dataset that is registered both in code and in manual has two rows; the manual one is
    overridden and never runs. NEXT RUN is in the schedule's time zone, which it names; LAST RUN
    and STARTED are in yours. LAST RUN is the run that was created last, and when it ended, or
    was created if it is active. A dataset that is late is named below the table.
    """
    workflows = session.client.list_workflows(
        source=source,
        running=running,
        waiting=waiting,
        enabled_only=enabled_only,
        status=status,
        late=late,
        dataset=datasets,
    )
    if waiting:
        session.print_items(workflows, TITLES[:3] + WAITING_TITLES, _waiting_row)
    elif late:
        session.print_items(workflows, TITLES + LATE_TITLES, _late_row)
    elif status:
        session.print_items(workflows, TITLES + RESULT_TITLES, _result_row)
    elif running:
        session.print_items(workflows, TITLES + RUNNING_TITLES, _running_row)
    else:
        session.print_items(workflows, TITLES, row)
    warn(workflows.warnings)
    if session.format == "table":
        _print_remarks(workflows)
        if not (workflows or source or running or waiting or status or late or enabled_only or datasets):
            say("No dataset is registered. Register one with: dli dataset register NAME")


def _print_remarks(workflows: Iterable[WorkflowInfo]) -> None:
    for workflow in workflows:
        if workflow.late:
            warn([f"{workflow.dataset_name} is late: {_late(workflow)} since {_late_since(workflow)}"])
        if workflow.error or workflow.note:
            warn([f"{workflow.dataset_name}: {workflow.error or workflow.note}"])


def row(workflow: WorkflowInfo) -> tuple[str, ...]:
    """Return a line of the table under :data:`TITLES`."""
    return (
        workflow.dataset_name,
        workflow.source_type,
        workflow.status,
        workflow.cron or "-",
        _next_run(workflow),
        _last_run(workflow),
    )


def _running_row(workflow: WorkflowInfo) -> tuple[str, ...]:
    return (*row(workflow), workflow.running_run_id or "-", local(workflow.running_since))


def _late_row(workflow: WorkflowInfo) -> tuple[str, ...]:
    return (*row(workflow), _late(workflow), _late_since(workflow))


def _late(workflow: WorkflowInfo) -> str:
    """Return the oldest late partition, and how many more there are."""
    late = workflow.late
    if late is None:
        return "-"
    return late.partition_label + (f" and {late.partitions - 1} more" if late.partitions > 1 else "")


def _late_since(workflow: WorkflowInfo) -> str:
    return local(workflow.late.since) if workflow.late else "-"


def _result_row(workflow: WorkflowInfo) -> tuple[str, ...]:
    result = workflow.last_result
    shown = (
        (str(result.status), local(result.since), str(result.failures or "-")) if result else ("-", "-", "-")
    )
    return (*row(workflow), *shown)


def _waiting_row(workflow: WorkflowInfo) -> tuple[str, ...]:
    reasons = "; ".join(waits(workflow.waiting_for, limit=SHOWN))
    return (
        *row(workflow)[:3],
        workflow.waiting_run_id or "-",
        local(workflow.waiting_since),
        reasons or "-",
    )


def _next_run(workflow: WorkflowInfo) -> str:
    if workflow.status is WorkflowStatus.OVERRIDDEN:
        return f"- (overridden by {workflow.overridden_by or 'code'})"
    if workflow.next_run is None:
        return "-"
    return f"{in_zone(workflow.next_run, workflow.timezone)} {workflow.timezone or 'UTC'}"


def _last_run(workflow: WorkflowInfo) -> str:
    """Return the last run; with the failures in a row, if its end or the one before was a failure."""
    run, result = workflow.last_run, workflow.last_result
    if run is None:
        return "-"
    shown = f"{run.status} {local(run.finished_at or run.created_at)}"
    if result is None or not result.failures or (run.status.finished and result.failures == 1):
        return shown
    return f"{shown} ({result.failures} failed in a row)"
