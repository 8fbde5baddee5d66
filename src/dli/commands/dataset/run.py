"""``dli dataset run`` (specification 23.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import DliError
from dli.options import complete_dataset, dry_run_option, options_with_formats, param_option, pass_session
from dli.run_kinds import DIFFERENCE
from dli.session import Session, say, warn

if TYPE_CHECKING:
    from dli.local.project_run import Step
    from dli.local.run import LocalRun, RunPlan

DEFAULT_ROWS = 20

HELP = f"""Run a dataset's SQL on this machine.

DATASET is the dataset's name, or the path of its file. The SQL is rendered and run as in
Airflow, on the connection that dli.yaml defines; the default is DuckDB, in warehouse.duckdb
in the project's folder. The first rows go to standard output.

With --all every dataset of the project runs, in order of dependency; a parameter applies to
the datasets that declare it. With --dry-run nothing runs: the rendered SQL is printed.

{DIFFERENCE}
"""


@click.command("run", help=HELP)
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@click.option(
    "--all", "everything", is_flag=True, help="Run all datasets of the project, in order of dependency."
)
@param_option
@dry_run_option
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=DEFAULT_ROWS,
    show_default=True,
    metavar="N",
    help="The maximum number of rows to show.",
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
        from dli.local.run import RunPlan
        from dli.project.clocks import find_with_clock

        plan = RunPlan.of(
            find_with_clock(session.project, dataset), parameters, session.settings, say, engine
        )
        session.settings.require_permission(plan.spec.execution.connection)
        run = _run(session, plan, limit)
    from dli.local.output import print_run, print_summary

    print_run(run, session.format)
    print_summary(run)
    return 0


def _preview(session: Session, dataset: str, parameters: dict[str, str]) -> int:
    from dli.local.dry_run import describe, preview
    from dli.local.run import RunPlan
    from dli.project.clocks import find_with_clock

    found = preview(RunPlan.of(find_with_clock(session.project, dataset), parameters, session.settings, say))
    session.print_item(found, describe(found))
    return 0


def _run_all(session: Session, parameters: dict[str, str], *, dry_run: bool) -> int:
    from dli.local.output import print_dry_runs, print_step, print_steps
    from dli.local.project_run import ProjectRun

    if session.format == "csv":
        raise click.UsageError("--format csv is for one dataset.")
    whole = ProjectRun(session.project, parameters, session.settings, say)
    if dry_run:
        print_dry_runs(session, whole.plans)
        return 0
    for plan in whole.plans:
        session.settings.require_permission(plan.spec.execution.connection)
    steps: list[Step] = []
    count = len(whole.plans)

    def execute(plan: RunPlan) -> LocalRun:
        return _run(session, plan, 0, label=f"{len(steps) + 1} of {count} {plan.spec.name}: ")

    for step in whole.steps(execute):
        print_step(step)
        steps.append(step)
    print_steps(session, steps)
    return 0 if all(step.outcome == "COMPLETED" for step in steps) else 1


def _run(session: Session, plan: RunPlan, limit: int, label: str = "") -> LocalRun:
    from dli.local.output import StatementLines, StatementProgress
    from dli.local.run import Runner
    from dli.output.times import built

    warn(plan.warnings)
    if text := built(plan.partition, plan.partition_label):
        say(f"{label}{text}")
    listener = StatementLines(verbose=session.verbose)
    runner = Runner(plan, listener, limit=limit, measure=StatementProgress.shown())
    try:
        with StatementProgress(runner.session, label):
            run = runner.run()
    except DliError as error:
        _log(session, runner.result, "FAILED", error.detail or error.title)
        raise
    except KeyboardInterrupt:
        _log(session, runner.result, "KILLED")
        raise
    _log(session, run, "COMPLETED")
    return run


def _log(session: Session, run: LocalRun, outcome: str, error: str | None = None) -> None:
    from dli.local.run import log_run

    try:
        log_run(run, session.root, outcome, error)
    except OSError as failed:
        say(f"Warning: The log of local runs can't be written: {failed.strerror}.")
