"""``dli workflow logs``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from dli.options import pass_session, run_dataset_option, server_options
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
@run_dataset_option
@server_options
@pass_session
def command(session: Session, run_id: str, follow: bool, attempt: int | None, dataset: str | None) -> None:
    """Show the log of a run."""
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
    shown: list[str] = []
    attempt = 0
    while True:
        # Asked before the log, so that the last lines of a run that ends meanwhile are not lost.
        finished = client.get_run(run_id, dataset=dataset).status.finished
        log = client.get_log(run_id, dataset=dataset)
        while attempt < log.attempt:
            if attempt:
                _print(_new(shown, client.get_log(run_id, attempt=attempt, dataset=dataset).lines))
                say(f"Attempt {attempt + 1}.")
            attempt, shown = attempt + 1, []
        _print(_new(shown, log.lines))
        shown = log.lines
        if finished:
            return
        time.sleep(FOLLOW_INTERVAL_SECONDS)


def _new(shown: list[str], lines: list[str]) -> list[str]:
    """Return the lines that come after those shown; of a long log the server sends the end alone."""
    if lines[: len(shown)] == shown:
        return lines[len(shown) :]
    last = shown[-3:]
    ends = range(len(lines), len(last) - 1, -1)
    return lines[next((end for end in ends if lines[end - len(last) : end] == last), 0) :]


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(printable(click.unstyle(line).expandtabs(4)))
