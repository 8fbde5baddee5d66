"""``dli workflow sync`` (specification 22.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.options import pass_session, server_options
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from dataspec.models import SourceEvent

TITLES = ("CHANGE", "DATASET", "SOURCE", "FILE")


@click.command("sync")
@server_options
@pass_session
def command(session: Session) -> None:
    """Make the server check the store now and show what changed.

    The server checks by itself every few minutes (SYNC_INTERVAL_SECONDS). This shows the
    changes since its last check: specs that were added, changed or removed, and datasets
    that code overrides now (overridden) or no longer (released). Notifications of
    on_source_change are sent.
    """
    report = session.client.sync()
    if session.format == "json":
        session.print_json(report)
        return
    if report.changes:
        session.print_items(report.changes, TITLES, _row)
    warn(f"{row.file} can't be used.\n{row.error or ''}" for row in report.invalid)
    warn(row.error or "" for row in report.taken_over)
    say(_summary(report.checked, len(report.changes), len(report.invalid)))


def _row(event: SourceEvent) -> tuple[str, ...]:
    return event.change, event.dataset_name, event.source_type, event.file


def _summary(checked: int, changes: int, invalid: int) -> str:
    specs = f"{checked:,} spec" + ("" if checked == 1 else "s")
    changed = "nothing changed" if not changes else f"{changes:,} change" + ("" if changes == 1 else "s")
    unusable = f", {invalid:,} can't be used" if invalid else ""
    return f"Checked {specs}: {changed}{unusable}."
