"""Airflow's own REST API, of either line, as a person with its documentation uses it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from basecamp.dev.release_lines import AIRFLOW_2
from dataspec.contract import read_version_key
from dataspec.schedule.stored_start import date_of
from stacks import Stack

NEVER = "0 0 1 1 *"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRun:
    """A run that the schedule made."""

    run_id: str
    logical_date: datetime
    start: datetime
    end: datetime
    due: datetime | None
    """None on Airflow 2, which does not keep it."""

    @property
    def due_by_id(self) -> datetime:
        """The moment at which it was due, as its id tells it."""
        return datetime.strptime(self.run_id[-15:], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)

    @property
    def whole_start(self) -> datetime:
        """The start of its interval, without what tells the date."""
        return self.start.replace(microsecond=0)

    @property
    def date(self) -> str:
        """The ``execution_date`` that it builds."""
        return date_of(self.start)


class Airflow:
    """The API of a stack's Airflow, which lets everyone in on loopback."""

    def __init__(self, stack: Stack) -> None:
        self.is_2 = stack.line == AIRFLOW_2
        self._url = f"{stack.airflow_url}/api/{'v1' if self.is_2 else 'v2'}"

    def ask(
        self, path: str, method: str = "GET", body: Any = None, *, accept: str = "application/json"
    ) -> Any:
        """Send a request that must succeed; return its answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept} | ({"Content-Type": "application/json"} if data else {})
        request = urllib.request.Request(f"{self._url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=180) as answer:
            return json.load(answer) if accept == "application/json" else answer.read().decode()

    def trigger(self, name: str, conf: dict[str, Any]) -> str:
        """Start a run as a person does on Airflow's page; return its id."""
        now = datetime.now(UTC).isoformat() if self.is_2 else None
        run = self.ask(f"/dags/{name}/dagRuns", "POST", {"logical_date": now, "conf": conf})
        return quote(str(run["dag_run_id"]))

    def finished(self, name: str, run_id: str) -> dict[str, Any]:
        """Wait until a run has ended; return its task instance."""
        run = f"/dags/{name}/dagRuns/{run_id}"
        until(lambda: self.ask(run)["state"] in {"success", "failed"})
        return self.attempt(name, run_id)

    def attempt(self, name: str, run_id: str) -> dict[str, Any]:
        """Return the run's task instance."""
        instance: dict[str, Any] = self.ask(f"/dags/{name}/dagRuns/{run_id}/taskInstances/run")
        return instance

    def log(self, name: str, run_id: str, attempt: int = 1) -> str:
        """Return the log of an attempt, errors included."""
        path = f"/dags/{name}/dagRuns/{run_id}/taskInstances/run/logs/{attempt}"
        if self.is_2:
            return str(self.ask(path, accept="text/plain"))
        return "\n".join(json.dumps(line, ensure_ascii=False) for line in self.ask(path)["content"])

    def versions(self, name: str, run_id: str) -> list[str]:
        """Return the keys of the run's XComs that name the version of an attempt."""
        answer = self.ask(f"/dags/{name}/dagRuns/{run_id}/taskInstances/run/xcomEntries")
        return [entry["key"] for entry in answer["xcom_entries"] if read_version_key(entry["key"])]

    def scheduled_runs(self, name: str) -> list[ScheduledRun]:
        """Return the runs that the schedule made, the first one first."""
        query = "order_by=id" if self.is_2 else "order_by=run_after&run_type=scheduled"
        rows = self.ask(f"/dags/{name}/dagRuns?limit=100&{query}")["dag_runs"]
        return [_scheduled(row) for row in rows if row["run_type"] == "scheduled"]

    def version_of(self, name: str) -> str:
        """Return the last line of a DAG's document, which tells the version."""
        return str(self.ask(f"/dags/{name}/details")["doc_md"]).splitlines()[-1]

    def import_errors(self, about: str) -> list[str]:
        """Return the import errors that speak of something."""
        found = self.ask("/importErrors?limit=100")["import_errors"]
        return [error["stack_trace"] for error in found if about in error["stack_trace"]]


def _scheduled(row: dict[str, Any]) -> ScheduledRun:
    times = {name: _time(row.get(name)) for name in _TIMES}
    start, end, logical = (times[name] for name in _TIMES[:3])
    assert start
    assert end
    assert logical
    return ScheduledRun(
        run_id=row["dag_run_id"],
        logical_date=logical,
        start=start,
        end=end,
        due=times["run_after"],
    )


_TIMES = ("data_interval_start", "data_interval_end", "logical_date", "run_after")


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def until(condition: Callable[[], Any], seconds: float = 400) -> Any:
    """Wait until something holds; return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found
