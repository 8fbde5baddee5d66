"""The gateway to Airflow 3, over its API ``/api/v2``.

One request returns the task instances or XComs of many runs. It filters by prefixes, because only
these use the database's indexes; prefixes match other rows as well, so the response is filtered again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import quote

from basecamp.airflow.airflow_3_responses import (
    read_components,
    read_dag,
    read_log,
    read_run,
    read_run_page,
    read_xcom,
)
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
from basecamp.airflow.rest_api import CONFLICT_OR_MISSING, DEFERRED, MISSING, RestApi, read_task_instance
from basecamp.airflow.transport import AirflowTransport
from dataspec.contract import TASK_ID, VERSION_KEY_PREFIX, WAIT_PREFIX

R = TypeVar("R", bound="_HasRunKey")

MAX_PATTERN_LENGTH = 3000
"""Of the run ids in one URL; some proxies limit a URL to 8,000 characters."""

_PROCESS_KILLED = "Task killed!"
"""Logged by the task's supervisor after it has killed the process."""

_BAD_REQUEST = 400


class _HasRunKey(Protocol):
    @property
    def dag_id(self) -> str: ...

    @property
    def run_id(self) -> str: ...


class Airflow3(RestApi):
    """The gateway to Airflow 3."""

    def __init__(self, transport: AirflowTransport) -> None:
        super().__init__(transport, "/api/v2", read_dag=read_dag, read_run=read_run)

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Return the path of a run's page in Airflow."""
        return f"/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"

    def health(self) -> AirflowHealth:
        """Return Airflow's health; checks the credentials as well."""
        return self._health("monitor/health", read_components)

    def list_dags(self, *, tags: Sequence[str] = ()) -> list[AirflowDag]:
        """Return all DAGs with any of the tags, stale ones included."""
        return self._dags({"tags": list(tags), "tags_match_mode": "any", "exclude_stale": False})

    def request_parse(self, dag: AirflowDag) -> None:
        """Ask Airflow to refresh the DAG's bundle and to parse its file next."""
        if dag.file_token is not None:
            path = self._path("parseDagFile", dag.file_token)
            self._transport.request("PUT", path, expect=CONFLICT_OR_MISSING)

    def list_runs(self, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> RunPage:
        """Return a page of at most ``limit`` runs (and at most 100), the last created first."""
        response = self._transport.request(
            "GET",
            self._path("dags", wanted.dag_id or "~", "dagRuns"),
            params=_run_params(wanted) | {"limit": min(limit, PAGE_LIMIT), "cursor": cursor or ""},
            expect=MISSING | {_BAD_REQUEST} if cursor else MISSING,
        )
        if response.status in MISSING:
            return RunPage(runs=(), next_cursor=None)
        if response.status == _BAD_REQUEST:
            raise WrongCursor
        page = response.read(read_run_page)
        runs = tuple(run for run in page.runs if wanted.holds(run))
        is_past = wanted.run_id is not None and len(runs) < len(page.runs)
        return replace(page, runs=runs, next_cursor=None if is_past else page.next_cursor)

    def set_run_state(
        self, dag_id: str, run_id: str, state: Literal["success", "failed"], *, note: str
    ) -> DagRun | None:
        """Write a run's note and set the state of the run and its tasks, in one transaction."""
        return self._run_or_none(
            "PATCH", "dags", dag_id, "dagRuns", run_id, json={"state": state, "note": note}
        )

    def clear_run(self, dag_id: str, run_id: str, *, note: str) -> DagRun | None:
        """Clear a finished run and write the new note, in one transaction."""
        # The latest DAG version has the current spec's retries; the worker uses it in any case.
        body = {"dry_run": False, "run_on_latest_version": True, "note": note}
        return self._run_or_none("POST", "dags", dag_id, "dagRuns", run_id, "clear", json=body)

    def process_is_gone(self, dag_id: str, run_id: str, try_number: int) -> bool:
        """Say whether the attempt's log reports that its process was killed."""
        events = self.log(dag_id, run_id, try_number)
        return any(event.message.startswith(_PROCESS_KILLED) for event in events or ())

    def attempts(self, runs: Sequence[DagRun]) -> list[TaskAttempt]:
        """Return the latest attempt of each run that has one, in batched requests."""
        if len(runs) == 1:
            return self._attempt(runs[0])
        params = {"task_id": TASK_ID}
        return list(self._of_runs(runs, ("taskInstances",), "task_instances", params, read_task_instance))

    def _attempt(self, run: DagRun) -> list[TaskAttempt]:
        """Return a run's latest attempt, if any, at a third of a list's cost to Airflow."""
        path = self._path("dags", run.dag_id, "dagRuns", run.run_id, "taskInstances", TASK_ID)
        response = self._transport.request("GET", path, expect=MISSING)
        return [] if response.status in MISSING else [response.read(read_task_instance)]

    def running_attempts(self) -> list[TaskAttempt]:
        """Return all running attempts, over all DAGs."""
        params = {"task_id": TASK_ID, "state": ["running"], "order_by": "start_date"}
        path = self._path("dags", "~", "dagRuns", "~", "taskInstances")
        return list(self._pages(path, "task_instances", params, read_task_instance))

    def waiting_attempts(self) -> list[TaskAttempt]:
        """Return the attempts of tasks in which runs wait for other datasets, over all DAGs."""
        params = {"state": [DEFERRED], "order_by": "start_date"}
        path = self._path("dags", "~", "dagRuns", "~", "taskInstances")
        found = self._pages(path, "task_instances", params, read_task_instance)
        return [attempt for attempt in found if attempt.task_id.startswith(WAIT_PREFIX)]

    def versions(self, runs: Sequence[DagRun]) -> list[RunVersion]:
        """Return the spec version of each run's latest started attempt, in batched requests."""
        subpath = ("taskInstances", TASK_ID, "xcomEntries")
        params = {"xcom_key_prefix_pattern": VERSION_KEY_PREFIX}
        found = self._of_runs(runs, subpath, "xcom_entries", params, read_xcom)
        return RunVersion.from_xcom_keys((xcom.dag_id, xcom.run_id, xcom.key) for xcom in found)

    def log(self, dag_id: str, run_id: str, try_number: int) -> list[LogEvent] | None:
        """Return the log of one attempt; None if there was no such attempt."""
        path = self._path(
            "dags", dag_id, "dagRuns", run_id, "taskInstances", TASK_ID, "logs", str(try_number)
        )
        response = self._transport.request("GET", path, params={"full_content": True}, expect=MISSING)
        return None if response.status in MISSING else response.read(read_log)

    def variables(self, prefix: str) -> dict[str, str]:
        """Return the values of all Variables whose keys begin with a prefix."""
        return self._variables(prefix, {"variable_key_prefix_pattern": prefix})

    def _of_runs(
        self,
        runs: Sequence[DagRun],
        subpath: tuple[str, ...],
        items: str,
        params: Mapping[str, Any],
        read: Callable[[Any], R],
    ) -> Iterator[R]:
        """Yield the rows of a list below the runs (task instances, XComs), in batches of runs."""
        keys = {run.key for run in runs}
        for batch in _batches(runs):
            dag_ids = {run.dag_id for run in batch}
            path = self._path("dags", dag_ids.pop() if len(dag_ids) == 1 else "~", "dagRuns", "~", *subpath)
            bounds = {
                "run_id_prefix_pattern": "|".join(run.run_id for run in batch),
                "run_after_gte": min(run.run_after for run in batch).isoformat(),
                "run_after_lte": max(run.run_after for run in batch).isoformat(),
            }
            for found in self._pages(path, items, {**params, **bounds}, read):
                if (found.dag_id, found.run_id) in keys:
                    yield found


def _run_params(wanted: RunFilter) -> dict[str, Any]:
    # Airflow finds run ids by prefix: a dataset's name is that of all its runs. The id itself comes first of these.
    params: dict[str, Any] = {"order_by": "-id" if wanted.run_id is None else "run_id"}
    if wanted.states:
        params["state"] = list(wanted.states)
    if wanted.run_types:
        params["run_type"] = list(wanted.run_types)
    if wanted.run_id is not None:
        params["run_id_prefix_pattern"] = wanted.run_id
    if wanted.due_from is not None:
        params["run_after_gte"] = wanted.due_from.isoformat()
    if wanted.due_before is not None:
        params["run_after_lt"] = wanted.due_before.isoformat()
    if wanted.ended_from is not None:
        params["end_date_gte"] = wanted.ended_from.isoformat()
    if wanted.changed_from is not None:
        params["updated_at_gte"] = wanted.changed_from.isoformat()
    return params


def _batches(runs: Sequence[DagRun]) -> Iterator[list[DagRun]]:
    batch: list[DagRun] = []
    length = 0
    for run in runs:
        if batch and length + len(run.run_id) > MAX_PATTERN_LENGTH:
            yield batch
            batch, length = [], 0
        batch.append(run)
        length += len(run.run_id) + 1
    if batch:
        yield batch
