"""``dli workflow run`` (specification 22.1)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from dli.options import (
    dataset_argument,
    dry_run_option,
    follow_options,
    param_option,
    pass_session,
    server_options,
    source_option,
    wait_for_upstream_option,
)
from dli.run_kinds import DIFFERENCE
from dli.session import say, warn

if TYPE_CHECKING:
    from dataspec.models import RunPartition, RunPreview
    from dli.session import Session

HELP = f"""Start a run of a dataset now.

DATASET is the dataset's name, or the path of its file. Airflow executes the
run; the command prints the run's id and returns.

With --dry-run nothing starts: the server returns the parameters, the rendered SQL after
parsing it, and the tables that it reads and writes. The path of a file, or a name that is
only in the project, means the local file, registered or not.

{DIFFERENCE}
"""


@click.command("run", help=HELP)
@dataset_argument
@param_option
@source_option(everything=False)
@wait_for_upstream_option
@dry_run_option
@follow_options()
@server_options
@pass_session
def command(
    session: Session,
    *,
    dataset: str,
    parameters: dict[str, str],
    source: str | None,
    wait_for_upstream: bool,
    dry_run: bool,
    wait: bool,
    timeout: float | None,
) -> None:
    """Start a run, or preview it; the help is HELP."""
    name = session.dataset_name(dataset)
    if dry_run:
        from dli.output.previews import preview

        ask = partial(
            session.client.preview_run, name, parameters, source=source, wait_for_upstream=wait_for_upstream
        )
        found = preview(session, dataset, source, ask)
        _say_date(parameters, found.partition)
        session.print_item(found, _described(found))
        return
    from dli.output.times import built

    run = session.client.start_run(name, parameters, source=source, wait_for_upstream=wait_for_upstream)
    warn(run.warnings)
    _say_date(parameters, run.partition)
    if text := built(run.partition, run.partition_label):
        say(text)
    if not (wait and session.format == "json"):
        session.print_item(run, f"Run started: {run.run_id}")
    if wait:
        _wait(session, run.run_id, timeout)


def _say_date(parameters: dict[str, str], partition: RunPartition | None) -> None:
    from dli.output.times import relative_date

    if text := relative_date(parameters, partition):
        say(text)


def _wait(session: Session, run_id: str, timeout: float | None) -> None:
    from dli.output.progress import report_run_end, wait_for_run

    run = wait_for_run(session.client, run_id, timeout=timeout)
    if session.format == "json":
        session.print_json(run)
    report_run_end(run)


def _described(preview: RunPreview) -> str:
    from dli.output.previews import head, numbered
    from dli.output.times import spanned

    top = head(preview, partition=spanned(preview.partition))
    return "\n\n".join((top, numbered(preview.statements)))
