"""The interface to Airflow, equal for every Airflow version (specification 15.2).

Every call ends within the gateway's timeout. Beside the errors that a method names, each raises
:class:`~dataspec.errors.AirflowUnreachable` when Airflow does not answer or answers with an error;
the message has the address, the reason and what to check.
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
from dataspec.models import CheckResult


class DagMissing(Exception):
    """Airflow has no such DAG."""

    def __init__(self, dag_id: str) -> None:
        super().__init__(f"Airflow has no DAG '{dag_id}'")
        self.dag_id = dag_id


class RunExists(Exception):
    """The run id or the logical date exists already; Airflow doesn't say which."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Airflow has the run '{run_id}', or one with its logical date")
        self.run_id = run_id


class WrongCursor(InvalidUsage):
    """A cursor that this list never issued."""

    def __init__(self) -> None:
        super().__init__(
            "The cursor does not belong to this list.",
            detail="Send 'next_cursor' unchanged, or omit the cursor for the first page.",
        )


class AirflowGateway(Protocol):
    """The operations of Airflow that Basecamp uses."""

    @property
    def url(self) -> str:
        """Airflow's address, without credentials."""
        ...

    def now(self) -> datetime | None:
        """Return Airflow's time by its last response, at most a second late; None before the first one."""
        ...

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Return the path of a run's page in Airflow, from the root of its web interface."""
        ...

    def health(self) -> AirflowHealth:
        """Return Airflow's health."""
        ...

    def list_dags(self, *, tags: Sequence[str] = ()) -> list[AirflowDag]:
        """Return all DAGs with any of the tags, stale ones included."""
        ...

    def get_dag(self, dag_id: str) -> DagDetails | None:
        """Return a DAG with the spec version that it was built from."""
        ...

    def set_paused(self, dag_id: str, *, paused: bool) -> AirflowDag:
        """Pause or unpause a DAG; a no-op if it is in that state already.

        Raises:
            DagMissing: When Airflow has no such DAG.
        """
        ...

    def request_parse(self, dag: AirflowDag) -> None:
        """Ask Airflow to refresh the DAG's bundle and to parse its file next.

        A request for any file refreshes the whole bundle.
        """
        ...

    def trigger(self, dag_id: str, run_id: str, *, logical_date: datetime, conf: Mapping[str, Any]) -> DagRun:
        """Trigger a run; its note in Airflow says who requested it, by its conf.

        Raises:
            RunExists: When the run id or the logical date exists already.
            DagMissing: When Airflow has no such DAG.
        """
        ...

    def get_run(self, dag_id: str, run_id: str) -> DagRun | None:
        """Return a run."""
        ...

    def list_runs(self, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> RunPage:
        """Return a page of at most ``limit`` runs (and at most 100), the last created first.

        Raises:
            WrongCursor: When this list never issued such a cursor.
        """
        ...

    def set_run_state(
        self, dag_id: str, run_id: str, state: Literal["success", "failed"], *, note: str
    ) -> DagRun | None:
        """Write a run's note, then set the state of the run and its tasks; None if there is no such run."""
        ...

    def clear_run(self, dag_id: str, run_id: str, *, note: str) -> DagRun | None:
        """Clear a finished run, so that it runs again, with a new note; None if there is no such run.

        The numbers of its attempts continue, with as many retries as the current DAG has. Never clear an
        active run: that would end its attempt.
        """
        ...

    def process_is_gone(self, dag_id: str, run_id: str, try_number: int) -> bool:
        """Say whether the process of an attempt that was stopped from outside is known to have exited.

        Airflow marks the attempt at once, but its process learns of it only at the next heartbeat;
        its query may run until then.
        """
        ...

    def attempts(self, runs: Sequence[DagRun]) -> list[TaskAttempt]:
        """Return the latest attempt of each run that has one, in batched requests."""
        ...

    def task_ids(self, run: DagRun) -> list[str]:
        """Return the ids of a run's tasks, at most one page; none once Airflow has deleted them."""
        ...

    def wait_error(self, dag_id: str, run_id: str) -> str | None:
        """Return why a run failed while it waited for other datasets; None if it did not fail there.

        The text is empty if Airflow has not kept the reason.
        """
        ...

    def check_results(self, dag_id: str, run_id: str) -> list[CheckResult]:
        """Return what the checks of a run's last attempt found; none for a run without checks."""
        ...

    def running_attempts(self) -> list[TaskAttempt]:
        """Return all running attempts, over all DAGs."""
        ...

    def waiting_attempts(self) -> list[TaskAttempt]:
        """Return the attempts of tasks in which runs wait for other datasets, over all DAGs."""
        ...

    def versions(self, runs: Sequence[DagRun]) -> list[RunVersion]:
        """Return the spec version of each run's latest started attempt, in batched requests."""
        ...

    def log(self, dag_id: str, run_id: str, try_number: int) -> list[LogEvent] | None:
        """Return the log of one attempt; None if there was no such attempt."""
        ...

    def connection_type(self, connection_id: str) -> str | None:
        """Return the type of a connection in Airflow's database; None if it has no such connection.

        Airflow's API does not show connections from environment variables or a secrets backend.
        """
        ...

    def variables(self, prefix: str) -> dict[str, str]:
        """Return the values of all Variables in Airflow's database whose keys begin with a prefix, by key."""
        ...

    def variable(self, key: str) -> str | None:
        """Return the value of a Variable in Airflow's database; None if there is no such Variable."""
        ...

    def set_variable(self, key: str, value: str, *, description: str) -> None:
        """Create a Variable, or give it another value."""
        ...

    def import_errors(self) -> list[DagImportError]:
        """Return the import errors of DAG files, over all pages."""
        ...
