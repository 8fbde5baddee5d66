"""The answers of Airflow 2, read into plain values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from basecamp.airflow.models import AirflowDag, DagRun, LogEvent
from basecamp.airflow.responses import Answer, read_time

_AUTOMATED = frozenset({"scheduled", "backfill"})

_EVENT = re.compile(r"\[(?P<time>[^\]]+)\] \{[^}]*\} (?P<level>[A-Z]+) - (?P<message>.*)")
_WHERE = "***"
"""How lines begin that tell where the log lies."""

_FOLDING = ("::group::", "::endgroup::")
"""What folds the log on Airflow's page."""

_ERROR = re.compile(r"(?:\w+\.)*(?P<type>\w+)(?:: (?P<value>.*))?")
_TRACEBACK = "Traceback (most recent call last):"


def read_dag(row: Answer) -> AirflowDag:
    """Read a DAG from a list, or from the answer to a change."""
    return AirflowDag(
        dag_id=row["dag_id"],
        is_paused=row["is_paused"],
        is_stale=not row["is_active"],
        next_run=read_time(row["next_dagrun_create_after"]),
        has_import_errors=row["has_import_errors"],
        file=row["fileloc"],
        file_token=row["file_token"],
    )


def read_run(row: Answer) -> DagRun:
    """Read a run.

    Airflow 2 keeps no moment at which a run was due: that of a scheduled run is the end of
    its interval, that of any other its logical date, for which the present is taken.
    """
    start, end = read_time(row["data_interval_start"]), read_time(row["data_interval_end"])
    logical = datetime.fromisoformat(row["logical_date"])
    return DagRun(
        dag_id=row["dag_id"],
        run_id=row["dag_run_id"],
        state=row["state"],
        run_type=row["run_type"],
        run_after=end if row["run_type"] in _AUTOMATED and end else logical,
        logical_date=logical,
        data_interval_start=start,
        data_interval_end=end,
        start_date=read_time(row["start_date"]),
        end_date=read_time(row["end_date"]),
        conf=row["conf"] or {},
        note=row["note"],
    )


def read_parts(body: Answer) -> dict[str, str]:
    """Read how Airflow's parts are; where no DAG processor runs by itself, the scheduler is that as well."""
    parts = {part: state["status"] for part, state in body.items() if state and state["status"]}
    return {"dag_processor": parts.get("scheduler", "absent"), **parts}


def read_log(text: str) -> list[LogEvent]:
    """Read the text of a log, in Airflow's own format: an event is a line, and those without a time after it.

    The places where Airflow looked for it are left out, unless there is nothing else: then they say why.
    """
    events: list[LogEvent] = []
    places: list[LogEvent] = []
    first: re.Match[str] | None = None
    more: list[str] = []
    for line in text.splitlines():
        begun = _EVENT.fullmatch(line)
        if line.startswith(_WHERE):
            places.append(LogEvent(message=line.removeprefix(_WHERE).strip()))
        if line.startswith(_WHERE) or (begun and begun["message"].startswith(_FOLDING)):
            continue
        if begun is None:
            more.append(line)
            continue
        events += _event(first, more)
        first, more = begun, []
    return events + list(_event(first, more)) or places


def _event(first: re.Match[str] | None, more: Sequence[str]) -> Iterator[LogEvent]:
    if first is None:
        return  # what stands before the first event is the machine's name
    trace = more.index(_TRACEBACK) if _TRACEBACK in more else len(more)
    yield LogEvent(
        message="\n".join([first["message"], *more[:trace]]),
        timestamp=_moment(first["time"]),
        level=first["level"].lower(),
        error=_error(more[trace:]),
        details=tuple(more[trace:]),
    )


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None  # a format of the operator's own


def _error(traceback: Sequence[str]) -> str | None:
    """Return the exception of a traceback, the last where several follow from each other, in one line."""
    lines = [line for line in traceback if line.strip()]
    last = next((n for n in range(len(lines) - 1, -1, -1) if lines[n].startswith((" ", _TRACEBACK))), None)
    if last is None or last + 1 == len(lines):
        return None
    found = _ERROR.fullmatch(lines[last + 1])
    if found is None:
        return lines[last + 1]
    return f"{found['type']}: {found['value']}" if found["value"] else found["type"]
