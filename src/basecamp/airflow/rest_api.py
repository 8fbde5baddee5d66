"""The calls that both of Airflow's REST APIs have, and how their JSON is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from basecamp.airflow.gateway import DagMissing, RunExists
from basecamp.airflow.models import (
    DAG_PAGE_LIMIT,
    PAGE_LIMIT,
    AirflowDag,
    AirflowHealth,
    DagDetails,
    DagImportError,
    DagRun,
    TaskAttempt,
    note_of_start,
)
from basecamp.airflow.transport import AirflowResponse, AirflowTransport
from dataspec.contract import (
    CHECKS_KEY,
    TASK_ID,
    WAIT_ERROR_KEY,
    WAIT_PREFIX,
    read_check_results,
    read_document_line,
)
from dataspec.models import CheckResult

T = TypeVar("T")
JsonObject = Mapping[str, Any]

MISSING = frozenset({404})
CONFLICT = 409
CONFLICT_OR_MISSING = MISSING | {CONFLICT}

DEFERRED = "deferred"
"""The state of a task that waits in a triggerer."""


class RestApi:
    """The calls that differ between Airflow 2 and 3 only in the root path and in the fields of a row."""

    def __init__(
        self,
        transport: AirflowTransport,
        root: str,
        *,
        read_dag: Callable[[JsonObject], AirflowDag],
        read_run: Callable[[JsonObject], DagRun],
    ) -> None:
        self._transport = transport
        self._root = root
        self._read_dag = read_dag
        self._read_run = read_run

    @property
    def url(self) -> str:
        """Airflow's address, without credentials."""
        return self._transport.url

    def now(self) -> datetime | None:
        """Return Airflow's time by its last response; None before the first one."""
        return self._transport.now()

    def get_dag(self, dag_id: str) -> DagDetails | None:
        """Return a DAG with the spec version that it was built from."""
        response = self._transport.request("GET", self._path("dags", dag_id, "details"), expect=MISSING)
        return None if response.status in MISSING else response.read(self._read_details)

    def set_paused(self, dag_id: str, *, paused: bool) -> AirflowDag:
        """Pause or unpause a DAG; a no-op if it is in that state already."""
        path = self._path("dags", dag_id)
        response = self._transport.request("PATCH", path, json={"is_paused": paused}, expect=MISSING)
        if response.status in MISSING:
            raise DagMissing(dag_id)
        return response.read(self._read_dag)

    def trigger(self, dag_id: str, run_id: str, *, logical_date: datetime, conf: Mapping[str, Any]) -> DagRun:
        """Trigger a run."""
        body = {
            "dag_run_id": run_id,
            "logical_date": logical_date.isoformat(),
            "conf": dict(conf),
            "note": note_of_start(conf, logical_date),
        }
        path = self._path("dags", dag_id, "dagRuns")
        # Repeatable, because an id is taken once: a repeated request meets its own run.
        response = self._transport.request(
            "POST", path, json=body, expect=CONFLICT_OR_MISSING, repeatable=True
        )
        if response.status == CONFLICT:
            own = self.get_run(dag_id, run_id) if response.repeated else None
            if own is None or own.conf != body["conf"]:
                raise RunExists(run_id)
            return own
        if response.status in MISSING:
            raise DagMissing(dag_id)
        return response.read(self._read_run)

    def get_run(self, dag_id: str, run_id: str) -> DagRun | None:
        """Return a run."""
        return self._run_or_none("GET", "dags", dag_id, "dagRuns", run_id)

    def task_ids(self, run: DagRun) -> list[str]:
        """Return the ids of a run's tasks, at most one page; none once Airflow has deleted them."""
        path = self._path("dags", run.dag_id, "dagRuns", run.run_id, "taskInstances")
        response = self._transport.request("GET", path, params={"limit": PAGE_LIMIT}, expect=MISSING)
        if response.status in MISSING:
            return []
        return response.read(lambda body: [str(row["task_id"]) for row in body["task_instances"]])

    def wait_error(self, dag_id: str, run_id: str) -> str | None:
        """Return why a run failed while it waited for other datasets; None if it did not fail there."""
        tasks = self._path("dags", dag_id, "dagRuns", run_id, "taskInstances")
        response = self._transport.request("GET", tasks, params={"limit": PAGE_LIMIT}, expect=MISSING)
        failed = None if response.status in MISSING else response.read(_failed_wait)
        if failed is None:
            return None
        path = f"{tasks}/{quote(failed)}/xcomEntries/{WAIT_ERROR_KEY}"
        response = self._transport.request("GET", path, expect=MISSING)
        return "" if response.status in MISSING else response.read(_text_of_xcom)

    def check_results(self, dag_id: str, run_id: str) -> list[CheckResult]:
        """Return what the checks of a run's last attempt found; none for a run without checks."""
        path = self._path(
            "dags", dag_id, "dagRuns", run_id, "taskInstances", TASK_ID, "xcomEntries", CHECKS_KEY
        )
        response = self._transport.request("GET", path, expect=MISSING)
        if response.status in MISSING:
            return []
        return read_check_results(response.read(_text_of_xcom))

    def connection_type(self, connection_id: str) -> str | None:
        """Return the type of a connection in Airflow's database; None if it has no such connection."""
        response = self._transport.request("GET", self._path("connections", connection_id), expect=MISSING)
        return None if response.status in MISSING else response.read(lambda body: str(body["conn_type"]))

    def variable(self, key: str) -> str | None:
        """Return the value of a Variable; None if there is no such Variable."""
        response = self._transport.request("GET", self._path("variables", key), expect=MISSING)
        return None if response.status in MISSING else response.read(lambda body: str(body["value"]))

    def set_variable(self, key: str, value: str, *, description: str) -> None:
        """Create a Variable, or give it another value."""
        body = {"key": key, "value": value, "description": description}
        path = self._path("variables", key)
        if self._transport.request("PATCH", path, json=body, expect=MISSING).status in MISSING:
            created = self._transport.request(
                "POST", self._path("variables"), json=body, expect=frozenset({CONFLICT}), repeatable=True
            )
            if created.status == CONFLICT:
                self._transport.request("PATCH", path, json=body)

    def import_errors(self) -> list[DagImportError]:
        """Return the import errors of DAG files, over all pages."""
        return list(self._pages(self._path("importErrors"), "import_errors", {}, read_import_error))

    def _health(self, path: str, read_components: Callable[[JsonObject], dict[str, str]]) -> AirflowHealth:
        """Return Airflow's health; lists a DAG as well, because only that call checks the credentials."""
        version = self._transport.request("GET", self._path("version")).read(
            lambda body: str(body["version"])
        )
        self._transport.request("GET", self._path("dags"), params={"limit": 1})
        response = self._transport.request("GET", f"{self._root}/{path}")
        return AirflowHealth(
            version=version,
            components=response.read(read_components),
            scheduler_heartbeat=response.read(_read_heartbeat),
        )

    def _dags(self, params: Mapping[str, Any]) -> list[AirflowDag]:
        """Return a list of DAGs, over all pages."""
        path, params = self._path("dags"), {**params, "order_by": "dag_id"}
        return list(self._pages(path, "dags", params, self._read_dag, limit=DAG_PAGE_LIMIT))

    def _variables(self, prefix: str, params: Mapping[str, Any]) -> dict[str, str]:
        """Return the values of the Variables whose keys begin with a prefix, over all pages."""
        rows = self._pages(
            self._path("variables"),
            "variables",
            {**params, "order_by": "key"},
            lambda row: (row["key"], row["value"]),
        )
        return {key: value for key, value in rows if key.startswith(prefix) and value is not None}

    def _run_or_none(self, method: str, *parts: str, json: Mapping[str, Any] | None = None) -> DagRun | None:
        """Send a request whose response is a run; None if there is no such run."""
        response = self._transport.request(method, self._path(*parts), json=json, expect=MISSING)
        return None if response.status in MISSING else response.read(self._read_run)

    def _pages(
        self,
        path: str,
        items: str,
        params: Mapping[str, Any],
        read: Callable[[Any], T],
        *,
        limit: int = PAGE_LIMIT,
    ) -> Iterator[T]:
        """Yield the rows of a list over all its pages; none where the list does not exist.

        Args:
            path: The list's path.
            items: The key of the rows in the body.
            params: Filters and order.
            read: Reads one row.
            limit: Rows per page; Airflow may send fewer.
        """
        return read_rows(
            lambda offset: self._transport.request(
                "GET", path, params={**params, "limit": limit, "offset": offset}, expect=MISSING
            ),
            items,
            read,
        )

    def _path(self, *parts: str) -> str:
        return f"{self._root}/" + "/".join(quote(part, safe="~") for part in parts)

    def _read_details(self, row: JsonObject) -> DagDetails:
        return DagDetails(dag=self._read_dag(row), loaded=read_document_line(row["doc_md"]))


def read_rows(get: Callable[[int], AirflowResponse], items: str, read: Callable[[Any], T]) -> Iterator[T]:
    """Yield the rows of a list over all its pages; ``get`` requests the page at an offset."""
    offset = 0
    while True:
        response = get(offset)
        if response.status in MISSING:
            return
        rows, total = response.read(
            lambda body: ([read(row) for row in body[items]], int(body["total_entries"]))
        )
        yield from rows
        offset += len(rows)
        if not rows or offset >= total:
            return


def _failed_wait(body: JsonObject) -> str | None:
    """Return the failed task of a list of task instances that waits for other datasets, if there is one."""
    rows = ((str(row["task_id"]), row["state"]) for row in body["task_instances"])
    return next((task for task, state in rows if task.startswith(WAIT_PREFIX) and state == "failed"), None)


def _text_of_xcom(body: JsonObject) -> str:
    """Return the text in an XCom; one that a triggerer of Airflow 3 wrote is JSON once more."""
    text = str(body["value"])
    return str(json.loads(text)) if text.startswith('"') else text


def read_time(text: str | None) -> datetime | None:
    """Read a time; None stays None."""
    return datetime.fromisoformat(text) if text else None


def read_dag(row: JsonObject, **fields: Any) -> AirflowDag:
    """Read the fields of a DAG that both APIs name alike; ``fields`` are the others."""
    return AirflowDag(
        dag_id=row["dag_id"],
        is_paused=row["is_paused"],
        has_import_errors=row["has_import_errors"],
        file_token=row["file_token"],
        **fields,
    )


def read_run(row: JsonObject, **fields: Any) -> DagRun:
    """Read the fields of a run that both APIs name alike; ``fields`` are the others."""
    return DagRun(
        dag_id=row["dag_id"],
        run_id=row["dag_run_id"],
        state=row["state"],
        run_type=row["run_type"],
        logical_date=read_time(row["logical_date"]),
        data_interval_start=read_time(row["data_interval_start"]),
        data_interval_end=read_time(row["data_interval_end"]),
        start_date=read_time(row["start_date"]),
        end_date=read_time(row["end_date"]),
        conf=row["conf"] or {},
        note=row["note"],
        **fields,
    )


def read_task_instance(row: JsonObject) -> TaskAttempt:
    """Read a task instance: the latest attempt of a run's task."""
    return TaskAttempt(
        dag_id=row["dag_id"],
        run_id=row["dag_run_id"],
        state=row["state"],
        try_number=row["try_number"],
        max_tries=row["max_tries"],
        start_date=read_time(row["start_date"]),
        end_date=read_time(row["end_date"]),
        operator=row["operator"],
        task_id=row["task_id"],
    )


def read_import_error(row: JsonObject) -> DagImportError:
    """Read an import error."""
    return DagImportError(
        filename=row["filename"],
        stack_trace=row["stack_trace"],
        timestamp=datetime.fromisoformat(row["timestamp"]),
    )


def _read_heartbeat(body: JsonObject) -> datetime | None:
    """Read the last heartbeat of a scheduler in Airflow's health."""
    return read_time((body.get("scheduler") or {}).get("latest_scheduler_heartbeat"))
