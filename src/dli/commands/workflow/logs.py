"""``dli workflow logs``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from dli.options import pass_session, server_options
from dli.session import Session, say
from dli.tables import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dli.client import Client

FOLLOW_INTERVAL_SECONDS = 1.0


@click.command("logs")
@click.argument("run_id")
@click.option("--follow", is_flag=True, help="Go on until the run has finished.")
@click.option(
    "--attempt", type=click.IntRange(min=1), metavar="N", help="The log of this attempt. [default: the last]"
)
@server_options
@pass_session
def command(session: Session, run_id: str, follow: bool, attempt: int | None) -> None:
    """Show the log of a run."""
    if follow and (session.format == "json" or attempt):
        raise click.UsageError("--follow can't be combined with --format json or --attempt.")
    if follow:
        _follow(session.client, run_id)
        return
    log = session.client.get_log(run_id, attempt=attempt)
    if session.format == "json":
        session.print_json(log)
        return
    _print(log.lines)
    if not log.attempts:
        say("The run has not started yet.")
    elif log.attempts > 1:
        say(f"Attempt {log.attempt} of {log.attempts}.")


def _follow(client: Client, run_id: str) -> None:
    attempt, printed = 0, 0
    while True:
        # Asked before the log, so that the last lines of a run that ends meanwhile are not lost.
        finished = client.get_run(run_id).status.finished
        log = client.get_log(run_id)
        if log.attempt != attempt:
            if attempt:
                say(f"Attempt {log.attempt}.")
            attempt, printed = log.attempt, 0
        _print(log.lines[printed:])
        printed = len(log.lines)
        if finished:
            return
        time.sleep(FOLLOW_INTERVAL_SECONDS)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(printable(line.replace("\t", "    ")))
