"""``dli code``: publish a project from CI/CD."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "publish": ("dli.commands.code.publish", "Make code/ in the store match the project."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Publish the project to the store from CI/CD."""
