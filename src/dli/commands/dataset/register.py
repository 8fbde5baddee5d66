"""``dli dataset register`` (specification 22.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.commands.dataset.override import with_consent
from dli.commands.dataset.replacing import prepare
from dli.options import dataset_argument, pass_session, server_options, wait_options
from dli.session import Session, warn

if TYPE_CHECKING:
    from dataspec.models import RegisteredDataset
    from dli.project.project import LocalDataset


@click.command("register")
@dataset_argument
@click.option(
    "--yes", "-y", is_flag=True, help="Don't ask if code has the dataset, or if another person changed it."
)
@click.option(
    "--diff", "whole", is_flag=True, help="Show every line that differs from the registered version."
)
@wait_options
@server_options
@pass_session
def command(
    session: Session, *, dataset: str, yes: bool, whole: bool, no_wait: bool, wait_seconds: int
) -> None:
    """Send a dataset's YAML and SQL to the server.

    DATASET is the dataset's name, or the path of its file. It is checked locally and
    by the server, and stored in manual, where it replaces an earlier version. The command
    returns when Airflow has loaded it.

    It says what differs from the registered version: the keys, and how many lines of SQL. If
    that version was changed by `update`, rolled back, or registered by another person and is
    not in your Git history, you are asked first; without a terminal this is refused with exit
    status 4. --yes replaces it.
    """
    local = session.project.find(dataset)
    local.checked()
    seen = prepare(session, local, yes=yes, whole=whole)
    wait = 0 if no_wait else wait_seconds
    registered = with_consent(
        lambda accepted: _register(session, local, wait, seen, accept_override=accepted), yes=yes
    )
    _tell(session, registered)


def _register(
    session: Session, local: LocalDataset, wait: int, seen: str | None, *, accept_override: bool
) -> RegisteredDataset:
    spec = local.checked()
    return session.client.register(
        spec.name,
        local.yaml.decode(),
        local.sql,
        file=local.file,
        accept_override=accept_override,
        wait_seconds=wait,
        if_match=seen,
    )


def _tell(session: Session, registered: RegisteredDataset) -> None:
    session.print_item(registered, f"Registered: {registered.name}")
    warn(registered.warnings)
