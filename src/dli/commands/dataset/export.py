"""``dli dataset export`` (specification 37.17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dli.options import dataset_argument, env_option, pass_session, path_option, verbose_option
from dli.session import Session

if TYPE_CHECKING:
    from io import TextIOWrapper


@click.command("export")
@dataset_argument
@click.option(
    "--format",
    "-f",
    "form",
    type=click.Choice(["odcs"]),
    required=True,
    help="The format; odcs: the Open Data Contract Standard 3.1, as YAML.",
)
@click.option(
    "--output",
    "-o",
    type=click.File("w", encoding="utf-8", lazy=True),
    default="-",
    help="The file to write. [default: standard output]",
)
@path_option
@env_option
@verbose_option
@pass_session
def command(session: Session, *, dataset: str, form: str, output: TextIOWrapper) -> int:  # noqa: ARG001 - there is one form
    """Write a dataset as a data contract.

    DATASET is a dataset's name, or the path of its file. The contract has its columns, its checks
    (as metrics of the standard, or as SQL), its owner and its schedule. SQL with parameters stays
    a template.
    """
    import yaml

    from dli.output.odcs import contract

    found = session.project.find(dataset)
    written = contract(found, session.dialect_of(found.checked()))
    yaml.safe_dump(written, output, sort_keys=False, allow_unicode=True, width=110)
    return 0
