"""Airflow 3, by its API ``/api/v2``.

Where several runs are asked about, one request answers for all of them: lists of task
instances and of XComs may span runs. Prefix filters are used for it because they can
use the database's indexes; they match a little too much, so what comes back is
compared again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar
from urllib.parse import quote

from basecamp.airflow.gateway import DagMissing, RunExists, WrongCursor
from basecamp.airflow.models import (
    DAG_PAGE_LIMIT,
    PAGE_LIMIT,
    TASK_ID,
    VERSION_KEY_PREFIX,
    AirflowHealth,
    RunPage,
    RunVersion,
)
from basecamp.airflow.paging import pages
from basecamp.airflow.v2_answers import (
    read_dag,
    read_dag_details,
    read_import_error,
    read_log,
    read_parts,
    read_run,
    read_run_page,
    read_task_instance,
    read_version,
    read_xcom,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from basecamp.airflow.models import (
        AirflowDag,
        DagDetails,
        DagImportError,
        DagRun,
        LogEvent,
        RunFilter,
        TaskAttempt,
    )
    from basecamp.airflow.transport import AirflowTransport

T = TypeVar("T")
R = TypeVar("R", bound="_OfRun")

MAX_PATTERN_LENGTH = 3000
"""Of the run ids in one request's address; some proxies take no more than 8,000 letters in all."""

_PROCESS_KILLED = "Task killed!"
"""What the task's supervisor logs once the process that it had to end is gone."""

_MISSING = frozenset({404})
_TAKEN = 409
_WRONG = 400
_TAKEN_OR_MISSING = _MISSING | {_TAKEN}


class _OfRun(Protocol):
    @property
    def dag_id(self) -> str: ...

    @property
    def run_id(self) -> str: ...


class Airflow3:
    """The gateway to Airflow 3."""

    def __init__(self, transport: AirflowTransport) -> None:
        self._transport = transport

    @property
    def url(self) -> str:
        """Airflow's address, free of credentials."""
        return self._transport.url

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Return where a run is shown on Airflow's page."""
        return f"/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"

    def health(self) -> AirflowHealth:
        """Ask how Airflow is, with credentials, so that wrong ones show here."""
        version = self._transport.request("GET", _path("version")).read(read_version)
        self._transport.request("GET", _path("dags"), params={"limit": 1})
        parts = self._transport.request("GET", _path("monitor", "health")).read(read_parts)
        return AirflowHealth(version=version, parts=parts)

    def list_dags(self, *, tags: Sequence[str] = ()) -> list[AirflowDag]:
        """Return the DAGs that have any of the tags, stale ones too, over all pages."""
        params = {
            "tags": list(tags),
            "tags_match_mode": "any",
            "exclude_stale": False,
            "order_by": "dag_id",
        }
        path = _path("dags")
        return list(pages(self._transport, path, "dags", params, read_dag, limit=DAG_PAGE_LIMIT))

    def get_dag(self, dag_id: str) -> DagDetails | None:
        """Return a DAG with the version of the spec that it was made of."""
        answer = self._transport.request("GET", _path("dags", dag_id, "details"), expect=_MISSING)
        return None if answer.status in _MISSING else answer.read(read_dag_details)

    def set_paused(self, dag_id: str, *, paused: bool) -> AirflowDag:
        """Pause or resume a DAG; harmless if it is so already."""
        path = _path("dags", dag_id)
        answer = self._transport.request("PATCH", path, json={"is_paused": paused}, expect=_MISSING)
        if answer.status in _MISSING:
            raise DagMissing(dag_id)
        return answer.read(read_dag)

    def request_parse(self, dag: AirflowDag) -> None:
        """Ask Airflow to look at the DAG's bundle and to parse its file before others."""
        if dag.file_token is not None:
            path = _path("parseDagFile", dag.file_token)
            self._transport.request("PUT", path, expect=_TAKEN_OR_MISSING)

    def trigger(self, dag_id: str, run_id: str, *, logical_date: datetime, conf: Mapping[str, Any]) -> DagRun:
        """Start a run."""
        body = {"dag_run_id": run_id, "logical_date": logical_date.isoformat(), "conf": dict(conf)}
        path = _path("dags", dag_id, "dagRuns")
        answer = self._transport.request("POST", path, json=body, expect=_TAKEN_OR_MISSING)
        if answer.status == _TAKEN:
            raise RunExists(run_id)
        if answer.status in _MISSING:
            raise DagMissing(dag_id)
        return answer.read(read_run)

    def get_run(self, dag_id: str, run_id: str) -> DagRun | None:
        """Return a run."""
        answer = self._transport.request("GET", _path("dags", dag_id, "dagRuns", run_id), expect=_MISSING)
        return None if answer.status in _MISSING else answer.read(read_run)

    def list_runs(self, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> RunPage:
        """Return a page of at most ``limit`` runs (and 100), the last created first."""
        answer = self._transport.request(
            "GET",
            _path("dags", wanted.dag_id or "~", "dagRuns"),
            params=_run_params(wanted) | {"limit": min(limit, PAGE_LIMIT), "cursor": cursor or ""},
            expect=_MISSING | {_WRONG} if cursor else _MISSING,
        )
        if answer.status in _MISSING:
            return RunPage(runs=(), next_cursor=None)
        if answer.status == _WRONG:
            raise WrongCursor
        page = answer.read(read_run_page)
        return replace(page, runs=tuple(run for run in page.runs if _is_meant(run, wanted)))

    def set_run_state(
        self, dag_id: str, run_id: str, state: Literal["success", "failed"], *, note: str
    ) -> DagRun | None:
        """Write a run's note, then end it and its tasks with a state: one transaction of Airflow's."""
        answer = self._transport.request(
            "PATCH",
            _path("dags", dag_id, "dagRuns", run_id),
            json={"state": state, "note": note},
            expect=_MISSING,
        )
        return None if answer.status in _MISSING else answer.read(read_run)

    def clear_run(self, dag_id: str, run_id: str, *, note: str) -> DagRun | None:
        """Have a run that has ended run again, with a new note: one transaction of Airflow's."""
        path = _path("dags", dag_id, "dagRuns", run_id, "clear")
        # The latest version of the DAG brings the retries that the spec has now; the worker takes it anyway.
        body = {"dry_run": False, "run_on_latest_version": True, "note": note}
        answer = self._transport.request("POST", path, json=body, expect=_MISSING)
        return None if answer.status in _MISSING else answer.read(read_run)

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
        path = _path("dags", run.dag_id, "dagRuns", run.run_id, "taskInstances", TASK_ID)
        answer = self._transport.request("GET", path, expect=_MISSING)
        return [] if answer.status in _MISSING else [answer.read(read_task_instance)]

    def running_attempts(self) -> list[TaskAttempt]:
        """Return every attempt that executes at this moment, in all DAGs."""
        params = {"task_id": TASK_ID, "state": ["running"], "order_by": "start_date"}
        path = _path("dags", "~", "dagRuns", "~", "taskInstances")
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
        path = _path("dags", dag_id, "dagRuns", run_id, "taskInstances", TASK_ID, "logs", str(try_number))
        answer = self._transport.request("GET", path, params={"full_content": True}, expect=_MISSING)
        return None if answer.status in _MISSING else answer.read(read_log)

    def import_errors(self) -> list[DagImportError]:
        """Return why files of DAGs did not load, over all pages."""
        return list(self._pages(_path("importErrors"), "import_errors", {}, read_import_error))

    def _pages(
        self, path: str, items: str, params: Mapping[str, Any], read: Callable[[Any], T]
    ) -> Iterator[T]:
        return pages(self._transport, path, items, params, read)

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
            path = _path("dags", dag_ids.pop() if len(dag_ids) == 1 else "~", "dagRuns", "~", *place)
            bounds = {
                "run_id_prefix_pattern": "|".join(run.run_id for run in batch),
                "run_after_gte": min(run.run_after for run in batch).isoformat(),
                "run_after_lte": max(run.run_after for run in batch).isoformat(),
            }
            for found in self._pages(path, items, {**params, **bounds}, read):
                if (found.dag_id, found.run_id) in keys:
                    yield found


def _is_meant(run: DagRun, wanted: RunFilter) -> bool:
    """Tell what was asked for from what Airflow's filters match beside it.

    Those for ids match beginnings; to those for ends a run that goes on ends at this moment.
    """
    return wanted.run_id in {None, run.run_id} and (wanted.ended_from is None or run.end_date is not None)


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


def _path(*parts: str) -> str:
    return "/api/v2/" + "/".join(quote(part, safe="~") for part in parts)
