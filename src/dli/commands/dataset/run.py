"""``dli dataset run``: its place and its help; the running comes in a later version."""

from __future__ import annotations

import click

from dataspec.errors import InvalidUsage
from dli.options import common_options, dataset_argument, dry_run_option, param_option
from dli.run_kinds import DIFFERENCE

HELP = f"""Run a dataset's SQL on this machine. Not available in this version.

To run a dataset on the server, use `dli workflow run`.

{DIFFERENCE}
"""


@click.command("run", help=HELP)
@dataset_argument
@param_option
@dry_run_option
@common_options
def command(dataset: str, parameters: dict[str, str], dry_run: bool) -> None:  # noqa: ARG001 - they come with the running
    """Refuse; the help is HELP."""
    raise InvalidUsage(
        "'dli dataset run' is not available in this version.",
        detail="It will run the SQL on this machine. To run it on the server:\n"
        f"dli workflow run {dataset} -p KEY=VALUE",
    )
