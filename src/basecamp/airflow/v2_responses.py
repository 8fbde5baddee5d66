"""The answers of Airflow 3, read into plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from basecamp.airflow.models import AirflowDag, DagRun, LogEvent, RunPage
from basecamp.airflow.responses import Answer, read_time

_OWN_FIELDS = frozenset(
    {"timestamp", "event", "level", "logger", "filename", "lineno", "error_detail", "chan"}
    | {"try_number", "dag_id", "map_index", "run_id", "ti_id", "task_id", "task_instance_id"}
)
"""Fields that say where an event comes from, or that a line shows in another way."""

_PLACES = "::group::Log message source details"
_END = "::endgroup::"
"""Between the two stands where Airflow found the log."""


@dataclass(frozen=True, slots=True)
class XComKey:
    """Which XCom of which run."""

    dag_id: str
    run_id: str
    key: str


def read_dag(row: Answer) -> AirflowDag:
    """Read a DAG from a list, or from the answer to a change."""
    return AirflowDag(
        dag_id=row["dag_id"],
        is_paused=row["is_paused"],
        is_stale=row["is_stale"],
        next_run=read_time(row["next_dagrun_run_after"]),
        has_import_errors=row["has_import_errors"],
        file=row["relative_fileloc"] or row["fileloc"],
        bundle=row["bundle_name"],
        file_token=row["file_token"],
    )


def read_run(row: Answer) -> DagRun:
    """Read a run."""
    return DagRun(
        dag_id=row["dag_id"],
        run_id=row["dag_run_id"],
        state=row["state"],
        run_type=row["run_type"],
        run_after=datetime.fromisoformat(row["run_after"]),
        logical_date=read_time(row["logical_date"]),
        data_interval_start=read_time(row["data_interval_start"]),
        data_interval_end=read_time(row["data_interval_end"]),
        queued_at=read_time(row["queued_at"]),
        start_date=read_time(row["start_date"]),
        end_date=read_time(row["end_date"]),
        conf=row["conf"] or {},
        note=row["note"],
    )


def read_run_page(body: Answer) -> RunPage:
    """Read a page of runs."""
    return RunPage(runs=tuple(read_run(row) for row in body["dag_runs"]), next_cursor=body["next_cursor"])


def read_xcom(row: Answer) -> XComKey:
    """Read which XCom a row of their list is."""
    return XComKey(dag_id=row["dag_id"], run_id=row["run_id"], key=row["key"])


def read_parts(body: Answer) -> dict[str, str]:
    """Read how Airflow's parts are; one that is not there has no status."""
    return {part: str(state.get("status") or "absent") for part, state in body.items() if state}


def read_log(body: Answer) -> list[LogEvent]:
    """Read a log: events, or bare lines where Airflow could not take them apart.

    Airflow begins it with the places where the log lies, which change while the attempt goes on; they are left
    out, unless there is nothing else: then they say why.
    """
    events = [_log_event(entry) for entry in body["content"]]
    if not events or not events[0].message.startswith(_PLACES):
        return events
    end = next((number for number, event in enumerate(events) if event.message == _END), 0)
    return events[end + 1 :] or events[1:end]


def _log_event(entry: str | Answer) -> LogEvent:
    if isinstance(entry, str):
        return LogEvent(message=entry.rstrip("\n"))
    errors = entry.get("error_detail") or []  # the error first, then what it came from
    extra = [f"{key}={value}" for key, value in entry.items() if key not in _OWN_FIELDS and value is not None]
    return LogEvent(
        message=" ".join([str(entry["event"]), *extra]),
        timestamp=read_time(entry.get("timestamp")),
        level=entry.get("level"),
        error=" ".join(_summary(errors[0]).split()) if errors else None,
        details=tuple(line for error in reversed(errors) for line in _traceback(error)),
    )


def _summary(error: Answer) -> str:
    value = str(error.get("exc_value") or "").strip()
    return f"{error['exc_type']}: {value}" if value else str(error["exc_type"])


def _traceback(error: Answer) -> list[str]:
    frames = [
        f'  File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}'
        for frame in error.get("frames") or []
    ]
    return [
        *(["Traceback (most recent call last):"] if frames else []),
        *frames,
        *_summary(error).splitlines(),
    ]
