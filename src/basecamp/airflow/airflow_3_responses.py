"""Reads the JSON and the logs of Airflow 3."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from basecamp.airflow import rest_api
from basecamp.airflow.models import AirflowDag, DagRun, LogEvent, RunPage
from basecamp.airflow.rest_api import JsonObject, read_time

_OWN_FIELDS = frozenset(
    {"timestamp", "event", "level", "logger", "filename", "lineno", "error_detail", "chan"}
    | {"try_number", "dag_id", "map_index", "run_id", "ti_id", "task_id", "task_instance_id"}
)
"""Fields that name an event's origin, or that a line shows in another form."""

_LOCATIONS = "::group::Log message source details"
_LOCATIONS_END = "::endgroup::"
"""Between these two lines are the locations of the log."""


@dataclass(frozen=True, slots=True)
class XComKey:
    """The key of an XCom, with its run."""

    dag_id: str
    run_id: str
    key: str


def read_dag(row: JsonObject) -> AirflowDag:
    """Read a DAG from a list, or from the response to a change."""
    return rest_api.read_dag(
        row,
        is_stale=row["is_stale"],
        next_run=read_time(row["next_dagrun_run_after"]),
        file=row["relative_fileloc"] or row["fileloc"],
        bundle=row["bundle_name"],
    )


def read_run(row: JsonObject) -> DagRun:
    """Read a run."""
    run_after, queued_at = datetime.fromisoformat(row["run_after"]), read_time(row["queued_at"])
    return rest_api.read_run(row, run_after=run_after, queued_at=queued_at)


def read_run_page(body: JsonObject) -> RunPage:
    """Read a page of runs."""
    return RunPage(runs=tuple(read_run(row) for row in body["dag_runs"]), next_cursor=body["next_cursor"])


def read_xcom(row: JsonObject) -> XComKey:
    """Read the key of an XCom."""
    return XComKey(dag_id=row["dag_id"], run_id=row["run_id"], key=row["key"])


def read_components(body: JsonObject) -> dict[str, str]:
    """Read the state of Airflow's components; one that is not deployed has no status."""
    return {name: str(state.get("status") or "absent") for name, state in body.items() if state}


def read_log(body: JsonObject) -> list[LogEvent]:
    """Read a log: events, or plain lines where Airflow could not parse them.

    Airflow lists the log's locations first, and they change during the attempt: they are left out,
    unless the log is empty: then they say why.
    """
    events = [_log_event(entry) for entry in body["content"]]
    if not events or not events[0].message.startswith(_LOCATIONS):
        return events
    end = next((number for number, event in enumerate(events) if event.message == _LOCATIONS_END), 0)
    return events[end + 1 :] or events[1:end]


def _log_event(entry: str | JsonObject) -> LogEvent:
    if isinstance(entry, str):
        return LogEvent(message=entry.rstrip("\n"))
    errors = entry.get("error_detail") or []  # the exception first, then its causes
    extra = [f"{key}={value}" for key, value in entry.items() if key not in _OWN_FIELDS and value is not None]
    return LogEvent(
        message=" ".join([str(entry["event"]), *extra]),
        timestamp=read_time(entry.get("timestamp")),
        level=entry.get("level"),
        error=" ".join(_summary(errors[0]).split()) if errors else None,
        details=tuple(line for error in reversed(errors) for line in _traceback(error)),
    )


def _summary(error: JsonObject) -> str:
    value = str(error.get("exc_value") or "").strip()
    return f"{error['exc_type']}: {value}" if value else str(error["exc_type"])


def _traceback(error: JsonObject) -> list[str]:
    frames = [
        f'  File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}'
        for frame in error.get("frames") or []
    ]
    return [
        *(["Traceback (most recent call last):"] if frames else []),
        *frames,
        *_summary(error).splitlines(),
    ]
