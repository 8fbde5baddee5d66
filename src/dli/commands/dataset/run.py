"""``dli dataset run`` (spec 3.1 and 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import DliError
from dli.options import dataset_argument, dry_run_option, options_with_formats, param_option, pass_session
from dli.run_kinds import DIFFERENCE
from dli.session import Session, say

if TYPE_CHECKING:
    from dli.local_run import LocalRun, Plan

DEFAULT_ROWS = 20

HELP = f"""Run a dataset's SQL on this machine.

DATASET is the dataset's name, or the path of its file. The SQL is rendered and run as in
Airflow, on the connection that dli.yaml names; without one, on DuckDB, in warehouse.duckdb
in the project's folder. The first rows go to standard output.

With --dry-run nothing runs: the SQL is shown as it would go to the engine.

{DIFFERENCE}
"""


@click.command("run", help=HELP)
@dataset_argument
@param_option
@dry_run_option
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=DEFAULT_ROWS,
    show_default=True,
    metavar="N",
    help="How many rows to show.",
)
@options_with_formats("csv")
@pass_session
def command(session: Session, dataset: str, parameters: dict[str, str], dry_run: bool, limit: int) -> None:
    """Run a dataset here; the help is HELP."""
    from dli.local_run import Plan

    plan = Plan.of(session.project.find(dataset), parameters, session.settings, say)
    if dry_run:
        _preview(session, plan)
        return
    run = _run(session, plan, limit)
    from dli.run_output import print_run

    print_run(run, session.format)
    _tell(run, limit)


def _run(session: Session, plan: Plan, limit: int) -> LocalRun:
    from dli.local_run import Runner
    from dli.run_display import ProgressLine, StatementLines, shows_progress

    runner = Runner(plan, StatementLines(verbose=session.verbose), limit=limit, measure=shows_progress())
    try:
        with ProgressLine(runner.session):
            run = runner.run()
    except DliError as error:
        _write_down(session, runner.result, "FAILED", error.detail or error.title)
        raise
    except KeyboardInterrupt:
        _write_down(session, runner.result, "KILLED")
        raise
    _write_down(session, run, "COMPLETED")
    return run


def _write_down(session: Session, run: LocalRun, outcome: str, error: str | None = None) -> None:
    from dli.local_log import write_down

    try:
        write_down(run, session.root, outcome, error)
    except OSError as failed:
        say(f"Warning: the log of local runs can't be written: {failed.strerror}.")


def _preview(session: Session, plan: Plan) -> None:
    from dli.local_preview import described, preview

    found = preview(plan)
    session.print_item(found, described(found))


def _tell(run: LocalRun, limit: int) -> None:
    from dataspec.engines.statement_log import rows

    plan, answer = run.plan, run.answer
    written = "" if run.rows_written is None else f"{rows(run.rows_written)} written, "
    say(f"{plan.spec.name}: {written}{run.seconds:.2f} s ({plan.engine.place}).")
    if answer is not None and answer.total > len(answer.first_rows) and limit:
        say(f"{limit:,} of {answer.total:,} rows; --limit shows more.")
