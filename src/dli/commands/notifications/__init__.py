"""``dli notifications``: test the notification channels."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "test": ("dli.commands.notifications.test", "Send a test message through each channel now."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Test the notification channels.

    A spec names them under `notifications`, for failed and completed runs and for
    changes of source. Their secrets, such as Slack's token, are only in the server's settings.
    """
