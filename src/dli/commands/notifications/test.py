"""``dli notifications test``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.options import complete_dataset, pass_session, server_options
from dli.session import Session

if TYPE_CHECKING:
    from dli.client.responses import TriedChannel

TITLES = ("CHANNEL", "FOR", "RESULT")


@click.command("test")
@click.argument("name", shell_complete=complete_dataset)
@click.option(
    "--event",
    type=click.Choice(
        ["on_failure", "on_success", "on_late", "on_recovered", "on_backfill_end", "on_source_change"]
    ),
    help="Only the channels of this event. [default: all of the dataset's channels]",
)
@server_options
@pass_session
def command(session: Session, name: str, event: str | None) -> None:
    """Send a test message through each channel now.

    NAME is a registered dataset, or a target of the server's settings. The server sends one
    message to each of its channels and shows the results; exit status 1 if one failed.
    """
    tested = session.client.test_notifications(session.dataset_name(name), event=event)
    if session.format == "json":
        session.print_json(tested)
    else:
        session.print_items(tested.channels, TITLES, _row)
    if not all(channel.sent for channel in tested.channels):
        raise click.exceptions.Exit(1)


def _row(channel: TriedChannel) -> tuple[str, ...]:
    return channel.channel, ", ".join(channel.events) or "-", "sent" if channel.sent else channel.error or "-"
