"""``dli dataset list``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dli.options import pass_session, server_options, source_option
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from dataspec.models import RegisteredDataset
    from dli.project.project import LocalDataset

LOCAL_TITLES = ("DATASET", "OWNER", "CRON", "TIMEZONE", "FILE")
REGISTERED_TITLES = ("DATASET", "SOURCE", "EFFECTIVE", "LOADED", "SPEC", "FILE")


@click.command("list")
@click.option("--registered", is_flag=True, help="List the registered datasets, from the server.")
@source_option(everything=True)
@server_options
@pass_session
def command(session: Session, registered: bool, source: str | None) -> None:
    """List the project's datasets or the registered ones.

    With --registered: EFFECTIVE is `yes` for the spec that Airflow runs, LOADED is `yes` if
    Airflow has loaded its current version.
    """
    if registered:
        datasets = session.client.list_datasets(source=source)
        session.print_items(datasets, REGISTERED_TITLES, _registered_row)
        warn(datasets.warnings)
    elif source:
        raise click.UsageError("--source is for --registered.")
    else:
        _list_local(session)


def _list_local(session: Session) -> None:
    datasets = list(session.project.datasets())
    rows = [_local_item(dataset) for dataset in datasets]
    session.print_items(rows, LOCAL_TITLES, _local_row)
    for dataset in datasets:
        if dataset.problems:
            say(f"Warning: {dataset.file} is not valid: dli dataset validate {dataset.file}")
    if not datasets:
        from dli.project.paths import shown

        command = "dli dataset init" if session.project.is_made else "dli init"
        say(f"No Dataset Spec in {shown(session.project.folder)}. Create one with: {command}")


def _local_item(dataset: LocalDataset) -> dict[str, Any]:
    spec = dataset.spec
    schedule = spec.schedule if spec else None
    return {
        "name": dataset.name,
        "file": dataset.file,
        "owner": spec.owner if spec else None,
        "team": spec.team if spec else None,
        "description": spec.description if spec else None,
        "tags": spec.tags if spec else [],
        "cron": schedule.cron if schedule else None,
        "timezone": schedule.timezone if schedule else None,
        "problems": [problem.to_json() for problem in dataset.problems],
    }


def _local_row(item: dict[str, Any]) -> tuple[str, ...]:
    return tuple(item[key] or "-" for key in ("name", "owner", "cron", "timezone", "file"))


def _registered_row(dataset: RegisteredDataset) -> tuple[str, ...]:
    return (
        dataset.name,
        dataset.source_type,
        "yes" if dataset.effective else "no",
        "yes" if dataset.loaded else "no",
        dataset.spec_hash[:8],
        dataset.file,
    )
