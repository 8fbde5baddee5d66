"""``dli code``."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "publish": ("dli.commands.code.publish", "Make the store's code/ what the project is."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Publish the project to the store from CI/CD."""
