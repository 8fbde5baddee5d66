"""What the server says of workflows and runs: the data model (specification 19.7).

The same names in the API, in ``--format json`` and in the client. Plain dataclasses,
so that a quick command reads them without loading a validation library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

RunType = Literal["adhoc", "scheduled", "backfill"]
Every = Literal["day", "schedule"]
"""Which dates of a range a backfill builds: all, or those on which an interval of the schedule starts."""


class SourceType(StrEnum):
    """Where a registered spec comes from (specification 1.2)."""

    MANUAL = "manual"
    CODE = "code"


class WorkflowStatus(StrEnum):
    """What the schedule of a registered spec does (specification 7.1)."""

    ACTIVE = "active"
    PAUSED = "paused"
    OVERRIDDEN = "overridden"
    INVALID = "invalid"


class RunStatus(StrEnum):
    """How far a run is (specification 12.5)."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def finished(self) -> bool:
        """Whether the run has ended, well or not."""
        return self not in {RunStatus.PENDING, RunStatus.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInfo:
    """One row of ``dli workflow list``: a dataset in one source."""

    dataset_name: str
    source_type: SourceType
    status: WorkflowStatus
    cron: str | None = None
    """None for a spec without a schedule (specification 7.8)."""
    timezone: str | None = None
    next_run: datetime | None = None
    """When Airflow starts the next scheduled run; None if it won't."""
    overridden_by: SourceType | None = None
    enabled: bool = True
    """``schedule.enabled`` of the spec."""
    paused: bool = False
    """Whether a person paused the dataset."""
    owner: str | None = None
    team: str | None = None
    description: str | None = None
    tags: list[str] = field(default_factory=list)
    spec_hash: str | None = None
    file: str
    """The spec's key in the store."""
    error: str | None = None
    """Why the spec is ``invalid``, with line and column; or which DAG took the dataset over."""
    taken_over_by: str | None = None
    """The file of another DAG with the dataset's id, and its bundle on Airflow 3; None where there is none."""
    note: str | None = None
    running_run_id: str | None = None
    running_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """One run of a dataset."""

    run_id: str
    dataset_name: str
    source_type: SourceType | None = None
    """The source of the spec that the last attempt ran; None before the first started (specification 12.8)."""
    spec_hash: str | None = None
    """The content hash of that spec."""
    status: RunStatus
    run_type: RunType
    parameters: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 0
    """How many attempts have started."""
    max_attempts: int | None = None
    """How many attempts there can be: one more than the spec's retries."""
    error: str | None = None
    """The last line of the error, when the run failed."""
    other_code: bool = False
    """Whether the code of another DAG with the dataset's id ran in it: such a run built nothing, and is
    ``FAILED`` once it has ended, however it ended in Airflow."""
    note: str | None = None
    url: str | None = None
    """The run's page in Airflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredDataset:
    """A registered spec, as ``register`` and ``show --registered`` answer it."""

    name: str
    source_type: SourceType
    file: str
    etag: str
    spec_hash: str
    effective: bool
    loaded: bool
    """Whether Airflow has the DAG of this very spec."""
    yaml: str
    files: dict[str, str] = field(default_factory=dict)
    """The SQL files that the spec names, by the path it names them with."""
    reads: list[str] | None = None
    """The tables of others that its SQL reads; None where nobody looked: only one dataset's answer has it."""
    writes: list[str] | None = None
    """The tables that its SQL makes or changes; None where nobody looked."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnregisteredDataset:
    """What ``unregister`` removed, and what goes on."""

    name: str
    file: str
    """The key of the manual spec that is gone."""
    effective_source: SourceType | None = None
    """Where the spec comes from that Airflow runs from now on; None if there is none any more."""
    stopped_runs: list[str] = field(default_factory=list)
    """The runs that were ended."""
    active_runs: list[str] = field(default_factory=list)
    """The runs that go on to their end."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecVersion:
    """One version of a spec: that of a source as the store has it, or the one that Airflow runs."""

    source_type: SourceType
    file: str
    spec_hash: str | None = None
    """None for a file that can't be used."""
    yaml: str | None = None
    """None where the version is not kept any more."""
    files: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    """Why the file can't be used, with line and column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersions:
    """A dataset's versions, side by side; None for what is not there."""

    name: str
    manual: SpecVersion | None = None
    code: SpecVersion | None = None
    airflow: SpecVersion | None = None
    """The one that Airflow has loaded and runs."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent:
    """What a check of the store found changed in one dataset."""

    dataset_name: str
    change: Literal["added", "changed", "removed", "overridden", "released"]
    """``overridden``: code took over from manual. ``released``: manual took over again from code."""
    source_type: SourceType
    """The source that was added, changed or removed, or that took over."""
    file: str
    """Its key in the store."""
    spec_hash: str | None = None
    """The version that the source has now; None for a removed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a check of the store found (specification 19.5)."""

    checked: int
    """How many specs there are."""
    changes: list[SourceEvent] = field(default_factory=list)
    """What changed since the last check, whoever made that."""
    invalid: list[WorkflowInfo] = field(default_factory=list)
    """The rows of the specs that can't be used."""
    taken_over: list[WorkflowInfo] = field(default_factory=list)
    """The rows of the datasets whose id another DAG has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPreview:
    """What a run would do (``--dry-run``, specification 12.21)."""

    dataset_name: str
    source_type: SourceType
    spec_hash: str
    parameters: dict[str, Any]
    statements: list[str]
    """The SQL as rendered, statement by statement, in the order in which it would run."""
    reads: list[str] = field(default_factory=list)
    """The tables that it reads."""
    writes: list[str] = field(default_factory=list)
    """The tables that it makes, changes or drops."""
    registered: bool = True
    """Whether this is a registered spec, and not one that was sent along."""
    warnings: list[str] = field(default_factory=list)
    """What could not be checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """The runs of a dataset for one date after the other (specification 14.1)."""

    backfill_id: str
    dataset_name: str
    status: RunStatus
    """PENDING until an attempt of its first run has started; FAILED where a date failed."""
    start: str
    """The first date of the range, whichever is built first."""
    end: str
    every: Every = "day"
    dates_total: int
    """How many dates it is to build; those that an earlier one has built are left out when it resumes."""
    dates_done: int = 0
    """How many of them are built."""
    current_date: str | None = None
    """The date that is being built; None once it has ended."""
    current_run_id: str | None = None
    failed_dates: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    """What every run gets beside its ``execution_date``."""
    reverse: bool = False
    keep_going: bool = False
    """Whether it goes on after a date that failed."""
    requested_by: str
    created_at: datetime
    finished_at: datetime | None = None
    error: str | None = None
    """Why it failed, in one line."""
    note: str | None = None
    """What it waits for, or who stopped it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPreview:
    """What a backfill would do (``--dry-run``)."""

    dataset_name: str
    source_type: SourceType
    spec_hash: str
    parameters: dict[str, Any]
    """Those of every run, beside its ``execution_date``."""
    dates: list[str]
    """In the order in which they would be built."""
    first_statements: list[str]
    """The SQL of the first date as rendered, statement by statement."""
    last_statements: list[str]
    """That of the last date."""
    reads: list[str] = field(default_factory=list)
    """The tables that they read."""
    writes: list[str] = field(default_factory=list)
    """The tables that they make, change or drop."""
    registered: bool = True
    """Whether this is a registered spec, and not one that was sent along."""
    warnings: list[str] = field(default_factory=list)
    """What could not be checked."""
