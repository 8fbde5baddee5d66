"""``dli workflow history`` (specification 22.8)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from dataspec.models import RunStatus
from dli.options import (
    datasets_option,
    limit_option,
    pass_session,
    server_options,
    several_option,
    source_option,
)
from dli.output.times import between, local, parse_moment
from dli.session import Session, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dataspec.models import WorkflowRun

TITLES = ("RUN ID", "SOURCE", "SPEC", "TYPE", "PARTITION", "STATUS", "STARTED", "TOOK")


@click.command("history")
@datasets_option
@source_option(everything=True)
@limit_option("runs")
@several_option(
    "--status",
    "-s",
    "statuses",
    choices=[status.value for status in RunStatus],
    help="Only runs with this status; A,B takes both.",
)
@several_option(
    "--run-type",
    "run_types",
    choices=["adhoc", "scheduled", "backfill"],
    help="Only runs of this type; A,B takes both.",
)
@click.option(
    "--since",
    metavar="TIME",
    help="Only runs since this time, such as yesterday, 2d (two days ago), 12h, 2024-01-15 or 2024-01-15T09:00.",
)
@click.option("--until", metavar="TIME", help="Only runs until this time; a date includes the whole day.")
@click.option(
    "--partition",
    metavar="DATE|TIME",
    help="Only runs whose partition covers this date, or this time of the schedule's clock (2024-01-15T13:00).",
)
@server_options
@pass_session
def command(
    session: Session,
    *,
    datasets: list[str] | None,
    source: str | None,
    limit: int,
    statuses: list[str] | None,
    run_types: list[str] | None,
    since: str | None,
    until: str | None,
    partition: str | None,
) -> None:
    """List past and active runs with the newest first.

    SOURCE and SPEC are those of the run's last attempt; ERROR is the reason of a failure.
    Times are in your time zone.
    """
    runs = session.client.list_runs(
        dataset=datasets,
        source=source,
        status=statuses,
        run_type=run_types,
        since=parse_moment(since) if since else None,
        until=parse_moment(until, end_of_day=True) if until else None,
        partition=partition,
        limit=limit,
    )
    session.print_items(runs, *columns(runs))
    warn(runs.warnings)


def columns(
    runs: Sequence[WorkflowRun],
) -> tuple[tuple[str, ...], Callable[[WorkflowRun], tuple[str, ...]]]:
    """Return the titles of a table of runs, and what makes a line of a run."""
    # The id of a run that was started on Airflow's page does not contain the dataset's name.
    named = not all(run.run_id.startswith(f"{run.dataset_name}_") for run in runs)
    failed = any(run.error for run in runs)
    titles = (*("DATASET",) * named, *TITLES, *("ERROR",) * failed)
    return titles, partial(_row, named=named, failed=failed)


def _row(run: WorkflowRun, *, named: bool, failed: bool) -> tuple[str, ...]:
    return (
        *(run.dataset_name,) * named,
        run.run_id,
        run.source_type or "-",
        (run.spec_hash or "-")[:8],
        run.run_type,
        run.partition_label or "-",
        run.status,
        local(run.started_at),
        between(run.started_at, run.finished_at or datetime.now(UTC)) or "-",
        *(run.error or "-",) * failed,
    )
