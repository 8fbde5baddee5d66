"""``dli config``: the settings of this machine and project."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "show": ("dli.commands.config.show", "Show each setting with its value and its origin."),
    "trust": ("dli.commands.config.trust", "Grant the permissions that this project's settings need."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Show the settings and their origins; grant a project's permissions."""
