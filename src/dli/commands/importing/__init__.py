"""``dli import``: turn projects of other tools into specs."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "dbt": ("dli.commands.importing.dbt", "Turn a dbt project into specs."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Turn projects of other tools into specs."""
