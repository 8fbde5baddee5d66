"""``dli notifications``: who is told of what, and whether that works."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "test": ("dli.commands.notifications.test", "Send a test message through each channel now."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Try the channels that tell people of failed runs and changes of source.

    A spec names them under `schedule.notifications`; what they need, such as Slack's token,
    is in the server's settings alone.
    """
