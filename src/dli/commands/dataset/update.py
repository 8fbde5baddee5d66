"""``dli dataset update`` (specification 22.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dataspec.errors import InvalidUsage, ManagedByCode
from dataspec.models import SourceType
from dli.commands.dataset.override import with_consent
from dli.options import dataset_argument, pass_session, server_options, source_option, wait_options
from dli.session import Session, warn

if TYPE_CHECKING:
    from dataspec.models import RegisteredDataset


@click.command("update")
@dataset_argument
@click.option("--cron", metavar="CRON", help="The new cron expression: five fields, in quotes.")
@click.option("--timezone", metavar="ZONE", help="The cron's time zone, such as Asia/Seoul.")
@click.option(
    "--retry-max-attempts", type=int, metavar="N", help="The maximum number of retries of a failed run."
)
@click.option("--retry-delay-seconds", type=int, metavar="N", help="The seconds between two attempts.")
@click.option("--enabled/--disabled", default=None, help="Turn the schedule on or off.")
@click.option(
    "--catch-up/--no-catch-up",
    default=None,
    help="After a pause or a downtime, build every missed partition, or the latest alone.",
)
@click.option("--file", "whole", metavar="PATH", help="Replace the whole spec by this YAML and its SQL.")
@source_option(everything=False)
@click.option("--yes", "-y", is_flag=True, help="Don't ask if other datasets would wait in vain.")
@wait_options
@server_options
@pass_session
def command(
    session: Session,
    /,
    *,
    dataset: str,
    whole: str | None,
    source: str | None,
    yes: bool,
    no_wait: bool,
    wait_seconds: int,
    **changes: Any,
) -> None:
    """Change the schedule of a registered dataset.

    The manually registered YAML is edited in place: its comments and the order of its keys
    stay. A dataset that code has is changed in Git; --source manual changes the kept manual
    file, which stays overridden.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    if bool(given) == bool(whole):
        raise click.UsageError(
            "Give either --file or what to change, such as --cron."
            if whole
            else "Nothing to change: give --cron, --timezone, --enabled or another option."
        )
    name = session.dataset_name(dataset)
    wait = 0 if no_wait else wait_seconds

    def write(accepted: bool) -> RegisteredDataset:
        if whole:
            return _replace(session, name, whole, source, wait, accepted=accepted)
        return session.client.update(
            name, source=source, wait_seconds=wait, accept_dependents=accepted, **given
        )

    updated = with_consent(write, yes=yes, refusal="Not updated.")
    session.print_item(updated, f"Updated: {updated.name}")
    warn(updated.warnings)


def _replace(
    session: Session, name: str, path: str, source: str | None, wait: int, *, accepted: bool
) -> RegisteredDataset:
    """Replace the registered manual spec by a local file."""
    local = session.project.find(path if "/" in path else f"./{path}")
    spec = local.checked()
    if spec.name != name:
        raise InvalidUsage(
            f"{local.file} is the dataset '{spec.name}', not '{name}'.",
            detail=f"To register it: dli dataset register {local.file}",
        )
    current = session.client.get_dataset(name, source=source)
    if current.source_type is SourceType.CODE:
        raise ManagedByCode
    return session.client.register(
        name,
        local.yaml.decode(),
        local.sql,
        file=local.file,
        accept_override=not current.effective,
        accept_dependents=accepted,
        wait_seconds=wait,
        if_match=current.etag,
    )
