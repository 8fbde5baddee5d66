"""``dli workflow backfills`` (specification 22.32)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.options import complete_dataset, limit_option, pass_session, server_options
from dli.output.times import local
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from dataspec.models import Backfill

TITLES = ("BACKFILL ID", "STATUS", "START", "END", "BUILT", "CREATED", "BY")


@click.command("backfills")
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@click.option(
    "--dataset", "-d", "named", metavar="NAME", help="Only backfills that build this dataset, as DATASET."
)
@click.option("--active", is_flag=True, help="Only backfills that have not ended.")
@limit_option("backfills")
@server_options
@pass_session
def command(session: Session, dataset: str | None, named: str | None, active: bool, limit: int) -> None:
    """List backfills with the newest first.

    With DATASET: those that build it, chains that were requested for another dataset among them.

    START and END are dates, or the first and the last partition of a schedule finer than a day.
    BUILT is the number of partitions built of all of the backfill. CREATED is in your time zone.
    """
    if dataset and named:
        raise click.UsageError("Name one dataset, as DATASET or with --dataset.")
    one = dataset or named
    name = session.dataset_name(one) if one else None
    backfills = session.client.list_backfills(dataset=name, active=True if active else None, limit=limit)
    session.print_items(backfills, TITLES, _row)
    warn(backfills.warnings)
    if session.format == "table":
        for backfill in backfills:
            if text := backfill.error or backfill.note:
                say(f"{backfill.backfill_id}: {text}")


def _row(backfill: Backfill) -> tuple[str, ...]:
    return (
        backfill.backfill_id,
        backfill.status,
        *backfill.span,
        f"{backfill.dates_done} of {backfill.dates_total}",
        local(backfill.created_at),
        backfill.requested_by,
    )
