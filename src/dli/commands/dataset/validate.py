"""``dli dataset validate``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from dataspec.errors import InvalidSpec, InvalidUsage
from dli.options import (
    complete_dataset,
    env_option,
    pass_session,
    path_option,
    verbose_option,
)
from dli.selection.options import selection_options
from dli.session import Session, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dataspec.problems import Problem
    from dataspec.project.spec_checks import CheckedSpec
    from dli.selection.selection import Selection


@click.command("validate")
@click.argument("datasets", nargs=-1, metavar="[DATASET]...", shell_complete=complete_dataset)
@click.option("--all", "everything", is_flag=True, help="Check all specs of the project, as without a name.")
@selection_options
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option(
    "--format",
    "-f",
    "form",
    type=click.Choice(["table", "json", "github"]),
    help="The output format; github: annotations for GitHub Actions. [default: table]",
)
@path_option
@env_option
@verbose_option
@pass_session
def command(
    session: Session,
    *,
    datasets: tuple[str, ...],
    everything: bool,
    selection: Selection,
    strict: bool,
    form: str | None,
) -> int:
    """Check specs locally without a server.

    DATASET is a dataset's name, or the path of its file. Checks the YAML, the SQL, the schedules
    and the dependencies between datasets, and shows all problems at once, each with file, line
    and column. Exit status 2 if there are errors, 0 if there are only warnings.
    """
    if datasets and everything:
        raise InvalidUsage("Give either names or --all.")
    if datasets and selection:
        raise InvalidUsage("Give either names or a selection.", detail="Names as well: --select NAME")
    found = _checked(session, datasets, selection)
    checked = [_strict(spec) if strict else spec for spec in found]
    problems = list(dict.fromkeys(problem for spec in checked for problem in spec.problems))
    errors = [problem for problem in problems if problem.severity == "error"]
    form = form or session.format
    if form == "github":
        _print_annotations(problems, len(checked))
        return InvalidSpec.exit_status if errors else 0
    if form == "json":
        session.print_json([_report(spec) for spec in checked])
    elif not errors and checked:
        click.echo("\n".join(f"Valid: {spec.name} ({spec.file})" for spec in checked))
    warn(str(problem) for problem in problems if problem.severity == "warning")
    if errors:
        raise InvalidSpec(errors)
    return 0


def _checked(session: Session, named: Sequence[str], selection: Selection) -> list[CheckedSpec]:
    """Check the whole project, for problems between specs; return the requested ones."""
    from dli.project.check import check_datasets
    from dli.unit_tests.collection import with_test_problems
    from dli.unit_tests.sources import UnitTestFiles

    wanted = [session.project.find(name) for name in named]
    checked = check_datasets(session.project, session.dialects, also=wanted)
    if not checked:
        raise session.project.no_datasets()
    files = {dataset.file for dataset in wanted}
    found = [spec for spec in checked if spec.file in files] if named else selection.of(session.root, checked)
    everything = not (named or selection)
    return with_test_problems(session, found, UnitTestFiles(session.project), everything=everything)


def _strict(spec: CheckedSpec) -> CheckedSpec:
    return replace(spec, problems=tuple(replace(problem, severity="error") for problem in spec.problems))


def _report(spec: CheckedSpec) -> dict[str, object]:
    problems = [problem.to_json() for problem in spec.problems]
    return {"name": spec.name, "file": spec.file, "valid": spec.valid, "problems": problems}


def _print_annotations(problems: Sequence[Problem], checked: int) -> None:
    for problem in problems:
        click.echo(annotation(problem))
    click.echo(
        f"Checked {checked:,} spec{'' if checked == 1 else 's'}: {len(problems):,} problem{'' if len(problems) == 1 else 's'}."
    )


def annotation(problem: Problem) -> str:
    """Return a problem as an annotation of GitHub Actions, in one line."""
    places = (("file", problem.file), ("line", problem.line), ("col", problem.column))
    properties = ",".join(f"{key}={_property(str(value))}" for key, value in places if value is not None)
    message = f"{problem.message} {problem.hint}" if problem.hint else problem.message
    return f"::{problem.severity} {properties}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
