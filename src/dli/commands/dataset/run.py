"""``dli dataset run`` (specification 23.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import DliError
from dli.options import complete_dataset, dry_run_option, options_with_formats, param_option, pass_session
from dli.run_kinds import DIFFERENCE
from dli.session import Session, say

if TYPE_CHECKING:
    from dli.local.project_run import Step
    from dli.local.run import LocalRun, Plan

DEFAULT_ROWS = 20

HELP = f"""Run a dataset's SQL on this machine.

DATASET is the dataset's name, or the path of its file. The SQL is rendered and run as in
Airflow, on the connection that dli.yaml names; without one, on DuckDB, in warehouse.duckdb
in the project's folder. The first rows go to standard output.

With --all every dataset of the project runs, each after those that it is built from; a
parameter goes to those that have it. With --dry-run nothing runs: the SQL is shown as it
would go to the engine.

{DIFFERENCE}
"""


@click.command("run", help=HELP)
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@click.option("--all", "everything", is_flag=True, help="Run every dataset of the project, in order.")
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
def command(
    session: Session,
    *,
    dataset: str | None,
    everything: bool,
    parameters: dict[str, str],
    dry_run: bool,
    limit: int,
) -> int:
    """Run a dataset here; the help is HELP."""
    if everything == (dataset is not None):
        raise click.UsageError("Give either a DATASET or --all.")
    if dataset is None:
        return _run_all(session, parameters, dry_run=dry_run)
    if dry_run:
        return _preview(session, dataset, parameters)
    from dli.local.engines.opening import opened_early

    with opened_early(session.project, dataset, session.settings, say) as engine:
        from dli.local.run import Plan

        plan = Plan.of(session.project.find(dataset), parameters, session.settings, say, engine)
        session.settings.require_permission(plan.spec.execution.connection)
        run = _run(session, plan, limit)
    from dli.local.output import print_run, tell_run

    print_run(run, session.format)
    tell_run(run)
    return 0


def _preview(session: Session, dataset: str, parameters: dict[str, str]) -> int:
    from dli.local.preview import described, preview
    from dli.local.run import Plan

    found = preview(Plan.of(session.project.find(dataset), parameters, session.settings, say))
    session.print_item(found, described(found))
    return 0


def _run_all(session: Session, parameters: dict[str, str], *, dry_run: bool) -> int:
    from dli.local.output import print_previews, print_steps, tell_step
    from dli.local.project_run import ProjectRun

    if session.format == "csv":
        raise click.UsageError("--format csv is for one dataset.")
    whole = ProjectRun(session.project, parameters, session.settings, say)
    if dry_run:
        print_previews(session, whole.plans)
        return 0
    for plan in whole.plans:
        session.settings.require_permission(plan.spec.execution.connection)
    steps: list[Step] = []
    count = len(whole.plans)

    def execute(plan: Plan) -> LocalRun:
        return _run(session, plan, 0, label=f"{len(steps) + 1} of {count} {plan.spec.name}: ")

    for step in whole.steps(execute):
        tell_step(step)
        steps.append(step)
    print_steps(session, steps)
    return 0 if all(step.outcome == "COMPLETED" for step in steps) else 1


def _run(session: Session, plan: Plan, limit: int, label: str = "") -> LocalRun:
    from dli.local.display import ProgressLine, StatementLines
    from dli.local.run import Runner
    from dli.output.spinner import lines_may_change

    runner = Runner(plan, StatementLines(verbose=session.verbose), limit=limit, measure=lines_may_change())
    try:
        with ProgressLine(runner.session, label):
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
    from dli.local.log import write_down

    try:
        write_down(run, session.root, outcome, error)
    except OSError as failed:
        say(f"Warning: the log of local runs can't be written: {failed.strerror}.")
