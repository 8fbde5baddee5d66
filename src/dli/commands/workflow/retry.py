"""``dli workflow retry`` (specification 22.10)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from dataspec.models import RunStatus
from dli.confirmation import act_on_each, ask_first, counted
from dli.named_runs import with_last_run
from dli.options import follow_options, pass_session, server_options
from dli.output.times import local, parse_moment
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from dataspec.errors import DliError
    from dataspec.models import WorkflowRun

MAX_RUNS = 10_000
TITLES = ("RUN ID", "TYPE", "PARTITION", "STARTED", "PARAMETERS")


@click.command("retry")
@click.argument("run", metavar="[RUN_ID|DATASET]", required=False)
@click.option("--failed", is_flag=True, help="Retry all failed runs instead of one; needs --since.")
@click.option(
    "--since",
    metavar="TIME",
    help="With --failed: runs since this time, such as 2d (two days ago), 12h or 2024-01-15.",
)
@click.option(
    "--until", metavar="TIME", help="With --failed: runs until this time; a date includes the whole day."
)
@click.option(
    "--dataset",
    "-d",
    metavar="NAME",
    help="With --failed: only runs of this dataset; a pattern with * matches several, and A,B takes both. "
    "With a RUN_ID: its "
    "dataset, if Airflow made the id and other datasets have the same one.",
)
@click.option("--dry-run", is_flag=True, help="With --failed: list the runs; retry none.")
@click.option("--yes", "-y", is_flag=True, help="With --failed: don't ask.")
@follow_options("runs", "their ends", "all completed")
@server_options
@pass_session
def command(
    session: Session,
    *,
    run: str | None,
    failed: bool,
    since: str | None,
    until: str | None,
    dataset: str | None,
    dry_run: bool,
    yes: bool,
    wait: bool,
    timeout: float | None,
) -> None:
    """Run a failed or killed run again.

    The name of a dataset means its last run. The run keeps its id, its parameters and its
    count of attempts, and runs the spec that is effective now, so a corrected query is used. An active or completed run can't be retried,
    nor a run of a dataset that is paused or was removed.

    --failed --since lists all runs that failed since then, asks, and retries them, the
    earliest first. If one can't be retried, the others still are.
    """
    if failed == (run is not None):
        raise click.UsageError("Give a RUN_ID or a DATASET, or --failed with --since.")
    if failed:
        if since is None:
            raise click.UsageError("--failed needs --since, such as --since 2d.")
        runs = _failed(session, since, until, dataset)
        _retry_many(session, runs, dry_run=dry_run, yes=yes, wait=wait, timeout=timeout)
        return
    if since or until or dry_run or yes:
        raise click.UsageError("--since, --until, --dry-run and --yes are for --failed.")
    retried = with_last_run(session, run or "", _retry(session), dataset=dataset)
    if not (wait and session.format == "json"):
        session.print_item(retried, f"Retry started: {retried.run_id}")
    if wait:
        _wait(session, retried, timeout)


def _retry(session: Session) -> Callable[[str, str | None], WorkflowRun]:
    return lambda run_id, dataset: session.client.retry_run(run_id, dataset=dataset)


def _wait(session: Session, run: WorkflowRun, timeout: float | None) -> None:
    from dli.output.progress import report_run_end, wait_for_run

    ended = wait_for_run(session.client, run.run_id, timeout=timeout, dataset=run.dataset_name)
    if session.format == "json":
        session.print_json(ended)
    report_run_end(ended)


def _failed(session: Session, since: str, until: str | None, dataset: str | None) -> list[WorkflowRun]:
    """Return the failed runs, the earliest first."""
    found = session.client.list_runs(
        dataset=dataset.split(",") if dataset else None,
        status=RunStatus.FAILED,
        since=parse_moment(since),
        until=parse_moment(until, end_of_day=True) if until else None,
        limit=MAX_RUNS,
    )
    warn(found.warnings)
    return found[::-1]


def _retry_many(
    session: Session, runs: list[WorkflowRun], *, dry_run: bool, yes: bool, wait: bool, timeout: float | None
) -> None:
    if not runs or dry_run:
        session.print_items(runs, TITLES, _row)
        say(f"{counted(len(runs), 'run')} failed.")
        return
    if not yes:
        count = counted(len(runs), "run")
        ask_first(
            f"Retry {count}?",
            show=partial(_list, session, runs),
            effect=f"{count} would be retried.",
            declined="Nothing was retried.",
            detail="List them with --dry-run; confirm with --yes.",
        )
    retried, errors = _retried(session, runs)
    if wait:
        retried = _waited(session, retried, timeout)
    if session.format == "json":
        session.print_json(retried)
    say(f"Retried {len(retried)} of {counted(len(runs), 'run')}.")
    if errors:
        raise click.exceptions.Exit(errors[0].exit_status)
    if wait and any(run.status is not RunStatus.COMPLETED for run in retried):
        raise click.exceptions.Exit(1)


def _list(session: Session, runs: list[WorkflowRun]) -> None:
    if session.format == "table":
        session.print_items(runs, TITLES, _row)


def _retried(session: Session, runs: list[WorkflowRun]) -> tuple[list[WorkflowRun], list[DliError]]:
    def retry(run: WorkflowRun) -> WorkflowRun:
        retried = session.client.retry_run(run.run_id, dataset=run.dataset_name)
        if session.format == "table":
            click.echo(f"Retry started: {run.run_id}")
        return retried

    return act_on_each(runs, retry, failed=lambda run: f"Not retried: {run.run_id}")


def _waited(session: Session, runs: list[WorkflowRun], timeout: float | None) -> list[WorkflowRun]:
    from dli.output.progress import wait_for_run

    ended = []
    for run in runs:
        ended.append(wait_for_run(session.client, run.run_id, timeout=timeout, dataset=run.dataset_name))
        say(f"{ended[-1].run_id}: {ended[-1].status}")
    return ended


def _row(run: WorkflowRun) -> tuple[str, ...]:
    parameters = ", ".join(f"{name}={value}" for name, value in run.parameters.items())
    partition = run.partition_label or "-"
    return run.run_id, run.run_type, partition, local(run.started_at), parameters or "-"
