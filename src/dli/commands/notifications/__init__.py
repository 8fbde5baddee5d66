"""``dli notifications``: who is told of what, and whether that works."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "test": ("dli.commands.notifications.test", "Send a test message through each channel now."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Try the channels that tell people.

    A spec names them under `schedule.notifications`, for failed and completed runs and for
    changes of source; what they need, such as Slack's token, is in the server's settings alone.
    """
