"""The interface to Airflow, the same for every line (specification 15.2).

Every call ends within the gateway's timeout. Where no other error is named, one that
gets no answer, or an answer that says that Airflow could not do it, raises
:class:`~dataspec.errors.AirflowUnreachable` with the address, the reason and what to check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from basecamp.airflow.models import (
    AirflowDag,
    AirflowHealth,
    DagDetails,
    DagImportError,
    DagRun,
    LogEvent,
    RunFilter,
    RunPage,
    RunVersion,
    TaskAttempt,
)
from dataspec.errors import InvalidUsage


class DagMissing(Exception):
    """Airflow has no such DAG."""

    def __init__(self, dag_id: str) -> None:
        super().__init__(f"Airflow has no DAG '{dag_id}'")
        self.dag_id = dag_id


class RunExists(Exception):
    """The run's id or its logical date is taken; Airflow doesn't say which."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Airflow has the run '{run_id}', or one with its logical date")
        self.run_id = run_id


class WrongCursor(InvalidUsage):
    """A cursor is not one that this list has given."""

    def __init__(self) -> None:
        super().__init__(
            "The cursor is not one of this list.",
            detail="Send 'next_cursor' as it came, or none for the first page.",
        )


class AirflowGateway(Protocol):
    """What Basecamp asks of Airflow."""

    @property
    def url(self) -> str:
        """Airflow's address, free of credentials."""
        ...

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Return where a run is shown on Airflow's page, from the root of it."""
        ...

    def health(self) -> AirflowHealth:
        """Ask how Airflow is."""
        ...

    def list_dags(self, *, tags: Sequence[str] = ()) -> list[AirflowDag]:
        """Return the DAGs that have any of the tags, stale ones too, over all pages."""
        ...

    def get_dag(self, dag_id: str) -> DagDetails | None:
        """Return a DAG with the version of the spec that it was made of."""
        ...

    def set_paused(self, dag_id: str, *, paused: bool) -> AirflowDag:
        """Pause or resume a DAG; harmless if it is so already.

        Raises:
            DagMissing: When Airflow has no such DAG.
        """
        ...

    def request_parse(self, dag: AirflowDag) -> None:
        """Ask Airflow to look at the DAG's bundle and to parse its file before others.

        The request for any file of a bundle makes Airflow refresh all of the bundle.
        """
        ...

    def trigger(self, dag_id: str, run_id: str, *, logical_date: datetime, conf: Mapping[str, Any]) -> DagRun:
        """Start a run.

        Raises:
            RunExists: When the id or the logical date is taken.
            DagMissing: When Airflow has no such DAG.
        """
        ...

    def get_run(self, dag_id: str, run_id: str) -> DagRun | None:
        """Return a run."""
        ...

    def list_runs(self, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> RunPage:
        """Return a page of at most ``limit`` runs (and 100), the last created first.

        Raises:
            WrongCursor: When the cursor is not one that an earlier page gave.
        """
        ...

    def set_run_state(
        self, dag_id: str, run_id: str, state: Literal["success", "failed"], *, note: str
    ) -> DagRun | None:
        """Write a run's note, then end it and its tasks with a state; None if there is no such run."""
        ...

    def clear_run(self, dag_id: str, run_id: str, *, note: str) -> DagRun | None:
        """Have a run that has ended run again, with a new note; None if there is no such run.

        Its attempts go on counting, and may be as many more as the DAG as it is now allows. An active run
        is not to be cleared: its attempt would be ended.
        """
        ...

    def process_is_gone(self, dag_id: str, run_id: str, try_number: int) -> bool:
        """Say whether the process of an attempt that was ended from outside is known to be gone.

        Airflow marks the attempt at once and tells its process at the next heartbeat; until
        that has cancelled its query and left, the query may go on.
        """
        ...

    def attempts(self, runs: Sequence[DagRun]) -> list[TaskAttempt]:
        """Return the latest attempt of each run that has one, in few requests."""
        ...

    def task_ids(self, run: DagRun) -> list[str]:
        """Return the ids of a run's tasks, some of them where there are many; none once Airflow forgot them."""
        ...

    def running_attempts(self) -> list[TaskAttempt]:
        """Return every attempt that executes at this moment, in all DAGs."""
        ...

    def versions(self, runs: Sequence[DagRun]) -> list[RunVersion]:
        """Return which spec each run's latest attempt ran, where one started, in few requests."""
        ...

    def log(self, dag_id: str, run_id: str, try_number: int) -> list[LogEvent] | None:
        """Return the log of one attempt; None if there was no such attempt."""
        ...

    def connection_type(self, connection_id: str) -> str | None:
        """Return the type of a connection in Airflow's database; None if there is none of that id.

        Airflow's API shows neither those of its environment nor those of a secrets backend.
        """
        ...

    def import_errors(self) -> list[DagImportError]:
        """Return why files of DAGs did not load, over all pages."""
        ...
