"""Airflow 2.11, by its API ``/api/v1``.

It can do less than that of Airflow 3: there are no cursors, no filter by type or by when
a run was due (:mod:`basecamp.airflow.v1_runs`), no list of XComs for several runs, and a note is
a request of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from urllib.parse import quote, urlencode

from basecamp.airflow.http.paging import posted_pages
from basecamp.airflow.http.transport import AirflowTransport
from basecamp.airflow.models import (
    AirflowDag,
    AirflowHealth,
    DagRun,
    LogEvent,
    RunFilter,
    RunPage,
    RunVersion,
    TaskAttempt,
)
from basecamp.airflow.responses import read_task_instance
from basecamp.airflow.rest_gateway import MISSING, AirflowApi
from basecamp.airflow.v1_responses import read_dag, read_log, read_parts, read_run
from basecamp.airflow.v1_runs import Rows, page_of_runs, read_rows
from dataspec.contract import TASK_ID

RUNS_IN_ONE_REQUEST = 50
"""Few enough for one page of task instances, also where a run's id is taken in several DAGs."""

PARALLEL_REQUESTS = 8

_PROCESS_ENDED = "terminated with exit code"
"""What the task's supervisor logs once the process that it had to end is gone."""

_CREATED = frozenset({201})
"""Answered without JSON, also where the same was asked for already."""


class Airflow2(AirflowApi):
    """The gateway to Airflow 2.11."""

    def __init__(self, transport: AirflowTransport) -> None:
        super().__init__(transport, "/api/v1", read_dag=read_dag, read_run=read_run)

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Return where a run is shown on Airflow's page."""
        return f"/dags/{quote(dag_id, safe='')}/grid?{urlencode({'dag_run_id': run_id})}"

    def health(self) -> AirflowHealth:
        """Ask how Airflow is, with credentials, so that wrong ones show here."""
        return self._health("health", read_parts)

    def list_dags(self, *, tags: Sequence[str] = ()) -> list[AirflowDag]:
        """Return the DAGs that have any of the tags, stale ones too, over all pages."""
        return self._dags({"tags": list(tags), "only_active": False})

    def request_parse(self, dag: AirflowDag) -> None:
        """Ask Airflow to parse the DAG's file before others; that looks at the store."""
        if dag.file_token is not None:
            path = self._path("parseDagFile", dag.file_token)
            self._transport.request("PUT", path, expect=MISSING | _CREATED)

    def list_runs(self, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> RunPage:
        """Return a page of at most ``limit`` runs (and 100), the last created first."""
        if wanted.run_id is not None:
            return RunPage(runs=tuple(self._runs_of_id(wanted, wanted.run_id)), next_cursor=None)
        path = self._path("dags", wanted.dag_id or "~", "dagRuns")

        def ask(params: Mapping[str, Any]) -> Rows:
            answer = self._transport.request("GET", path, params=params, expect=MISSING)
            return ([], 0) if answer.status in MISSING else answer.read(read_rows)

        return page_of_runs(ask, wanted, limit, cursor)

    def _runs_of_id(self, wanted: RunFilter, run_id: str) -> Iterator[DagRun]:
        """Yield the runs of an id; where no DAG is named, their task instances tell the DAGs.

        Those of datasets' tasks first: other DAGs may have very many runs of one id.
        """
        if wanted.dag_id is not None:
            dag_ids = {wanted.dag_id}
        else:
            of_run = {"dag_run_ids": [run_id]}
            found = [*self._task_instances({**of_run, "task_ids": [TASK_ID]})]
            dag_ids = {attempt.dag_id for attempt in found or self._task_instances(of_run)}
        for dag_id in sorted(dag_ids):
            run = self.get_run(dag_id, run_id)
            if run is not None and wanted.holds(run):
                yield run

    def set_run_state(
        self, dag_id: str, run_id: str, state: Literal["success", "failed"], *, note: str
    ) -> DagRun | None:
        """Write a run's note, then end it and its tasks with a state."""
        if not self._put_note(dag_id, run_id, note):
            return None
        return self._run_or_none("PATCH", "dags", dag_id, "dagRuns", run_id, json={"state": state})

    def clear_run(self, dag_id: str, run_id: str, *, note: str) -> DagRun | None:
        """Have a run that has ended run again, with a new note, which is written first."""
        if not self._put_note(dag_id, run_id, note):
            return None
        return self._run_or_none("POST", "dags", dag_id, "dagRuns", run_id, "clear", json={"dry_run": False})

    def _put_note(self, dag_id: str, run_id: str, note: str) -> bool:
        """Write a run's note; False if there is no such run."""
        path = self._path("dags", dag_id, "dagRuns", run_id, "setNote")
        answer = self._transport.request("PATCH", path, json={"note": note}, expect=MISSING)
        return answer.status not in MISSING

    def process_is_gone(self, dag_id: str, run_id: str, try_number: int) -> bool:
        """Say whether the supervisor of an attempt has written that its process ended."""
        events = self.log(dag_id, run_id, try_number)
        return any(_PROCESS_ENDED in event.message for event in events or ())

    def attempts(self, runs: Sequence[DagRun]) -> list[TaskAttempt]:
        """Return the latest attempt of each run that has one, in few requests."""
        keys = {run.key for run in runs}
        found: list[TaskAttempt] = []
        for start in range(0, len(runs), RUNS_IN_ONE_REQUEST):
            batch = runs[start : start + RUNS_IN_ONE_REQUEST]
            wanted = {
                "dag_ids": sorted({run.dag_id for run in batch}),
                "dag_run_ids": [run.run_id for run in batch],
                "task_ids": [TASK_ID],
            }
            found += (attempt for attempt in self._task_instances(wanted) if _key(attempt) in keys)
        return found

    def running_attempts(self) -> list[TaskAttempt]:
        """Return every attempt that executes at this moment, in all DAGs."""
        return list(self._task_instances({"task_ids": [TASK_ID], "state": ["running"]}))

    def versions(self, runs: Sequence[DagRun]) -> list[RunVersion]:
        """Return which spec each run's latest attempt ran: a request for each run, side by side."""
        if not runs:
            return []
        with ThreadPoolExecutor(min(PARALLEL_REQUESTS, len(runs))) as pool:
            return [version for found in pool.map(self._versions_of, runs) for version in found]

    def _versions_of(self, run: DagRun) -> list[RunVersion]:
        path = self._path("dags", run.dag_id, "dagRuns", run.run_id, "taskInstances", TASK_ID, "xcomEntries")
        keys = self._pages(path, "xcom_entries", {}, lambda row: str(row["key"]))
        versions = (RunVersion.from_xcom_key(run.dag_id, run.run_id, key) for key in keys)
        return [version for version in versions if version is not None]

    def log(self, dag_id: str, run_id: str, try_number: int) -> list[LogEvent] | None:
        """Return the log of one attempt; None if there was no such attempt.

        Of an attempt that never was, Airflow 2 shows where it looked for its log.
        """
        attempt = self._path("dags", dag_id, "dagRuns", run_id, "taskInstances", TASK_ID)
        last = self._transport.request("GET", attempt, expect=MISSING)
        if last.status in MISSING or try_number > last.read(read_task_instance).try_number:
            return None
        params = {"full_content": True}
        answer = self._transport.request_text(f"{attempt}/logs/{try_number}", params=params, expect=MISSING)
        return None if answer.status in MISSING else answer.read(read_log)

    def _task_instances(self, wanted: Mapping[str, Any]) -> Iterator[TaskAttempt]:
        """Yield the task instances that are wanted, over all pages."""
        path = self._path("dags", "~", "dagRuns", "~", "taskInstances", "list")
        return posted_pages(self._transport, path, "task_instances", wanted, read_task_instance)


def _key(attempt: TaskAttempt) -> tuple[str, str]:
    return attempt.dag_id, attempt.run_id
