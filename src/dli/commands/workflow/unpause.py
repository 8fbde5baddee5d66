"""``dli workflow unpause`` (specification 22.12, 22.38)."""

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


@click.command("unpause")
@datasets_argument
@source_option(everything=False)
@yes_for_patterns_option
@server_options
@pass_session
def command(session: Session, datasets: tuple[str, ...], source: str | None, yes: bool) -> None:
    """Resume paused datasets.

    A spec with `enabled: false` still has no scheduled runs; the command says so.
    Exit status 4 if a dataset was not paused.

    A pattern with * means all paused datasets that match it: they are listed, and you are asked.
    """
    unpause = partial(session.client.unpause, source=source)
    change_pauses(session, "unpause", datasets, unpause, source=source, yes=yes)
