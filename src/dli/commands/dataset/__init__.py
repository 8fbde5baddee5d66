"""``dli dataset``: specs in the project and on the server."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "init": ("dli.commands.dataset.init", "Create a first spec and its SQL."),
    "register": ("dli.commands.dataset.register", "Send a dataset's YAML and SQL to the server."),
    "update": ("dli.commands.dataset.update", "Change the schedule of a registered dataset."),
    "unregister": ("dli.commands.dataset.unregister", "Remove a manually registered dataset."),
    "diff": ("dli.commands.dataset.diff", "Compare a dataset's versions."),
    "versions": ("dli.commands.dataset.versions", "List the versions of a dataset that the server keeps."),
    "rollback": ("dli.commands.dataset.rollback", "Register an earlier version of a manual dataset again."),
    "validate": ("dli.commands.dataset.validate", "Check specs locally without a server."),
    "list": ("dli.commands.dataset.list", "List the project's datasets or the registered ones."),
    "show": ("dli.commands.dataset.show", "Show a dataset's spec or its SQL."),
    "graph": ("dli.commands.dataset.graph", "Show the dependencies between datasets."),
    "schema": ("dli.commands.dataset.schema", "Print the JSON Schema of a Dataset Spec."),
    "test": ("dli.commands.dataset.test", "Run the unit tests of datasets."),
    "check": ("dli.commands.dataset.check", "Run the checks of datasets on the rows of their tables."),
    "export": ("dli.commands.dataset.export", "Write a dataset as a data contract."),
    "run": ("dli.commands.dataset.run", "Run a dataset's SQL on this machine."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Check Dataset Specs and register them.

    DATASET is a dataset's name, or the path of its file. The commands read the local
    project; `register`, `update`, `unregister`, `diff`, `versions`, `rollback`, --registered
    and --version ask the server.
    """
