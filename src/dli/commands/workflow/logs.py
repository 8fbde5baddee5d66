"""``dli workflow logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.options import pass_session, run_dataset_option, server_options
from dli.output.tables import printable
from dli.session import Session, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dli.client.client import Client


@click.command("logs")
@click.argument("run_id")
@click.option(
    "--follow", is_flag=True, help="Print all attempts from the first line, until the run has finished."
)
@click.option(
    "--attempt", type=click.IntRange(min=1), metavar="N", help="The log of this attempt. [default: the last]"
)
@run_dataset_option
@server_options
@pass_session
def command(session: Session, run_id: str, follow: bool, attempt: int | None, dataset: str | None) -> None:
    """Show the log of a run.

    Only the last 20,000 lines of a longer log are shown; --follow shows all of it.
    """
    if follow and (session.format == "json" or attempt):
        raise click.UsageError("--follow can't be combined with --format json or --attempt.")
    if follow:
        _follow(session.client, run_id, dataset)
        return
    log = session.client.get_log(run_id, attempt=attempt, dataset=dataset)
    if session.format == "json":
        session.print_json(log)
        return
    _print(log.lines)
    if not log.attempts:
        say("The run has not started yet.")
    elif log.attempts > 1:
        say(f"Attempt {log.attempt} of {log.attempts}.")


def _follow(client: Client, run_id: str, dataset: str | None) -> None:
    attempt = 1
    for log in client.follow_log(run_id, dataset=dataset):
        if log.attempt > attempt:
            attempt = log.attempt
            say(f"Attempt {attempt}.")
        _print(log.lines)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(printable(click.unstyle(line).expandtabs(4)))
