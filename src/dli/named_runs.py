"""Find the run that a user names: by its id, by the id of a backfill, or by the dataset for its last run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.errors import (
    AirflowUnreachable,
    BackfillNotFound,
    DatasetNotFound,
    InvalidName,
    NotFound,
    RunNotFound,
)
from dli.session import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from dataspec.models import Backfill, WorkflowRun
    from dli.session import Session

    T = TypeVar("T")


def find_run(session: Session, named: str, *, dataset: str | None) -> WorkflowRun | Backfill:
    """Return the run or the backfill with an id; else the last run of the dataset with that name.

    Args:
        session: The command's session.
        named: The id of a run or a backfill, or the name of a dataset, or the path of its file.
        dataset: The run's dataset, for run ids that are not unique.

    Raises:
        RunNotFound: When there is neither.
        NotFound: When the dataset has no run.
    """
    try:
        return session.client.get_run(named, dataset=dataset)
    except (RunNotFound, AirflowUnreachable) as error:  # a backfill's state is in the store
        if dataset is not None:
            raise
        try:
            return session.client.get_backfill(named)
        except BackfillNotFound:
            last = last_run(session, named, error)
        return session.client.get_run(last.run_id, dataset=last.dataset_name)


def with_last_run(
    session: Session, named: str, act: Callable[[str, str | None], T], *, dataset: str | None
) -> T:
    """Act on the run with an id; if there is none, on the last run of the dataset with that name.

    Args:
        session: The command's session.
        named: The id of a run, or the name of a dataset, or the path of its file.
        act: Acts on a run, given by its id and its dataset.
        dataset: The run's dataset, for run ids that are not unique.

    Raises:
        RunNotFound: When there is neither.
        NotFound: When the dataset has no run.
    """
    try:
        return act(named, dataset)
    except RunNotFound as error:
        if dataset is not None:
            raise
        run = last_run(session, named, error)
    say(f"The last run of {run.dataset_name}: {run.run_id}")
    return act(run.run_id, run.dataset_name)


def last_run(session: Session, named: str, error: Exception) -> WorkflowRun:
    """Return the last run of a dataset; raise the error if none has that name."""
    name = dataset_named(session, named, error)
    try:
        runs = session.client.list_runs(dataset=name, limit=1)
    except DatasetNotFound:
        raise error from None
    if not runs:
        raise NotFound(f"{name} has no run yet.", detail=f"Start one with: dli workflow run {name}")
    return runs[0]


def dataset_named(session: Session, named: str, error: Exception) -> str:
    """Return the dataset's name that a text is, or that the file at a path has; raise the error if it can't be one."""
    from dataspec.spec.identity import check_name

    try:
        return check_name(session.dataset_name(named))
    except InvalidName:
        raise error from None
