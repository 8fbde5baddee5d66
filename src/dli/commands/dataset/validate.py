"""``dli dataset validate``."""

from __future__ import annotations

import click

from dataspec.errors import InvalidSpec, InvalidUsage, NotFound
from dli.options import common_options, complete_dataset, pass_session
from dli.paths import shown
from dli.project import LocalDataset, duplicates
from dli.session import Session


@click.command("validate")
@click.argument("datasets", nargs=-1, metavar="[DATASET]...", shell_complete=complete_dataset)
@click.option(
    "--all", "everything", is_flag=True, help="Check every spec of the project; so does no name at all."
)
@common_options
@pass_session
def command(session: Session, datasets: tuple[str, ...], everything: bool) -> None:
    """Check specs on this machine without a server.

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
    problems = list(dict.fromkeys(problem for dataset in checked for problem in dataset.problems))
    problems += duplicates(checked)
    if session.format == "json":
        session.print_json([_report(dataset) for dataset in checked])
    elif not problems:
        click.echo("\n".join(f"Valid: {dataset.name} ({dataset.file})" for dataset in checked))
    if problems:
        raise InvalidSpec(problems)


def _report(dataset: LocalDataset) -> dict[str, object]:
    problems = [problem.to_json() for problem in dataset.problems]
    return {"name": dataset.name, "file": dataset.file, "valid": not problems, "problems": problems}
