"""``dli dataset validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import InvalidSpec, InvalidUsage, NotFound
from dli.options import common_options, pass_session
from dli.project import LocalDataset, duplicate, shown
from dli.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dataspec.problems import Problem


@click.command("validate")
@click.argument("datasets", nargs=-1, metavar="[DATASET]...")
@click.option(
    "--all", "everything", is_flag=True, help="Check every spec of the project; so does no name at all."
)
@common_options
@pass_session
def command(session: Session, datasets: tuple[str, ...], everything: bool) -> None:
    """Check specs on this machine, without a server.

    DATASET is a dataset's name, or the path of its file. YAML, SQL templates and
    schedules are checked; all problems are shown at once, each with file, line and
    column. Exit status 2 if there are any.
    """
    if datasets and everything:
        raise InvalidUsage("Give either names or --all.")
    checked = [session.project.find(name) for name in datasets] or list(session.project.datasets())
    if not checked:
        folder = shown(session.project.folder)
        raise NotFound(f"No Dataset Spec in {folder}.", detail="--path names the project's folder.")
    problems = [problem for dataset in checked for problem in dataset.problems]
    problems += _duplicates(checked)
    if session.format == "json":
        session.print_json([_report(dataset) for dataset in checked])
    elif not problems:
        click.echo("\n".join(f"Valid: {dataset.name} ({dataset.file})" for dataset in checked))
    if problems:
        raise InvalidSpec(problems)


def _duplicates(datasets: Sequence[LocalDataset]) -> Iterator[Problem]:
    by_name: dict[str, list[LocalDataset]] = {}
    for dataset in {dataset.file: dataset for dataset in datasets}.values():
        if dataset.name is not None:
            by_name.setdefault(dataset.name, []).append(dataset)
    yield from filter(None, map(duplicate, by_name.values()))


def _report(dataset: LocalDataset) -> dict[str, object]:
    problems = [problem.to_json() for problem in dataset.problems]
    return {"name": dataset.name, "file": dataset.file, "valid": not problems, "problems": problems}
