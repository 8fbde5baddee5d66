"""``dli workflow run`` (specification 22.1)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypedDict

import click

from dataspec.errors import InvalidUsage
from dataspec.parameters import EXECUTION_DATE
from dli.options import (
    adopt_option,
    dataset_argument,
    dry_run_option,
    follow_options,
    full_refresh_option,
    param_option,
    pass_session,
    server_options,
    source_option,
    wait_for_upstream_option,
    with_downstream_option,
    with_upstream_option,
    yes_for_backfills_option,
)
from dli.run_kinds import DIFFERENCE
from dli.session import say, warn

if TYPE_CHECKING:
    from dataspec.models import RunPartition, RunPreview
    from dli.session import Session


class RunOptions(TypedDict):
    """The options that the preview of a run has as well."""

    source: str | None
    wait_for_upstream: bool
    adopt: bool
    full_refresh: bool


HELP = f"""Start a run of a dataset now.

DATASET is the dataset's name, or the path of its file. Airflow executes the
run; the command prints the run's id and returns.

With --with-downstream or --with-upstream all datasets on that side are built for the same
partition, in the order of the graph: as a backfill, whose id is printed.

With --dry-run nothing starts: the server returns the parameters, the rendered SQL after
parsing it, and the tables that it reads and writes. The path of a file, or a name that is
only in the project, means the local file, registered or not.

{DIFFERENCE}
"""


@click.command("run", help=HELP)
@dataset_argument
@param_option
@source_option(everything=False)
@with_upstream_option
@with_downstream_option
@wait_for_upstream_option
@adopt_option
@full_refresh_option
@dry_run_option
@yes_for_backfills_option
@follow_options()
@server_options
@pass_session
def command(
    session: Session,
    *,
    dataset: str,
    parameters: dict[str, str],
    source: str | None,
    with_upstream: bool,
    with_downstream: bool,
    wait_for_upstream: bool,
    adopt: bool,
    full_refresh: bool,
    dry_run: bool,
    yes: bool,
    wait: bool,
    timeout: float | None,
) -> None:
    """Start a run, or preview it; the help is HELP."""
    name = session.dataset_name(dataset)
    if with_upstream or with_downstream:
        from dli.commands.workflow.backfill import Options, build

        partition = _partition(parameters)
        options = Options(
            source=source,
            every="partition",
            reverse=False,
            resume=False,
            missing=False,
            wait_for_upstream=wait_for_upstream,
            adopt=adopt,
            full_refresh=full_refresh,
            with_upstream=with_upstream,
            with_downstream=with_downstream,
        )
        build(
            session,
            dataset,
            start=partition,
            end=partition,
            parameters={key: value for key, value in parameters.items() if key != EXECUTION_DATE},
            options=options,
            keep_going=False,
            dry_run=dry_run,
            yes=yes,
            wait=wait,
            timeout=timeout,
        )
        return
    asked = RunOptions(
        source=source, wait_for_upstream=wait_for_upstream, adopt=adopt, full_refresh=full_refresh
    )
    if dry_run:
        from dli.output.previews import preview

        ask = partial(session.client.preview_run, name, parameters, **asked)
        found = preview(session, dataset, source, ask)
        _say_date(parameters, found.partition)
        session.print_item(found, _described(found))
        return
    from dli.output.times import built

    run = session.client.start_run(name, parameters, **asked)
    warn(run.warnings)
    _say_date(parameters, run.partition)
    if text := built(run.partition, run.partition_label):
        say(text)
    if not (wait and session.format == "json"):
        session.print_item(run, f"Run started: {run.run_id}")
    if wait:
        _wait(session, run.run_id, timeout)


def _partition(parameters: dict[str, str]) -> str:
    if (given := parameters.get(EXECUTION_DATE)) is None:
        raise InvalidUsage(
            "Which partition is to be built?", detail=f"Name it with: -p {EXECUTION_DATE}=YYYY-MM-DD"
        )
    return given


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
    from dli.output.previews import head, numbered, published
    from dli.output.times import spanned

    top = head(preview, partition=spanned(preview.partition))
    return "\n\n".join((top, numbered(preview.statements), *published(preview.publishing)))
