"""``dli workflow``."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "run": ("dli.commands.workflow.run", "Start a run of a dataset now."),
    "backfill": (
        "dli.commands.workflow.backfill",
        "Build a dataset for one date of a range after the other.",
    ),
    "status": ("dli.commands.workflow.status", "Show how a run or a backfill is doing."),
    "list": ("dli.commands.workflow.list", "List the registered datasets with their schedules."),
    "stop": ("dli.commands.workflow.stop", "Stop a run or a backfill and cancel its query."),
    "retry": ("dli.commands.workflow.retry", "Run a failed or killed run again."),
    "pause": ("dli.commands.workflow.pause", "Pause a dataset so that no run of it starts."),
    "unpause": ("dli.commands.workflow.unpause", "Resume a paused dataset."),
    "history": ("dli.commands.workflow.history", "List past and present runs with the newest first."),
    "sync": ("dli.commands.workflow.sync", "Have the server check the store now and show what changed."),
    "logs": ("dli.commands.workflow.logs", "Show the log of a run."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Run datasets on the server; watch and stop the runs.

    A schedule is defined in the Dataset Spec alone; these commands run it, pause it and
    show it.
    """
