"""``dli dataset test`` (specification 41)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import DliError, InvalidSpec, InvalidUsage, NotFound
from dli.options import complete_dataset, env_option, pass_session, path_option, verbose_option
from dli.selection.options import selection_options
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dli.selection.selection import Selection
    from dli.unit_tests.planning import UnitTestPlan
    from dli.unit_tests.running import UnitTestResult


@click.command("test")
@click.argument("datasets", nargs=-1, metavar="[DATASET]...", shell_complete=complete_dataset)
@selection_options
@click.option("--watch", is_flag=True, help="Run the tests again after each change of a file, until Ctrl-C.")
@click.option(
    "--format",
    "-f",
    "form",
    type=click.Choice(["text", "json", "junit"]),
    help="How to print the results; junit: JUnit XML. [default: text]",
)
@path_option
@env_option
@verbose_option
@pass_session
def command(
    session: Session, *, datasets: tuple[str, ...], selection: Selection, watch: bool, form: str | None
) -> int:
    """Run the unit tests of datasets.

    DATASET is a dataset's name, or the path of its file; without one, all of the project are
    tested. The tests stand under `tests` in the spec, or in files in the folder `tests` of the
    project. Mistakes in them are told before any test runs. Exit status 1 if a test fails.
    """
    if datasets and selection:
        raise InvalidUsage("Give either names or a selection.", detail="Names as well: --select NAME")
    form = form or ("json" if session.format == "json" else "text")
    if not watch:
        return _test(session, datasets, selection, form)
    if form != "text":
        raise click.UsageError("--watch prints text.")
    from dli.unit_tests.watching import changes

    _test_and_tell(session, datasets, selection)
    for changed in changes(session.root):
        say(f"\nChanged: {', '.join(changed)}")
        _test_and_tell(session.renewed(), datasets, selection)
    return 0


def _test_and_tell(session: Session, datasets: Sequence[str], selection: Selection) -> None:
    """Run the tests, and print an error instead of ending the command."""
    try:
        _test(session, datasets, selection, "text")
    except DliError as error:
        say("\n".join(filter(None, (f"Error: {error.text}", error.detail))))


def _test(session: Session, datasets: Sequence[str], selection: Selection, form: str) -> int:
    plans = _plans(session, datasets, selection)
    if not plans and not selection:
        raise NotFound(
            f"{'These datasets have' if datasets else 'This project has'} no unit tests.",
            detail="Write some under 'tests' in a spec, or in files in the folder 'tests' of the project.",
        )
    results = list(_results(session, plans, is_text=form == "text"))
    _print(session, results, form)
    return 0 if all(result.status == "passed" for result in results) else 1


def _plans(session: Session, names: Sequence[str], selection: Selection) -> list[UnitTestPlan]:
    from dli.project.clocks import find_with_clock
    from dli.selection.datasets import selected_datasets
    from dli.unit_tests.collection import planned_tests
    from dli.unit_tests.sources import UnitTestFiles

    files = UnitTestFiles(session.project)
    if names:
        found = [find_with_clock(session.project, name) for name in names]
        return planned_tests(session, found, files)
    found, graph = selected_datasets(session, selection, files_of=files.paths)
    if not selection and (problems := files.of_no_dataset(graph.datasets)):
        raise InvalidSpec(problems)
    return planned_tests(session, found, files)


def _results(session: Session, plans: Sequence[UnitTestPlan], *, is_text: bool) -> Iterator[UnitTestResult]:
    """Run the tests; print each as it ends, if the output is text."""
    from dli.unit_tests.report import as_text
    from dli.unit_tests.running import run_test

    for plan in plans:
        warn(f"{plan.dataset.name}: {plan.name}: {text}" for text in plan.warnings)
        result = run_test(plan, say) if session.verbose else run_test(plan)
        if is_text:
            click.echo(as_text(result))
        yield result


def _print(session: Session, results: Sequence[UnitTestResult], form: str) -> None:
    from dli.unit_tests.report import as_json, as_junit, summary

    if form == "json":
        session.print_json([as_json(result) for result in results])
    elif form == "junit":
        click.echo(as_junit(results))
    if results:
        say(summary(results))
