"""``dli workflow pause`` (specification 22.12, 22.38)."""

from __future__ import annotations

from functools import partial

import click

from dli.options import (
    datasets_argument,
    pass_session,
    server_options,
    source_option,
    yes_for_patterns_option,
)
from dli.pauses import change_pauses
from dli.session import Session


@click.command("pause")
@datasets_argument
@source_option(everything=False)
@click.option("--reason", metavar="TEXT", help="The reason, shown with the pause.")
@yes_for_patterns_option
@server_options
@pass_session
def command(
    session: Session, *, datasets: tuple[str, ...], source: str | None, reason: str | None, yes: bool
) -> None:
    """Pause datasets: no new run starts.

    They stay paused until `dli workflow unpause`, also after a deploy or a registration. Datasets
    of both sources can be paused. Active runs continue. After the pause, only the latest missed
    run is caught up.

    A pattern with * means all datasets that match it and are not paused: they are listed, and you
    are asked.
    """
    pause = partial(session.client.pause, source=source, reason=reason)
    change_pauses(session, "pause", datasets, pause, source=source, yes=yes)
