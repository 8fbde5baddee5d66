"""``dli workflow why`` (specification 32.24)."""

from __future__ import annotations

import click

from dli.options import dataset_argument, pass_session, server_options
from dli.session import Session, warn


@click.command("why")
@dataset_argument
@click.argument("partition", required=False)
@server_options
@pass_session
def command(session: Session, dataset: str, partition: str | None) -> None:
    """Say why a partition of a dataset is there or not.

    PARTITION is a date or a time, as of execution_date: 2024-01-15, yesterday, 2024-01-15T13:00.
    Without it: the last partition that is due; of a dataset without a schedule, the last run.

    One line says what is with it: built, running, failed, paused, not due yet, and so on. If it
    waits for other datasets, a line for each of them follows, down to the root causes. "Next"
    names the commands that help. All times are in your time zone.
    """
    from dli.output.reasons import described

    found = session.client.explain_partition(session.dataset_name(dataset), partition)
    session.print_item(found, described(found))
    warn(found.warnings)
