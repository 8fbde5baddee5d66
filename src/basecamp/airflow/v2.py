"""Airflow 3, by its API ``/api/v2``.

Where several runs are asked about, one request answers for all of them: lists of task
instances and of XComs may span runs. Prefix filters are used for it because they can
use the database's indexes; they match a little too much, so what comes back is
compared again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import quote

from basecamp.airflow.gateway import WrongCursor
from basecamp.airflow.http.transport import AirflowTransport
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
from basecamp.airflow.responses import read_task_instance
from basecamp.airflow.rest_gateway import MISSING, TAKEN_OR_MISSING, AirflowApi
from basecamp.airflow.v2_responses import read_dag, read_log, read_parts, read_run, read_run_page, read_xcom
from dataspec.contract import TASK_ID, VERSION_KEY_PREFIX

R = TypeVar("R", bound="_OfRun")

MAX_PATTERN_LENGTH = 3000
"""Of the run ids in one request's address; some proxies take no more than 8,000 letters in all."""

_PROCESS_KILLED = "Task killed!"
"""What the task's supervisor logs once the process that it had to end is gone."""

_WRONG = 400


class _OfRun(Protocol):
    @property
    def dag_id(self) -> str: ...

    @property
    def run_id(self) -> str: ...


class Airflow3(AirflowApi):
    """The gateway to Airflow 3."""

    def __init__(self, transport: AirflowTransport) -> None:
        super().__init__(transport, "/api/v2", read_dag=read_dag, read_run=read_run)

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Return where a run is shown on Airflow's page."""
        return f"/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"

    def health(self) -> AirflowHealth:
        """Ask how Airflow is, with credentials, so that wrong ones show here."""
        return self._health("monitor/health", read_parts)

    def list_dags(self, *, tags: Sequence[str] = ()) -> list[AirflowDag]:
        """Return the DAGs that have any of the tags, stale ones too, over all pages."""
        return self._dags({"tags": list(tags), "tags_match_mode": "any", "exclude_stale": False})

    def request_parse(self, dag: AirflowDag) -> None:
        """Ask Airflow to look at the DAG's bundle and to parse its file before others."""
        if dag.file_token is not None:
            path = self._path("parseDagFile", dag.file_token)
            self._transport.request("PUT", path, expect=TAKEN_OR_MISSING)

    def list_runs(self, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> RunPage:
        """Return a page of at most ``limit`` runs (and 100), the last created first."""
        answer = self._transport.request(
            "GET",
            self._path("dags", wanted.dag_id or "~", "dagRuns"),
            params=_run_params(wanted) | {"limit": min(limit, PAGE_LIMIT), "cursor": cursor or ""},
            expect=MISSING | {_WRONG} if cursor else MISSING,
        )
        if answer.status in MISSING:
            return RunPage(runs=(), next_cursor=None)
        if answer.status == _WRONG:
            raise WrongCursor
        page = answer.read(read_run_page)
        return replace(page, runs=tuple(run for run in page.runs if wanted.holds(run)))

    def set_run_state(
        self, dag_id: str, run_id: str, state: Literal["success", "failed"], *, note: str
    ) -> DagRun | None:
        """Write a run's note, then end it and its tasks with a state: one transaction of Airflow's."""
        return self._run_or_none(
            "PATCH", "dags", dag_id, "dagRuns", run_id, json={"state": state, "note": note}
        )

    def clear_run(self, dag_id: str, run_id: str, *, note: str) -> DagRun | None:
        """Have a run that has ended run again, with a new note: one transaction of Airflow's."""
        # The latest version of the DAG brings the retries that the spec has now; the worker takes it anyway.
        body = {"dry_run": False, "run_on_latest_version": True, "note": note}
        return self._run_or_none("POST", "dags", dag_id, "dagRuns", run_id, "clear", json=body)

    def process_is_gone(self, dag_id: str, run_id: str, try_number: int) -> bool:
        """Say whether the supervisor of an attempt has written that its process was killed."""
        events = self.log(dag_id, run_id, try_number)
        return any(event.message.startswith(_PROCESS_KILLED) for event in events or ())

    def attempts(self, runs: Sequence[DagRun]) -> list[TaskAttempt]:
        """Return the latest attempt of each run that has one, in few requests."""
        if len(runs) == 1:
            return self._attempt(runs[0])
        params = {"task_id": TASK_ID}
        return list(self._of_runs(runs, ("taskInstances",), "task_instances", params, read_task_instance))

    def _attempt(self, run: DagRun) -> list[TaskAttempt]:
        """Return a run's latest attempt, if it has one: a third of the work that a list is to Airflow."""
        path = self._path("dags", run.dag_id, "dagRuns", run.run_id, "taskInstances", TASK_ID)
        answer = self._transport.request("GET", path, expect=MISSING)
        return [] if answer.status in MISSING else [answer.read(read_task_instance)]

    def running_attempts(self) -> list[TaskAttempt]:
        """Return every attempt that executes at this moment, in all DAGs."""
        params = {"task_id": TASK_ID, "state": ["running"], "order_by": "start_date"}
        path = self._path("dags", "~", "dagRuns", "~", "taskInstances")
        return list(self._pages(path, "task_instances", params, read_task_instance))

    def versions(self, runs: Sequence[DagRun]) -> list[RunVersion]:
        """Return which spec each run's latest attempt ran, where one started, in few requests."""
        place = ("taskInstances", TASK_ID, "xcomEntries")
        params = {"xcom_key_prefix_pattern": VERSION_KEY_PREFIX}
        found = self._of_runs(runs, place, "xcom_entries", params, read_xcom)
        versions = (RunVersion.from_xcom_key(xcom.dag_id, xcom.run_id, xcom.key) for xcom in found)
        return [version for version in versions if version is not None]

    def log(self, dag_id: str, run_id: str, try_number: int) -> list[LogEvent] | None:
        """Return the log of one attempt; None if there was no such attempt."""
        path = self._path(
            "dags", dag_id, "dagRuns", run_id, "taskInstances", TASK_ID, "logs", str(try_number)
        )
        answer = self._transport.request("GET", path, params={"full_content": True}, expect=MISSING)
        return None if answer.status in MISSING else answer.read(read_log)

    def _of_runs(
        self,
        runs: Sequence[DagRun],
        place: tuple[str, ...],
        items: str,
        params: Mapping[str, Any],
        read: Callable[[Any], R],
    ) -> Iterator[R]:
        """Yield what a list below the runs holds of some of them, asking for many runs at once."""
        keys = {run.key for run in runs}
        for batch in _batches(runs):
            dag_ids = {run.dag_id for run in batch}
            path = self._path("dags", dag_ids.pop() if len(dag_ids) == 1 else "~", "dagRuns", "~", *place)
            bounds = {
                "run_id_prefix_pattern": "|".join(run.run_id for run in batch),
                "run_after_gte": min(run.run_after for run in batch).isoformat(),
                "run_after_lte": max(run.run_after for run in batch).isoformat(),
            }
            for found in self._pages(path, items, {**params, **bounds}, read):
                if (found.dag_id, found.run_id) in keys:
                    yield found


def _run_params(wanted: RunFilter) -> dict[str, Any]:
    params: dict[str, Any] = {"order_by": "-id"}
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
