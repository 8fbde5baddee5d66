"""``dli config``."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "show": ("dli.commands.config.show", "Show each setting with its value and where it came from."),
    "trust": ("dli.commands.config.trust", "Agree to what this project's settings ask for."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Show the settings and where each came from; agree to a project's."""
