"""``dli workflow watch`` (specification 22.46)."""

from __future__ import annotations

import click

from dli.options import datasets_option, pass_session, server_options
from dli.session import Session

SECONDS = 5.0


@click.command("watch")
@datasets_option
@click.option(
    "--every",
    type=click.FloatRange(1, 3600),
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@server_options
@pass_session
def command(session: Session, datasets: list[str] | None, every: float) -> None:
    """Keep datasets and their latest runs on the terminal.

    The tables of `dli workflow list` and `dli workflow history`, on the whole terminal, until
    Ctrl-C. Those that failed last, or are active, come first.
    """
    from dli.output.live import watch

    watch(session, datasets, every)
