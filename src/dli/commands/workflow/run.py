"""``dli workflow run`` (specification 22.1)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from dli.options import (
    dataset_argument,
    dry_run_option,
    param_option,
    pass_session,
    server_options,
    source_option,
)
from dli.run_kinds import DIFFERENCE

if TYPE_CHECKING:
    from dataspec.models import RunPreview
    from dli.session import Session

HELP = f"""Start a run of a dataset now.

DATASET is the dataset's name, or the path of its file. The run goes to the server and
is executed by Airflow; the command prints its run id and returns.

With --dry-run nothing starts: the server shows the parameters, the SQL as rendered and
parsed, and the tables read and written. The path of a file means that file, registered or
not; so does a name that only the project has.

{DIFFERENCE}
"""


@click.command("run", help=HELP)
@dataset_argument
@param_option
@source_option(everything=False)
@dry_run_option
@click.option("--wait", is_flag=True, help="Follow the run to its end; exit status 1 unless it completed.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="With --wait: wait no longer than this; the run continues.",
)
@server_options
@pass_session
def command(
    session: Session,
    *,
    dataset: str,
    parameters: dict[str, str],
    source: str | None,
    dry_run: bool,
    wait: bool,
    timeout: float | None,
) -> None:
    """Start a run, or preview it; the help is HELP."""
    name = session.dataset_name(dataset)
    if timeout and not wait:
        raise click.UsageError("--timeout is for --wait.")
    if dry_run:
        from dli.output.previews import preview

        ask = partial(session.client.preview_run, name, parameters, source=source)
        found = preview(session, dataset, source, ask)
        session.print_item(found, _described(found))
        return
    run = session.client.start_run(name, parameters, source=source)
    if not (wait and session.format == "json"):
        session.print_item(run, f"Run started: {run.run_id}")
    if wait:
        _wait(session, run.run_id, timeout)


def _wait(session: Session, run_id: str, timeout: float | None) -> None:
    from dli.output.run_progress import tell_end, wait_for

    run = wait_for(session.client, run_id, timeout=timeout)
    if session.format == "json":
        session.print_json(run)
    tell_end(run)


def _described(preview: RunPreview) -> str:
    from dli.output.previews import head, numbered

    return "\n\n".join((head(preview), numbered(preview.statements)))
