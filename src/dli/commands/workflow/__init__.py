"""``dli workflow``: run registered datasets on the server."""

from __future__ import annotations

import click

from dli.groups import LazyGroup

COMMANDS = {
    "run": ("dli.commands.workflow.run", "Start a run of a dataset now."),
    "backfill": (
        "dli.commands.workflow.backfill",
        "Build each partition of a dataset in a range of dates in order.",
    ),
    "backfills": ("dli.commands.workflow.backfills", "List backfills with the newest first."),
    "status": (
        "dli.commands.workflow.status",
        "Show the state of a run or a backfill.",
    ),
    "list": ("dli.commands.workflow.list", "List registered datasets and their schedules."),
    "graph": ("dli.commands.workflow.graph", "Show what depends on what on the server."),
    "why": ("dli.commands.workflow.why", "Say why a partition of a dataset is there or not."),
    "stop": ("dli.commands.workflow.stop", "Stop a run or a backfill and cancel its query."),
    "retry": ("dli.commands.workflow.retry", "Run a failed or killed run again."),
    "pause": ("dli.commands.workflow.pause", "Pause datasets: no new run starts."),
    "unpause": ("dli.commands.workflow.unpause", "Resume paused datasets."),
    "history": ("dli.commands.workflow.history", "List past and active runs with the newest first."),
    "watch": ("dli.commands.workflow.watch", "Keep datasets and their latest runs on the terminal."),
    "open": ("dli.commands.workflow.open", "Open the page of a dataset or a run."),
    "sync": ("dli.commands.workflow.sync", "Make the server check the store now and show what changed."),
    "logs": ("dli.commands.workflow.logs", "Show the log of a run or of a dataset's last run."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def command() -> None:
    """Run datasets on the server; watch and stop the runs.

    A schedule is defined only in the Dataset Spec; these commands run, pause and show it.
    """
