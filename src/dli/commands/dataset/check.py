"""``dli dataset check`` (specification 37.18)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dataspec.errors import InvalidUsage, NotFound
from dli.options import complete_dataset, param_option, pass_session, server_options
from dli.selection.options import selection_options
from dli.session import Session, is_interactive, say, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dataspec.models import CheckResult
    from dli.local.check_run import CheckedDataset
    from dli.local.run import RunPlan
    from dli.selection.selection import Selection


@click.command("check")
@click.argument("datasets", nargs=-1, metavar="[DATASET]...", shell_complete=complete_dataset)
@selection_options
@param_option
@click.option(
    "--server",
    "on_server",
    is_flag=True,
    help="Check the registered datasets, by runs on the server's Airflow.",
)
@server_options
@pass_session
def command(
    session: Session,
    *,
    datasets: tuple[str, ...],
    selection: Selection,
    parameters: dict[str, str],
    on_server: bool,
) -> int:
    """Run the checks of datasets on the rows of their tables.

    DATASET is a dataset's name, or the path of its file. Nothing is built: the checks look at the
    table on the connection that dli.yaml defines; of a dataset that replaces partitions, at the
    rows of the partition that -p execution_date=DATE names. Exit status 1 if one fails.
    """
    if bool(datasets) == bool(selection):
        raise InvalidUsage("Give either names or a selection.", detail="All datasets: --select '*'")
    if on_server:
        return _check_on_server(session, datasets, selection, parameters)
    plans = _plans(session, datasets, selection, parameters)
    for connection in dict.fromkeys(plan.spec.execution.connection for plan in plans):
        session.settings.require_permission(connection)
    found = [checked for plan in plans if (checked := _check(session, plan)) is not None]
    if not found and datasets:
        raise NotFound("These datasets have no checks.", detail="Write some under 'checks' in a spec.")
    _print(session, found)
    return 1 if any(checked.error for checked in found) else 0


def _check_on_server(
    session: Session, datasets: Sequence[str], selection: Selection, parameters: Mapping[str, str]
) -> int:
    """Start a run of the checks alone of each dataset, then follow all to the end."""
    from dli.output.progress import wait_for_run
    from dli.selection.datasets import selected_datasets

    names = [session.dataset_name(dataset) for dataset in datasets]
    taken = {name: dict(parameters) for name in names}
    if selection:
        for dataset in selected_datasets(session, selection)[0]:
            spec = dataset.checked()
            own = {one.name for one in spec.parameters}
            if spec.checks_rows:
                taken[spec.name] = {key: value for key, value in parameters.items() if key in own}
    started = [session.client.start_run(name, given, checks_only=True) for name, given in taken.items()]
    say("\n".join(f"Checks started: {run.run_id}" for run in started))
    ended = [wait_for_run(session.client, run.run_id, timeout=None) for run in started]
    for run in ended:
        if run.status != "COMPLETED":
            say(f"Error: {run.dataset_name}: {run.status}. {run.error or ''}".rstrip())
        warn(f"{run.dataset_name}: {one.message}" for one in run.checks if one.status == "warned")
    if session.format == "json":
        session.print_json(ended)
    else:
        _print_table((run.dataset_name, run.checks) for run in ended)
    return 0 if all(run.status == "COMPLETED" for run in ended) else 1


def _plans(
    session: Session, names: Sequence[str], selection: Selection, parameters: Mapping[str, str]
) -> list[RunPlan]:
    from dli.local.project_run import plan_runs
    from dli.local.run import RunPlan
    from dli.local.several_parameters import complete_parameters
    from dli.project.clocks import find_with_clock
    from dli.selection.datasets import selected_datasets

    if names:
        named = [find_with_clock(session.project, name) for name in names]
        return [RunPlan.of(dataset, parameters, session.settings, say) for dataset in named]
    selected, _ = selected_datasets(session, selection)
    found = [dataset for dataset in selected if dataset.checked().checks_rows]
    given = complete_parameters(found, parameters, ask=is_interactive())
    return plan_runs(found, given, session.settings, say)


def _check(session: Session, plan: RunPlan) -> CheckedDataset | None:
    from dli.local.check_run import run_checks
    from dli.local.output import StatementLines

    label = f"{plan.spec.name}: "
    found = run_checks(plan, StatementLines(say, verbose=session.verbose, label=label))
    if found is not None and found.error is not None:
        lines = (found.error.text, *(found.error.detail or "").splitlines())
        say(f"Error: {label}" + "\n       ".join(lines))
    if found is not None:
        warn(label + one.message for one in found.checks if one.status == "warned" and one.message)
    return found


def _print(session: Session, found: Sequence[CheckedDataset]) -> None:
    if session.format == "json":
        session.print_json([_as_json(checked) for checked in found])
    else:
        _print_table((checked.plan.spec.name, checked.checks) for checked in found)


def _print_table(found: Iterable[tuple[str, Sequence[CheckResult]]]) -> None:
    from dli.output.tables import print_table

    rows = [
        (name, one.name, one.severity, one.status, "-" if one.rows is None else f"{one.rows:,}")
        for name, checks in found
        for one in checks
    ]
    print_table(("DATASET", "CHECK", "SEVERITY", "STATUS", "ROWS"), rows)


def _as_json(checked: CheckedDataset) -> dict[str, Any]:
    error = checked.error
    return {
        "dataset_name": checked.plan.spec.name,
        "partition": checked.plan.partition,
        "seconds": round(checked.seconds, 3),
        "checks": [asdict(one) for one in checked.checks],
        "error": "\n".join(filter(None, (error.text, error.detail))) if error else None,
    }
