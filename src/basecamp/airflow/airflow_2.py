"""The gateway to Airflow 2.11, over its API ``/api/v1``.

Unlike Airflow 3's, this API has no cursors, no filter by run type or due time, no list of XComs
across runs, and it sets a note in a request of its own.

Lists of runs have offsets only, and each run created meanwhile shifts them by one. A cursor of
ours therefore carries the total at the time of the page: newer runs are skipped. Due times are
not stored, so a list from a given time on consists of two: the waiting runs, which are few, then
those that started since, because no run starts before it is due.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote, urlencode

from basecamp.airflow.airflow_2_responses import read_components, read_dag, read_log, read_run
from basecamp.airflow.gateway import WrongCursor
from basecamp.airflow.models import (
    PAGE_LIMIT,
    AirflowDag,
    AirflowHealth,
    DagRun,
    LogEvent,
    RunFilter,
    RunPage,
    RunVersion,
    TaskAttempt,
)
from basecamp.airflow.rest_api import DEFERRED, MISSING, RestApi, read_task_instance
from basecamp.airflow.rest_api import read_rows as read_all_rows
from basecamp.airflow.transport import AirflowTransport
from basecamp.outages.request_budget import map_within_budget
from dataspec.contract import TASK_ID, WAIT_PREFIX

RUNS_PER_REQUEST = 50
"""Keeps the task instances on one page even where several DAGs have a run of the same id."""

PARALLEL_REQUESTS = 8

_PROCESS_ENDED = "terminated with exit code"
"""Logged by the task's supervisor after it has terminated the process."""

_CREATED = frozenset({201})
"""Has no JSON body, also when the parse was requested before."""


class Airflow2(RestApi):
    """The gateway to Airflow 2.11."""

    def __init__(self, transport: AirflowTransport) -> None:
        super().__init__(transport, "/api/v1", read_dag=read_dag, read_run=read_run)

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Return the path of a run's page in Airflow."""
        return f"/dags/{quote(dag_id, safe='')}/grid?{urlencode({'dag_run_id': run_id})}"

    def health(self) -> AirflowHealth:
        """Return Airflow's health; checks the credentials as well."""
        return self._health("health", read_components)

    def list_dags(self, *, tags: Sequence[str] = ()) -> list[AirflowDag]:
        """Return all DAGs with any of the tags, stale ones included."""
        return self._dags({"tags": list(tags), "only_active": False})

    def request_parse(self, dag: AirflowDag) -> None:
        """Ask Airflow to parse the DAG's file next; parsing it checks the store."""
        if dag.file_token is not None:
            path = self._path("parseDagFile", dag.file_token)
            self._transport.request("PUT", path, expect=MISSING | _CREATED)

    def list_runs(self, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> RunPage:
        """Return a page of at most ``limit`` runs (and at most 100), the last created first."""
        if wanted.run_id is not None:
            return RunPage(runs=tuple(self._runs_of_id(wanted, wanted.run_id)), next_cursor=None)
        path = self._path("dags", wanted.dag_id or "~", "dagRuns")

        def get(params: Mapping[str, Any]) -> Rows:
            response = self._transport.request("GET", path, params=params, expect=MISSING)
            return ([], 0) if response.status in MISSING else response.read(read_rows)

        return page_of_runs(get, wanted, limit, cursor)

    def _runs_of_id(self, wanted: RunFilter, run_id: str) -> Iterator[DagRun]:
        """Yield the runs with an id; without a DAG, find the DAGs by the task instances of that run id.

        Looks for the task of datasets first: other DAGs may have many runs of the same id.
        """
        if wanted.dag_id is not None:
            dag_ids = {wanted.dag_id}
        else:
            by_run_id = {"dag_run_ids": [run_id]}
            found = [*self._task_instances({**by_run_id, "task_ids": [TASK_ID]})]
            dag_ids = {attempt.dag_id for attempt in found or self._task_instances(by_run_id)}
        for dag_id in sorted(dag_ids):
            run = self.get_run(dag_id, run_id)
            if run is not None and wanted.holds(run):
                yield run

    def set_run_state(
        self, dag_id: str, run_id: str, state: Literal["success", "failed"], *, note: str
    ) -> DagRun | None:
        """Write a run's note, then set the state of the run and its tasks."""
        if not self._put_note(dag_id, run_id, note):
            return None
        return self._run_or_none("PATCH", "dags", dag_id, "dagRuns", run_id, json={"state": state})

    def clear_run(self, dag_id: str, run_id: str, *, note: str) -> DagRun | None:
        """Clear a finished run; the new note is written first."""
        if not self._put_note(dag_id, run_id, note):
            return None
        return self._run_or_none("POST", "dags", dag_id, "dagRuns", run_id, "clear", json={"dry_run": False})

    def _put_note(self, dag_id: str, run_id: str, note: str) -> bool:
        """Write a run's note; False if there is no such run."""
        path = self._path("dags", dag_id, "dagRuns", run_id, "setNote")
        response = self._transport.request("PATCH", path, json={"note": note}, expect=MISSING)
        return response.status not in MISSING

    def process_is_gone(self, dag_id: str, run_id: str, try_number: int) -> bool:
        """Say whether the attempt's log reports the end of its process."""
        events = self.log(dag_id, run_id, try_number)
        return any(_PROCESS_ENDED in event.message for event in events or ())

    def attempts(self, runs: Sequence[DagRun]) -> list[TaskAttempt]:
        """Return the latest attempt of each run that has one, in batched requests."""
        keys = {run.key for run in runs}
        found: list[TaskAttempt] = []
        for start in range(0, len(runs), RUNS_PER_REQUEST):
            batch = runs[start : start + RUNS_PER_REQUEST]
            wanted = {
                "dag_ids": sorted({run.dag_id for run in batch}),
                "dag_run_ids": [run.run_id for run in batch],
                "task_ids": [TASK_ID],
            }
            found += (attempt for attempt in self._task_instances(wanted) if _key(attempt) in keys)
        return found

    def running_attempts(self) -> list[TaskAttempt]:
        """Return all running attempts, over all DAGs."""
        return list(self._task_instances({"task_ids": [TASK_ID], "state": ["running"]}))

    def waiting_attempts(self) -> list[TaskAttempt]:
        """Return the attempts of tasks in which runs wait for other datasets, over all DAGs."""
        found = self._task_instances({"state": [DEFERRED]})
        return [attempt for attempt in found if attempt.task_id.startswith(WAIT_PREFIX)]

    def versions(self, runs: Sequence[DagRun]) -> list[RunVersion]:
        """Return the spec version of each run's latest attempt, with one request per run, in parallel."""
        if not runs:
            return []
        with ThreadPoolExecutor(min(PARALLEL_REQUESTS, len(runs))) as pool:
            found = map_within_budget(pool, self._versions_of, runs)
            return [version for versions in found for version in versions]

    def _versions_of(self, run: DagRun) -> list[RunVersion]:
        path = self._path("dags", run.dag_id, "dagRuns", run.run_id, "taskInstances", TASK_ID, "xcomEntries")
        keys = self._pages(path, "xcom_entries", {}, lambda row: str(row["key"]))
        return RunVersion.from_xcom_keys((run.dag_id, run.run_id, key) for key in keys)

    def log(self, dag_id: str, run_id: str, try_number: int) -> list[LogEvent] | None:
        """Return the log of one attempt; None if there was no such attempt.

        Airflow 2 answers with a search path, not with 404, for an attempt that never existed.
        """
        attempt = self._path("dags", dag_id, "dagRuns", run_id, "taskInstances", TASK_ID)
        last = self._transport.request("GET", attempt, expect=MISSING)
        if last.status in MISSING or try_number > last.read(read_task_instance).try_number:
            return None
        params = {"full_content": True}
        path = f"{attempt}/logs/{try_number}"
        response = self._transport.request("GET", path, params=params, expect=MISSING, text=True)
        return None if response.status in MISSING else response.read(read_log)

    def variables(self, prefix: str) -> dict[str, str]:
        """Return the values of all Variables whose keys begin with a prefix; this API lists them all."""
        return self._variables(prefix, {})

    def _task_instances(self, wanted: Mapping[str, Any]) -> Iterator[TaskAttempt]:
        """Yield the matching task instances, over all pages."""
        path = self._path("dags", "~", "dagRuns", "~", "taskInstances", "list")
        return read_all_rows(
            lambda offset: self._transport.request(
                "POST",
                path,
                json={**wanted, "page_limit": PAGE_LIMIT, "page_offset": offset},
                repeatable=True,
            ),
            "task_instances",
            read_task_instance,
        )


def _key(attempt: TaskAttempt) -> tuple[str, str]:
    return attempt.dag_id, attempt.run_id


Phase = Literal["all", "waiting", "started"]
Rows = tuple[list["DagRun"], int]

_CURSOR = re.compile(r"(?P<phase>all|waiting|started)-(?P<offset>\d{1,9})-(?P<total>\d{1,9})")
_WAITING = "queued"


@dataclass(frozen=True, slots=True)
class PageStart:
    """The start of a page."""

    phase: Phase
    offset: int = 0
    total: int | None = None
    """Number of runs in the list when the page before was read."""

    @classmethod
    def first(cls, wanted: RunFilter) -> PageStart:
        """Return the start of a list."""
        if wanted.due_from is None:
            return cls("all")
        return cls("waiting" if not wanted.states or _WAITING in wanted.states else "started")

    @classmethod
    def read(cls, cursor: str) -> PageStart:
        """Read a cursor.

        Raises:
            WrongCursor: When this list never issued such a cursor.
        """
        found = _CURSOR.fullmatch(cursor)
        if found is None:
            raise WrongCursor
        phase: Phase = found["phase"]  # type: ignore[assignment] # the pattern allows no other
        return cls(phase, int(found["offset"]), int(found["total"]))

    def __str__(self) -> str:
        return f"{self.phase}-{self.offset}-{self.total or 0}"

    def after(self, rows: int, total: int) -> PageStart | None:
        """Return the start of the next page; None at the end of the list."""
        if rows and self.offset + rows < total:
            return replace(self, offset=self.offset + rows, total=total)
        return PageStart("started") if self.phase == "waiting" else None


def page_of_runs(
    get: Callable[[Mapping[str, Any]], Rows], wanted: RunFilter, limit: int, cursor: str | None
) -> RunPage:
    """Return a page of the matching runs, the last created first.

    Args:
        get: Requests the rows for query parameters; returns them with the total.
        wanted: The filter; criteria that Airflow lacks are applied to the page, which may get shorter.
        limit: Maximum number of rows.
        cursor: The previous page's cursor.

    Raises:
        WrongCursor: When this list never issued such a cursor.
    """
    start = PageStart.read(cursor) if cursor else PageStart.first(wanted)
    params = {**_params(wanted, start.phase), "limit": min(limit, PAGE_LIMIT)}
    rows, total = get(params | {"offset": start.offset})
    if start.total and total > start.total:
        start = replace(start, offset=start.offset + total - start.total)
        rows, total = get(params | {"offset": start.offset})
    following = start.after(len(rows), total)
    return RunPage(
        runs=tuple(run for run in rows if wanted.holds(run)),
        next_cursor=str(following) if following else None,
    )


def _params(wanted: RunFilter, phase: Phase) -> dict[str, Any]:
    params: dict[str, Any] = {"order_by": "-id"}
    if phase == "waiting":
        params["state"] = [_WAITING]
    elif states := [state for state in wanted.states if phase == "all" or state != _WAITING]:
        params["state"] = states
    if phase == "started" and wanted.due_from is not None:
        params["start_date_gte"] = wanted.due_from.isoformat()
    if wanted.due_before is not None:
        params["execution_date_lte"] = wanted.due_before.isoformat()
    if wanted.ended_from is not None:
        params["end_date_gte"] = wanted.ended_from.isoformat()
    if wanted.changed_from is not None:
        params["updated_at_gte"] = wanted.changed_from.isoformat()
    return params


def read_rows(body: Mapping[str, Any]) -> Rows:
    """Read a page of runs."""
    return [read_run(row) for row in body["dag_runs"]], int(body["total_entries"])
