"""``dli dataset init``."""

from __future__ import annotations

import click

from dataspec.errors import Refused
from dataspec.spec.identity import check_name
from dli.options import env_option, pass_session, path_option, verbose_option
from dli.session import Session, say


@click.command("init")
@click.argument("name", required=False, metavar="[NAME]")
@path_option
@env_option
@verbose_option
@pass_session
def command(session: Session, name: str | None) -> None:
    """Create a first spec and its SQL.

    NAME is the dataset's name; the default is the project's name with `.hello`. The files are
    complete: they run as they are.
    """
    from dli.project.scaffold import dataset_files, owner_here, write_new

    name = name or f"{session.settings.get('name').value}.hello"
    check_name(name)
    if name in session.project.names():
        raise Refused(
            f"Duplicate dataset name '{name}'.", detail=f"Already defined in {_file_of(session, name)}."
        )
    written = write_new(session.project.folder, dataset_files(name, owner_here()))
    click.echo("\n".join(f"Created: {path}" for path in written))
    say(f"Next:\ndli dataset run {name} -p execution_date=2024-01-15")


def _file_of(session: Session, name: str) -> str:
    return session.project.find(name).file
