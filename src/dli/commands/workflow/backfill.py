"""``dli workflow backfill`` (specification 22.3)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypedDict

import click

from dli.confirmation import ask_first
from dli.options import (
    adopt_option,
    dataset_argument,
    dry_run_option,
    follow_options,
    full_refresh_option,
    param_option,
    pass_session,
    server_options,
    source_option,
    wait_for_upstream_option,
    with_downstream_option,
    with_upstream_option,
    yes_for_backfills_option,
)
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from dataspec.models import BackfillPreview, Every


class Options(TypedDict):
    """The options that the preview of a backfill has as well."""

    source: str | None
    every: Every
    reverse: bool
    resume: bool
    missing: bool
    wait_for_upstream: bool
    adopt: bool
    full_refresh: bool
    with_upstream: bool
    with_downstream: bool


@click.command("backfill")
@dataset_argument
@click.option(
    "--start",
    "-s",
    required=True,
    metavar="DATE",
    help="The first date: YYYY-MM-DD, yesterday, or 7d (seven days ago).",
)
@click.option("--end", "-e", required=True, metavar="DATE", help="The last date, included; as --start.")
@param_option
@source_option(everything=False)
@click.option(
    "--every",
    type=click.Choice(["partition", "schedule", "day"]),
    default="partition",
    show_default=True,
    help="Every partition that starts in the range ('schedule' means the same), or every day.",
)
@click.option("--reverse", is_flag=True, help="Start with the last partition.")
@click.option(
    "--resume",
    is_flag=True,
    help="Skip the dates that the last backfill of this range with these parameters has built.",
)
@click.option("--missing", is_flag=True, help="Leave out the partitions that are built already.")
@click.option(
    "--stop-on-failure/--keep-going",
    "stop_on_failure",
    default=True,
    help="What to do after a date fails. [default: stop-on-failure]",
)
@with_upstream_option
@with_downstream_option
@wait_for_upstream_option
@adopt_option
@full_refresh_option
@dry_run_option
@yes_for_backfills_option
@follow_options("backfill")
@server_options
@pass_session
def command(
    session: Session,
    *,
    dataset: str,
    start: str,
    end: str,
    parameters: dict[str, str],
    source: str | None,
    every: Every,
    reverse: bool,
    resume: bool,
    missing: bool,
    stop_on_failure: bool,
    with_upstream: bool,
    with_downstream: bool,
    wait_for_upstream: bool,
    adopt: bool,
    full_refresh: bool,
    dry_run: bool,
    yes: bool,
    wait: bool,
    timeout: float | None,
) -> None:
    """Build each partition of a dataset in a range of dates in order.

    A day of an hourly schedule has 24 partitions, a week of a weekly one has one. The server
    runs it: the command prints the backfill's id and returns, and you may close the terminal. A
    partition starts only after the previous one has succeeded; the first failure ends the
    backfill. A new backfill starts at the first one again, unless you --resume, or build what
    is --missing.

    With --with-downstream or --with-upstream it builds each partition of all datasets on that
    side, in the order of the graph. A failure stops only what depends on it.

    With --full-refresh the partitions go into a new table, which replaces the old one after the
    last of them; it has no others then. Until then nothing changes for those who read it.

    Yesterday and 7d are by the clock of the schedule's time zone.

    `dli workflow status` and `dli workflow stop` take the backfill's id.
    """
    build(
        session,
        dataset,
        start=start,
        end=end,
        parameters=parameters,
        options=Options(
            source=source,
            every=every,
            reverse=reverse,
            resume=resume,
            missing=missing,
            wait_for_upstream=wait_for_upstream,
            adopt=adopt,
            full_refresh=full_refresh,
            with_upstream=with_upstream,
            with_downstream=with_downstream,
        ),
        keep_going=not stop_on_failure,
        dry_run=dry_run,
        yes=yes,
        wait=wait,
        timeout=timeout,
    )


def build(
    session: Session,
    dataset: str,
    *,
    start: str,
    end: str,
    parameters: dict[str, str],
    options: Options,
    keep_going: bool,
    dry_run: bool,
    yes: bool,
    wait: bool,
    timeout: float | None,
) -> None:
    """Start a backfill, or preview it."""
    from dataspec.schedule.backfill_plan import MANY_DATES
    from dataspec.schedule.relative_dates import days_ago

    name = session.dataset_name(dataset)
    client = session.client
    is_relative = days_ago(start) is not None or days_ago(end) is not None
    if dry_run or not yes:
        ask = partial(client.preview_backfill, name, start, end, parameters, **options)
        if dry_run:
            from dli.output.previews import preview

            found = preview(session, dataset, options["source"], ask)
            session.print_item(found, _described(found))
            _say_left_out(found.already_built)
            return
        found = ask()
        if found.to_confirm or max(len(found.dates), len(found.steps)) > MANY_DATES:
            _ask(found)
    backfill = client.start_backfill(
        name,
        start,
        end,
        parameters,
        keep_going=keep_going,
        **options,
    )
    warn(backfill.warnings)
    _say_left_out(backfill.already_built)
    if not (wait and session.format == "json"):
        session.print_item(backfill, f"Backfill started: {backfill.backfill_id}")
    if is_relative:
        say(f"From {backfill.start} to {backfill.end}, by the clock of the schedule's time zone.")
    if wait:
        _wait(session, backfill.backfill_id, timeout)


def _say_left_out(count: int) -> None:
    if count:
        say(f"Left out, as built already: {count:,} {'partition' if count == 1 else 'partitions'}.")


def _ask(preview: BackfillPreview) -> None:
    partitions = [step.partition for step in preview.steps] or preview.dates
    count = f"{len(partitions):,} {_kind(preview)}"
    first, last = min(partitions), max(partitions)
    builds = f"This builds {count}, from {first} to {last}, one after the other."
    ask_first(
        "Proceed?",
        show=lambda: say("\n".join((builds, *preview.to_confirm))),
        effect="\n".join((f"This would build {count}.", *preview.to_confirm)),
        declined="Not started.",
    )


def _wait(session: Session, backfill_id: str, timeout: float | None) -> None:
    from dli.output.progress import report_backfill_end, wait_for_backfill

    backfill = wait_for_backfill(session.client, backfill_id, timeout=timeout)
    if session.format == "json":
        session.print_json(backfill)
    report_backfill_end(backfill)


def _described(preview: BackfillPreview) -> str:
    from dli.output.previews import head, published

    above = head(preview, (_kind(preview).capitalize(), str(len(preview.steps or preview.dates))))
    order = [f"{step.dataset_name} {step.partition}" for step in preview.steps] or preview.dates
    parts = [above, "\n".join(order)]
    if preview.dates:
        parts += _statements(preview.dates[0], preview.first_statements)
    if len(preview.dates) > 1:
        parts += _statements(preview.dates[-1], preview.last_statements)
    parts += published(preview.publishing)
    return "\n\n".join(parts)


def _kind(preview: BackfillPreview) -> str:
    return "partitions" if preview.steps or "T" in preview.dates[0] else "dates"


def _statements(day: str, statements: list[str]) -> list[str]:
    count = len(statements)
    return [f"-- {day}, {number} of {count}\n{sql}" for number, sql in enumerate(statements, 1)]
