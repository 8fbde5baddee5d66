"""``dli dataset``."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "init": ("dli.commands.dataset.init", "Write a first spec and its SQL."),
    "register": ("dli.commands.dataset.register", "Send a dataset's YAML and SQL to the server."),
    "update": ("dli.commands.dataset.update", "Change the schedule of a registered dataset."),
    "unregister": ("dli.commands.dataset.unregister", "Remove a dataset that was registered by hand."),
    "diff": ("dli.commands.dataset.diff", "Compare what is here with what is registered and what runs."),
    "validate": ("dli.commands.dataset.validate", "Check specs on this machine without a server."),
    "list": ("dli.commands.dataset.list", "List the datasets of the project or those registered."),
    "show": ("dli.commands.dataset.show", "Show a dataset's spec or its SQL."),
    "graph": ("dli.commands.dataset.graph", "Show which dataset is built from which."),
    "schema": ("dli.commands.dataset.schema", "Print the JSON Schema of a Dataset Spec."),
    "run": ("dli.commands.dataset.run", "Run a dataset's SQL on this machine."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Check Dataset Specs and register them.

    A dataset is named by its name, or by the path of its file. The commands read the
    project on this machine; `register`, `update`, `unregister`, `diff` and those with
    --registered ask the server.
    """
