"""``dli dataset register`` (specification 22.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.commands.dataset.override import with_consent
from dli.options import dataset_argument, pass_session, server_options, wait_options
from dli.session import Session, warn

if TYPE_CHECKING:
    from dataspec.models import RegisteredDataset
    from dli.project.project import LocalDataset


@click.command("register")
@dataset_argument
@click.option("--yes", "-y", is_flag=True, help="Register without asking if code has the dataset.")
@wait_options
@server_options
@pass_session
def command(session: Session, dataset: str, yes: bool, no_wait: bool, wait_seconds: int) -> None:
    """Send a dataset's YAML and SQL to the server.

    DATASET is the dataset's name, or the path of its file. It is checked locally and
    by the server, and stored in manual, where it replaces an earlier version. The command
    returns when Airflow has loaded it.
    """
    local = session.project.find(dataset)
    local.checked()
    wait = 0 if no_wait else wait_seconds
    registered = with_consent(
        lambda accepted: _register(session, local, wait, accept_override=accepted), yes=yes
    )
    _tell(session, registered)


def _register(
    session: Session, local: LocalDataset, wait: int, *, accept_override: bool
) -> RegisteredDataset:
    spec = local.checked()
    return session.client.register(
        spec.name,
        local.yaml.decode(),
        local.sql,
        file=local.file,
        accept_override=accept_override,
        wait_seconds=wait,
    )


def _tell(session: Session, registered: RegisteredDataset) -> None:
    session.print_item(registered, f"Registered: {registered.name}")
    warn(registered.warnings)
