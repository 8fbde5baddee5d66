"""``dli workflow logs``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from dli.named_runs import with_last_run
from dli.options import pass_session, run_dataset_option, server_options
from dli.output.tables import printable
from dli.session import Session, say

if TYPE_CHECKING:
    from collections.abc import Iterable


@click.command("logs")
@click.argument("run", metavar="RUN_ID|DATASET")
@click.option(
    "--follow", is_flag=True, help="Print all attempts from the first line, until the run has finished."
)
@click.option(
    "--attempt", type=click.IntRange(min=1), metavar="N", help="The log of this attempt. [default: the last]"
)
@run_dataset_option
@server_options
@pass_session
def command(session: Session, run: str, follow: bool, attempt: int | None, dataset: str | None) -> None:
    """Show the log of a run or of a dataset's last run.

    Only the last 20,000 lines of a longer log are shown; --follow shows all of it.
    """
    if follow and (session.format == "json" or attempt):
        raise click.UsageError("--follow can't be combined with --format json or --attempt.")
    show = _follow if follow else partial(_show, attempt=attempt)
    with_last_run(session, run, partial(show, session), dataset=dataset)


def _show(session: Session, run_id: str, dataset: str | None, *, attempt: int | None) -> None:
    log = session.client.get_log(run_id, attempt=attempt, dataset=dataset)
    if session.format == "json":
        session.print_json(log)
        return
    _print(log.lines)
    if not log.attempts and not log.lines:
        say("The run has not started yet.")
    elif log.attempts > 1:
        say(f"Attempt {log.attempt} of {log.attempts}.")


def _follow(session: Session, run_id: str, dataset: str | None) -> None:
    attempt = 1
    for log in session.client.follow_log(run_id, dataset=dataset):
        if log.attempt > attempt:
            attempt = log.attempt
            say(f"Attempt {attempt}.")
        _print(log.lines)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(printable(click.unstyle(line).expandtabs(4)))
