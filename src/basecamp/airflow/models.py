"""What Airflow tells Basecamp, in plain values; the names are Airflow's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from dataspec.contract import OPERATOR, LoadedSpec, is_shard_file, read_version_key

TASK_ID = "run"
"""The one task of a dataset's DAG."""

PAGE_LIMIT = 100
"""The most rows that Airflow puts on one page unless it is set up to put more (``api.maximum_page_limit``)."""

DAG_PAGE_LIMIT = 2000
"""How many DAGs are asked for at once. Each page of them costs Airflow 3 work for every DAG that it has, a second
for ten thousand, so the fewer there are the better; it ends well within the time that an answer may take."""

DagRunState = Literal["queued", "running", "success", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AirflowDag:
    """A DAG."""

    dag_id: str
    is_paused: bool
    is_stale: bool = False
    """Whether it is gone from its bundle; its runs stay readable."""
    next_run: datetime | None = None
    """When the next scheduled run is due."""
    has_import_errors: bool = False
    file: str | None = None
    """The file that Airflow last read it from: within its bundle on Airflow 3, on the machine on Airflow 2."""
    bundle: str | None = None
    """The bundle of that file; None on Airflow 2, which has none."""
    file_token: str | None = field(default=None, repr=False)

    @property
    def is_in_shard(self) -> bool:
        """Whether its file is one that the DAG factory keeps."""
        return self.file is not None and is_shard_file(self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class DagDetails:
    """A DAG with the version of the spec that it was made of."""

    dag: AirflowDag
    loaded: LoadedSpec | None

    @property
    def is_dataset(self) -> bool:
        """Whether the DAG factory made it: another DAG has neither its document nor its file."""
        return self.loaded is not None and self.dag.is_in_shard


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRun:
    """A run, as Airflow keeps it."""

    dag_id: str
    run_id: str
    state: DagRunState
    run_type: str
    """``manual``, ``scheduled``, ``backfill``, ``asset_triggered``, …"""
    run_after: datetime
    """When it was due, or asked for."""
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
        """The DAG and the run's id, which only together are unique."""
        return (self.dag_id, self.run_id)

    @property
    def finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in {"success", "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Some runs, newest first, and where the next page begins."""

    runs: tuple[DagRun, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list."""

    dag_id: str | None = None
    """None for all DAGs."""
    run_id: str | None = None
    states: tuple[DagRunState, ...] = ()
    run_types: tuple[str, ...] = ()
    """Airflow's own: ``manual``, ``scheduled``, ``backfill``, …"""
    due_from: datetime | None = None
    """The earliest ``run_after``."""
    due_before: datetime | None = None
    ended_from: datetime | None = None
    """The earliest ``end_date``; runs that go on have none."""

    def holds(self, run: DagRun) -> bool:
        """Say whether a run is meant: Airflow lists others beside it.

        Its filters for ids match beginnings as well, and to those for ends a run that goes on ends at this moment.
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
    """The number of retries that it may have."""
    start_date: datetime | None = None
    end_date: datetime | None = None
    operator: str | None = None
    """The class of the task's operator, as Airflow last knew it."""

    @property
    def is_dataset(self) -> bool:
        """Whether it is the task of a dataset, as far as Airflow tells."""
        return self.operator in {None, OPERATOR}

    @property
    def started(self) -> int:
        """How many attempts have started.

        Airflow counts an attempt when it schedules it, not when it starts. One that is
        ended before it starts becomes ``skipped``, and starts and ends at one moment.
        """
        never = self.state == "skipped" and self.start_date == self.end_date
        waiting = self.state in {"scheduled", "queued"} or never
        return max(self.try_number - 1, 0) if waiting else self.try_number

    @property
    def ended(self) -> bool:
        """Whether no process works on it any more, nor will without a retry."""
        return self.state in {"success", "failed", "skipped", "upstream_failed", "removed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVersion:
    """The spec that a run's latest attempt ran: its first act is to say so (specification 12.7)."""

    dag_id: str
    run_id: str
    source: str
    spec_hash: str
    try_number: int

    @classmethod
    def from_xcom_key(cls, dag_id: str, run_id: str, key: str) -> RunVersion | None:
        """Read the key ``dli.<source>.<hash>.<try>``; None if it is another."""
        version = read_version_key(key)
        return cls(dag_id=dag_id, run_id=run_id, **version._asdict()) if version else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """One event of a task's log."""

    message: str
    timestamp: datetime | None = None
    level: str | None = None
    error: str | None = None
    """The exception that the event reports, in one line."""
    details: tuple[str, ...] = ()
    """Further lines, such as a traceback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DagImportError:
    """Why a file of DAGs did not load."""

    filename: str
    stack_trace: str
    timestamp: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AirflowHealth:
    """How Airflow's parts say that they are."""

    version: str
    parts: Mapping[str, str]
    """``healthy`` or another word, by part: ``metadatabase``, ``scheduler``, ``dag_processor``."""

    @property
    def unhealthy(self) -> tuple[str, ...]:
        """The parts that runs need and that are not well."""
        needed = ("metadatabase", "scheduler", "dag_processor")
        return tuple(part for part in needed if self.parts.get(part) != "healthy")
