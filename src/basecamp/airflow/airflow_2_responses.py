"""Reads the JSON and the logs of Airflow 2."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from basecamp.airflow import rest_api
from basecamp.airflow.models import AirflowDag, DagRun, LogEvent
from basecamp.airflow.rest_api import JsonObject, read_time

_AUTOMATED = frozenset({"scheduled", "backfill"})

_EVENT = re.compile(r"\[(?P<time>[^\]]+)\] \{[^}]*\} (?P<level>[A-Z]+) - (?P<message>.*)")
_LOCATION = "***"
"""Prefix of the lines that name the log's files."""

_FOLDING = ("::group::", "::endgroup::")
"""Prefixes of the lines that fold the log on Airflow's page."""

_ERROR = re.compile(r"(?:\w+\.)*(?P<type>\w+)(?:: (?P<value>.*))?")
_TRACEBACK = "Traceback (most recent call last):"


def read_dag(row: JsonObject) -> AirflowDag:
    """Read a DAG from a list, or from the response to a change."""
    return rest_api.read_dag(
        row,
        is_stale=not row["is_active"],
        next_run=read_time(row["next_dagrun_create_after"]),
        file=row["fileloc"],
    )


def read_run(row: JsonObject) -> DagRun:
    """Read a run.

    Airflow 2 does not store when a run was due. A scheduled run was due at the end of its data
    interval; any other run at its logical date, which is the time of the trigger.
    """
    end = read_time(row["data_interval_end"])
    is_automated = row["run_type"] in _AUTOMATED
    return rest_api.read_run(
        row, run_after=end if is_automated and end else datetime.fromisoformat(row["logical_date"])
    )


def read_components(body: JsonObject) -> dict[str, str]:
    """Read the state of Airflow's components; without a standalone DAG processor, the scheduler's state counts."""
    found = {name: state["status"] for name, state in body.items() if state and state["status"]}
    return {"dag_processor": found.get("scheduler", "absent"), **found}


def read_log(text: str) -> list[LogEvent]:
    """Read a log in Airflow's default text format: an event is a line with a time, and the lines after it without one.

    The locations where Airflow looked for the log are left out, unless the log is empty: then they say why.
    """
    events: list[LogEvent] = []
    locations: list[LogEvent] = []
    first: re.Match[str] | None = None
    more: list[str] = []
    for line in text.splitlines():
        begun = _EVENT.fullmatch(line)
        if line.startswith(_LOCATION):
            locations.append(LogEvent(message=line.removeprefix(_LOCATION).strip()))
        if line.startswith(_LOCATION) or (begun and begun["message"].startswith(_FOLDING)):
            continue
        if begun is None:
            more.append(line)
            continue
        events += _event(first, more)
        first, more = begun, []
    return events + list(_event(first, more)) or locations


def _event(first: re.Match[str] | None, more: Sequence[str]) -> Iterator[LogEvent]:
    if first is None:
        return  # the machine's name
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
        return None  # the deployment has configured another log format


def _error(traceback: Sequence[str]) -> str | None:
    """Return the exception of a traceback in one line; the last one of a chain."""
    lines = [line for line in traceback if line.strip()]
    last = next((n for n in range(len(lines) - 1, -1, -1) if lines[n].startswith((" ", _TRACEBACK))), None)
    if last is None or last + 1 == len(lines):
        return None
    found = _ERROR.fullmatch(lines[last + 1])
    if found is None:
        return lines[last + 1]
    return f"{found['type']}: {found['value']}" if found["value"] else found["type"]
