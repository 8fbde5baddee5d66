"""``dli dataset run`` (specification 23.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dataspec.errors import DliError
from dli.options import (
    adopt_option,
    complete_dataset,
    dry_run_option,
    full_refresh_option,
    options_with_formats,
    param_option,
    pass_session,
)
from dli.run_kinds import DIFFERENCE
from dli.selection.options import selection_options
from dli.session import Session, is_interactive, say, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dataspec.project.graph import DatasetGraph
    from dli.local.output import RunProgress
    from dli.local.project_run import ProjectRun, Step
    from dli.local.run import LocalRun, Runner, RunPlan
    from dli.selection.selection import Selection

DEFAULT_ROWS = 20
DEFAULT_JOBS = 4
MAX_JOBS = 64

HELP = f"""Run a dataset's SQL on this machine.

DATASET is the dataset's name, or the path of its file. The SQL is rendered and run as in
Airflow, on the connection that dli.yaml defines; the default is DuckDB, in warehouse.duckdb
in the project's folder. The first rows go to standard output.

With --all, or with a selection, several datasets run, in order of dependency; a parameter
applies to the datasets that declare it. One that is missing is asked for once on a terminal;
elsewhere execution_date is yesterday. Independent datasets run side by side, except those
on one DuckDB file. With --dry-run nothing runs: the rendered SQL is printed.

{DIFFERENCE}
"""


@click.command("run", help=HELP)
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@click.option(
    "--all", "everything", is_flag=True, help="Run all datasets of the project, in order of dependency."
)
@selection_options
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
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, MAX_JOBS),
    default=DEFAULT_JOBS,
    show_default=True,
    metavar="N",
    help="Of several datasets: the maximum number that run at a time.",
)
@adopt_option
@full_refresh_option
@options_with_formats("csv")
@pass_session
def command(
    session: Session,
    *,
    dataset: str | None,
    everything: bool,
    selection: Selection,
    parameters: dict[str, str],
    dry_run: bool,
    limit: int,
    jobs: int,
    adopt: bool,
    full_refresh: bool,
) -> int:
    """Run a dataset here; the help is HELP."""
    if (everything or bool(selection)) == (dataset is not None):
        raise click.UsageError("Give either a DATASET or --all. --select runs several.")
    if everything and selection.select:
        raise click.UsageError("Give either --all or --select.")
    if dataset is None:
        if adopt or full_refresh:
            raise click.UsageError(f"--{'adopt' if adopt else 'full-refresh'} is for one dataset.")
        return _run_several(session, selection, parameters, dry_run=dry_run, jobs=jobs)
    if dry_run:
        return _preview(session, dataset, parameters, adopt=adopt, full_refresh=full_refresh)
    from dli.local.engines.opening import opened_early

    with opened_early(session.project, dataset, session.settings, say) as engine:
        from dli.local.run import RunPlan
        from dli.project.clocks import find_with_clock

        found = find_with_clock(session.project, dataset)
        plan = RunPlan.of(
            found, parameters, session.settings, say, engine, adopt=adopt, full_refresh=full_refresh
        )
        session.settings.require_unprotected(plan.spec.execution.connection)
        session.settings.require_permission(plan.spec.execution.connection)
        run = _run(session, plan, limit)
    from dli.local.output import print_run, print_summary

    print_run(run, session.format)
    print_summary(run)
    return 0


def _preview(
    session: Session, dataset: str, parameters: dict[str, str], *, adopt: bool, full_refresh: bool
) -> int:
    from dli.local.dry_run import describe, preview
    from dli.local.run import RunPlan
    from dli.project.clocks import find_with_clock

    found = preview(
        RunPlan.of(
            find_with_clock(session.project, dataset),
            parameters,
            session.settings,
            say,
            adopt=adopt,
            full_refresh=full_refresh,
        )
    )
    session.print_item(found, describe(found))
    return 0


def _run(session: Session, plan: RunPlan, limit: int) -> LocalRun:
    from dli.local.output import RunProgress

    progress = RunProgress()
    runner = _runner(session, plan, progress, limit=limit)
    try:
        with progress.showing(lambda: [("", runner.session)], lambda: None):
            run = runner.run()
    except DliError as error:
        _log(session, runner.result, "FAILED", error)
        raise
    except KeyboardInterrupt:
        _log(session, runner.result, "KILLED")
        raise
    finally:
        warn(runner.result.check_warnings)
    _log(session, run, "COMPLETED")
    return run


def _run_several(
    session: Session, selection: Selection, parameters: Mapping[str, str], *, dry_run: bool, jobs: int
) -> int:
    from dli.local.output import RunProgress, print_dry_runs, print_steps
    from dli.local.project_run import plan_runs
    from dli.local.several_parameters import complete_parameters
    from dli.selection.datasets import selected_datasets

    if session.format == "csv":
        raise click.UsageError("--format csv is for one dataset.")
    datasets, graph = selected_datasets(session, selection)
    if not datasets:
        if session.format == "json":
            session.print_json([])
        return 0
    given = complete_parameters(datasets, parameters, ask=is_interactive())
    progress = RunProgress()
    plans = plan_runs(datasets, given, session.settings, _once(progress.say))
    if dry_run:
        print_dry_runs(session, plans)
        return 0
    for connection in dict.fromkeys(plan.spec.execution.connection for plan in plans):
        session.settings.require_unprotected(connection)
        session.settings.require_permission(connection)
    steps: list[Step] = []
    whole = _project_run(session, plans, graph, progress, steps)
    try:
        with progress.showing(lambda: whole.sessions, lambda: whole.count):
            whole.run(jobs)
    finally:
        print_steps(session, plans, steps)
    return 0 if all(step.outcome == "COMPLETED" for step in steps) else 1


def _project_run(
    session: Session,
    plans: Sequence[RunPlan],
    graph: DatasetGraph,
    progress: RunProgress,
    steps: list[Step],
) -> ProjectRun:
    """Return the run of several datasets, which adds each outcome to the steps, prints it and logs it."""
    from dli.local.output import step_text
    from dli.local.project_run import ProjectRun

    def start(plan: RunPlan) -> Runner:
        return _runner(session, plan, progress, limit=0, label=f"{plan.spec.name}: ")

    def ended(step: Step) -> None:
        steps.append(step)
        if step.run is not None:
            warn((f"{step.name}: {text}" for text in step.run.check_warnings), progress.say)
        progress.say(step_text(step))
        if step.run is not None:
            _log(session, step.run, step.outcome, step.error)

    return ProjectRun(plans, graph, start=start, ended=ended)


def _once(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that passes each message on once."""
    told = set[str]()

    def once(message: str) -> None:
        if message not in told:
            told.add(message)
            tell(message)

    return once


def _runner(session: Session, plan: RunPlan, progress: RunProgress, *, limit: int, label: str = "") -> Runner:
    from dli.local.output import StatementLines
    from dli.local.run import Runner
    from dli.output.times import built

    warn((f"{label}{text}" for text in plan.warnings), progress.say)
    if text := built(plan.partition, plan.partition_label):
        progress.say(f"{label}{text}")
    listener = StatementLines(progress.say, verbose=session.verbose, label=label)
    return Runner(plan, listener, limit=limit, measure=progress.shown)


def _log(session: Session, run: LocalRun, outcome: str, error: DliError | None = None) -> None:
    from dli.local.run import log_run

    try:
        log_run(run, session.root, outcome, (error.detail or error.title) if error else None)
    except OSError as failed:
        say(f"Warning: The log of local runs can't be written: {failed.strerror}.")
