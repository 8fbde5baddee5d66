"""What both of Airflow's APIs do in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from basecamp.airflow.gateway import DagMissing, RunExists
from basecamp.airflow.http.paging import pages
from basecamp.airflow.http.transport import AirflowTransport
from basecamp.airflow.models import (
    DAG_PAGE_LIMIT,
    PAGE_LIMIT,
    AirflowDag,
    AirflowHealth,
    DagDetails,
    DagImportError,
    DagRun,
)
from basecamp.airflow.responses import (
    Answer,
    read_connection_type,
    read_import_error,
    read_task_id,
    read_version,
)
from dataspec.contract import read_document_line

T = TypeVar("T")

MISSING = frozenset({404})
TAKEN = 409
TAKEN_OR_MISSING = MISSING | {TAKEN}


class AirflowApi:
    """The calls that differ between the lines in no more than where they stand and how a row is read."""

    def __init__(
        self,
        transport: AirflowTransport,
        root: str,
        *,
        read_dag: Callable[[Answer], AirflowDag],
        read_run: Callable[[Answer], DagRun],
    ) -> None:
        self._transport = transport
        self._root = root
        self._read_dag = read_dag
        self._read_run = read_run

    @property
    def url(self) -> str:
        """Airflow's address, free of credentials."""
        return self._transport.url

    def get_dag(self, dag_id: str) -> DagDetails | None:
        """Return a DAG with the version of the spec that it was made of."""
        answer = self._transport.request("GET", self._path("dags", dag_id, "details"), expect=MISSING)
        return None if answer.status in MISSING else answer.read(self._read_details)

    def set_paused(self, dag_id: str, *, paused: bool) -> AirflowDag:
        """Pause or resume a DAG; harmless if it is so already."""
        path = self._path("dags", dag_id)
        answer = self._transport.request("PATCH", path, json={"is_paused": paused}, expect=MISSING)
        if answer.status in MISSING:
            raise DagMissing(dag_id)
        return answer.read(self._read_dag)

    def trigger(self, dag_id: str, run_id: str, *, logical_date: datetime, conf: Mapping[str, Any]) -> DagRun:
        """Start a run."""
        body = {"dag_run_id": run_id, "logical_date": logical_date.isoformat(), "conf": dict(conf)}
        path = self._path("dags", dag_id, "dagRuns")
        answer = self._transport.request("POST", path, json=body, expect=TAKEN_OR_MISSING)
        if answer.status == TAKEN:
            raise RunExists(run_id)
        if answer.status in MISSING:
            raise DagMissing(dag_id)
        return answer.read(self._read_run)

    def get_run(self, dag_id: str, run_id: str) -> DagRun | None:
        """Return a run."""
        return self._run_or_none("GET", "dags", dag_id, "dagRuns", run_id)

    def task_ids(self, run: DagRun) -> list[str]:
        """Return the ids of a run's tasks, some of them where there are many; none once Airflow forgot them."""
        path = self._path("dags", run.dag_id, "dagRuns", run.run_id, "taskInstances")
        answer = self._transport.request("GET", path, params={"limit": PAGE_LIMIT}, expect=MISSING)
        return [] if answer.status in MISSING else answer.read(_read_task_ids)

    def connection_type(self, connection_id: str) -> str | None:
        """Return the type of a connection in Airflow's database; None if there is none of that id."""
        answer = self._transport.request("GET", self._path("connections", connection_id), expect=MISSING)
        return None if answer.status in MISSING else answer.read(read_connection_type)

    def import_errors(self) -> list[DagImportError]:
        """Return why files of DAGs did not load, over all pages."""
        return list(self._pages(self._path("importErrors"), "import_errors", {}, read_import_error))

    def _health(self, parts: str, read_parts: Callable[[Answer], dict[str, str]]) -> AirflowHealth:
        """Ask how Airflow is, with credentials, so that wrong ones show here."""
        version = self._transport.request("GET", self._path("version")).read(read_version)
        self._transport.request("GET", self._path("dags"), params={"limit": 1})
        found = self._transport.request("GET", f"{self._root}/{parts}").read(read_parts)
        return AirflowHealth(version=version, parts=found)

    def _dags(self, params: Mapping[str, Any]) -> list[AirflowDag]:
        """Return the DAGs that a list holds, over all pages."""
        path, wanted = self._path("dags"), {**params, "order_by": "dag_id"}
        return list(pages(self._transport, path, "dags", wanted, self._read_dag, limit=DAG_PAGE_LIMIT))

    def _run_or_none(self, method: str, *parts: str, json: Mapping[str, Any] | None = None) -> DagRun | None:
        """Send a request that is answered with a run; None if there is none."""
        answer = self._transport.request(method, self._path(*parts), json=json, expect=MISSING)
        return None if answer.status in MISSING else answer.read(self._read_run)

    def _pages(
        self, path: str, items: str, params: Mapping[str, Any], read: Callable[[Any], T]
    ) -> Iterator[T]:
        return pages(self._transport, path, items, params, read)

    def _path(self, *parts: str) -> str:
        return f"{self._root}/" + "/".join(quote(part, safe="~") for part in parts)

    def _read_details(self, row: Answer) -> DagDetails:
        return DagDetails(dag=self._read_dag(row), loaded=read_document_line(row["doc_md"]))


def _read_task_ids(body: Answer) -> list[str]:
    return [read_task_id(row) for row in body["task_instances"]]
