"""Airflow's DAGs, runs, task instances and logs as plain values, under Airflow's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from dataspec.contract import (
    CONF_KEY,
    OPERATOR,
    TASK_ID,
    LoadedSpec,
    is_shard_file,
    read_rows_key,
    read_version_key,
)

PAGE_LIMIT = 100
"""Airflow's default for the maximum number of rows on a page (``api.maximum_page_limit``)."""

DAG_PAGE_LIMIT = 2000
"""DAGs per page. Each page costs Airflow 3 work for every DAG in its database, a second for 10,000 DAGs: fewer pages
are faster, and one of this size stays well within the timeout."""

STARTED_BY = "Started by"
"""The beginning of the note of a run that Basecamp has started."""

DagRunState = Literal["queued", "running", "success", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AirflowDag:
    """A DAG."""

    dag_id: str
    is_paused: bool
    is_stale: bool = False
    """Whether its file is gone from the bundle; its runs stay readable."""
    next_run: datetime | None = None
    """When the next scheduled run is due."""
    has_import_errors: bool = False
    file: str | None = None
    """The file that Airflow last parsed it from: relative to the bundle on Airflow 3, absolute on Airflow 2."""
    bundle: str | None = None
    """The bundle of that file; None on Airflow 2, which has no bundles."""
    file_token: str | None = field(default=None, repr=False)

    @property
    def is_in_shard(self) -> bool:
        """Whether its file is a shard of the DAG factory."""
        return self.file is not None and is_shard_file(self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class DagDetails:
    """A DAG with the spec version that it was built from."""

    dag: AirflowDag
    loaded: LoadedSpec | None

    @property
    def is_dataset(self) -> bool:
        """Whether the DAG factory built it, by its ``doc_md`` and its file."""
        return self.loaded is not None and self.dag.is_in_shard


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRun:
    """A DAG run, as Airflow stores it."""

    dag_id: str
    run_id: str
    state: DagRunState
    run_type: str
    """``manual``, ``scheduled``, ``backfill``, ``asset_triggered``, …"""
    run_after: datetime
    """When it was due, or triggered."""
    logical_date: datetime | None = None
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    queued_at: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    conf: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The DAG id and the run id; only the pair is unique."""
        return (self.dag_id, self.run_id)

    @property
    def finished(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state in {"success", "failed"}


def note_of_start(conf: Mapping[str, Any], at: datetime) -> str | None:
    """Return the note of a run that is being triggered, by its conf; None if that does not say who requested it."""
    own = conf.get(CONF_KEY)
    by = own.get("requested_by") if isinstance(own, dict) else None
    return f"{STARTED_BY} {by} at {at.isoformat(timespec='seconds')}" if by else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """A page of runs, newest first, with the cursor of the next page."""

    runs: tuple[DagRun, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Filter of a list of runs."""

    dag_id: str | None = None
    """None for all DAGs."""
    run_id: str | None = None
    states: tuple[DagRunState, ...] = ()
    run_types: tuple[str, ...] = ()
    """Airflow's run types: ``manual``, ``scheduled``, ``backfill``, …"""
    due_from: datetime | None = None
    """The earliest ``run_after``."""
    due_before: datetime | None = None
    ended_from: datetime | None = None
    """The earliest ``end_date``; excludes active runs, which have none."""
    changed_from: datetime | None = None
    """The earliest last change in Airflow's database; runs don't show it. A later mark as success is such a change."""

    def holds(self, run: DagRun) -> bool:
        """Say whether a run matches; Airflow's own filters return more.

        Its id filters match prefixes, and its filters by ``end_date`` treat an active run as ending now.
        """
        return (
            self.dag_id in {None, run.dag_id}
            and self.run_id in {None, run.run_id}
            and (not self.states or run.state in self.states)
            and (not self.run_types or run.run_type in self.run_types)
            and (self.due_from is None or run.run_after >= self.due_from)
            and (self.due_before is None or run.run_after < self.due_before)
            and (self.ended_from is None or (run.end_date is not None and run.end_date >= self.ended_from))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAttempt:
    """The latest attempt of a run's task."""

    dag_id: str
    run_id: str
    state: str | None
    try_number: int
    max_tries: int
    """The maximum number of retries."""
    start_date: datetime | None = None
    end_date: datetime | None = None
    operator: str | None = None
    """The operator class that Airflow has stored for the task."""
    task_id: str = TASK_ID

    @property
    def is_dataset(self) -> bool:
        """Whether it is a dataset's task; True as well where Airflow stored no operator."""
        return self.operator in {None, OPERATOR}

    @property
    def started(self) -> int:
        """Number of started attempts.

        Airflow counts an attempt when it schedules it. One that is ended before its start becomes
        ``skipped``, with equal start and end dates.
        """
        never_started = self.state == "skipped" and self.start_date == self.end_date
        waiting = self.state in {"scheduled", "queued"} or never_started
        return max(self.try_number - 1, 0) if waiting else self.try_number

    def has_begun(self, run: DagRun) -> bool:
        """Return whether an attempt has started since the run was created or retried.

        After a retry, Airflow keeps the row of the last attempt until the next one starts.
        """
        if not self.started or run.state == "queued":
            return False
        return run.start_date is None or self.start_date is None or self.start_date >= run.start_date

    @property
    def ended(self) -> bool:
        """Whether no process runs it, nor will without a retry."""
        return self.state in {"success", "failed", "skipped", "upstream_failed", "removed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVersion:
    """The spec version of a run's latest attempt, which each attempt records first (specification 12.7)."""

    dag_id: str
    run_id: str
    source: str
    spec_hash: str
    try_number: int
    rows: int | None = None
    """How many rows the attempt's query has written; None if that is not known."""

    @classmethod
    def from_xcom_keys(cls, keys: Iterable[tuple[str, str, str]]) -> list[RunVersion]:
        """Read keys such as ``dli.<source>.<hash>.<try>`` and ``dli.rows-<rows>.<try>``; leave others out.

        Args:
            keys: The id of the DAG, the id of the run, and the key of an XCom.
        """
        read = list(keys)
        rows = {
            (dag_id, run_id, found[1]): found[0]
            for dag_id, run_id, key in read
            if (found := read_rows_key(key)) is not None
        }
        versions = ((dag_id, run_id, read_version_key(key)) for dag_id, run_id, key in read)
        return [
            cls(
                dag_id=dag_id,
                run_id=run_id,
                **version._asdict(),
                rows=rows.get((dag_id, run_id, version.try_number)),
            )
            for dag_id, run_id, version in versions
            if version is not None
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """An event in a task's log."""

    message: str
    timestamp: datetime | None = None
    level: str | None = None
    error: str | None = None
    """The exception in the event, in one line."""
    details: tuple[str, ...] = ()
    """Additional lines, such as a traceback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DagImportError:
    """The import error of a DAG file."""

    filename: str
    stack_trace: str
    timestamp: datetime


CANNOT_WAIT = "No triggerer runs in Airflow: a run that waits for other datasets stays PENDING. Start one: airflow triggerer"


@dataclass(frozen=True, slots=True, kw_only=True)
class AirflowHealth:
    """Airflow's version and the health of its components."""

    version: str
    components: Mapping[str, str]
    """The status of ``metadatabase``, ``scheduler``, ``dag_processor`` and ``triggerer``: ``healthy``, or Airflow's
    other words."""
    scheduler_heartbeat: datetime | None = None
    """The last heartbeat of a scheduler; None if there never was one."""

    @property
    def can_wait(self) -> bool:
        """Whether runs can wait for other datasets: only a triggerer lets them go on."""
        return self.components.get("triggerer") == "healthy"

    @property
    def unhealthy(self) -> tuple[str, ...]:
        """The components that runs need and that are not healthy."""
        needed = ("metadatabase", "scheduler", "dag_processor")
        return tuple(name for name in needed if self.components.get(name) != "healthy")
