"""Define the data model of the API, of ``--format json`` and of the client (specification 19.7).

Plain dataclasses, which a command reads without loading pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

RunType = Literal["adhoc", "scheduled", "backfill"]
Every = Literal["partition", "schedule", "day"]
"""``schedule`` is another word for ``partition``."""
"""The dates of a backfill: all dates of its range, or those on which an interval of the schedule starts."""

VersionAction = Literal["register", "update", "rollback", "publish"]
"""What wrote a version of a spec to the store."""


IN_AIRFLOW = "in Airflow"
"""Who started or paused something on Airflow's own page, which does not say more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a check of a dataset's rows found (specification 37.12)."""

    name: str
    severity: Literal["error", "warn"]
    status: Literal["passed", "failed", "warned"]
    rows: int | None
    """How many rows fail; for ``row_count`` how many there are; None if the engine could not tell."""
    message: str | None = None
    """What is wrong, and where the check is written; None for a check that passed."""


class SourceType(StrEnum):
    """Where a registered spec comes from (specification 1.2)."""

    MANUAL = "manual"
    CODE = "code"


class WorkflowStatus(StrEnum):
    """The state of a registered spec's schedule (specification 7.1)."""

    ACTIVE = "active"
    PAUSED = "paused"
    OVERRIDDEN = "overridden"
    INVALID = "invalid"


class RunStatus(StrEnum):
    """The state of a run (specification 12.5)."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def finished(self) -> bool:
        """Whether the run has ended, successfully or not."""
        return self not in {RunStatus.PENDING, RunStatus.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """A dataset's last run: the one that was created last (specification 22.37)."""

    run_id: str
    status: RunStatus
    created_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastResult:
    """How the last run of a dataset ended: of those that have ended, the one that ended last (specification 38.16)."""

    run_id: str
    status: RunStatus
    finished_at: datetime
    since: datetime
    """The end of the first of the failures in a row; otherwise the end of the run."""
    failures: int = 0
    """The number of runs that have failed since the last success, 100 at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """The partitions of a dataset that were not built in time (specification 38.7)."""

    partition: str
    """The oldest one."""
    partition_label: str
    """Its name as tables show it."""
    since: datetime
    """From when it is late."""
    partitions: int = 1
    """How many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInfo:
    """One row of ``dli workflow list``: a dataset in one source."""

    dataset_name: str
    source_type: SourceType
    status: WorkflowStatus
    cron: str | None = None
    """None for a spec without a schedule (specification 7.8)."""
    timezone: str | None = None
    follows_upstream: bool = False
    """Whether ``cron`` and ``timezone`` are those of its upstream datasets."""
    next_run: datetime | None = None
    """When Airflow starts the next scheduled run; None if there is none."""
    overridden_by: SourceType | None = None
    enabled: bool = True
    """``schedule.enabled`` of the spec."""
    paused: bool = False
    """Whether a user paused the dataset."""
    paused_by: str | None = None
    """Who paused it; :data:`IN_AIRFLOW` for a pause on Airflow's own page."""
    paused_at: datetime | None = None
    pause_reason: str | None = None
    resumed_by: str | None = None
    """Who resumed it last."""
    resumed_at: datetime | None = None
    registered_by: str | None = None
    """Who registered the manual spec first."""
    registered_at: datetime | None = None
    updated_by: str | None = None
    """Who changed the manual spec last; None if it is as it was registered."""
    updated_at: datetime | None = None
    owner: str | None = None
    team: str | None = None
    description: str | None = None
    tags: list[str] = field(default_factory=list)
    spec_hash: str | None = None
    file: str
    """The spec's key in the store."""
    error: str | None = None
    """Why the spec is ``invalid``, with line and column; or which other DAG has the dataset's id."""
    taken_over_by: str | None = None
    """The file of another DAG with the dataset's id, and its bundle on Airflow 3; None if there is none."""
    note: str | None = None
    running_run_id: str | None = None
    running_since: datetime | None = None
    last_run: LastRun | None = None
    """None for a dataset without a run, and for an overridden or invalid spec."""
    last_result: LastResult | None = None
    """None while no run has ended, and for an overridden or invalid spec."""
    waiting_run_id: str | None = None
    """The oldest run that waits for other datasets."""
    waiting_since: datetime | None = None
    waiting_for: list[WaitingFor] = field(default_factory=list)
    """What that run waits for, in the list of waiting datasets."""
    late: Late | None = None
    """None for a dataset that is not late, or has no deadline."""


WaitState = Literal[
    "pending",
    "running",
    "failed",
    "killed",
    "completed",
    "paused",
    "not_due",
    "missing",
    "unregistered",
    "query",
    "hidden",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingFor:
    """One thing that a waiting run waits for (specification 31.7)."""

    dataset: str | None
    """The upstream dataset; None for a query."""
    partition: str | None = None
    """The upstream partition that is not built; None for a query, and if any partition will do."""
    state: WaitState
    """The state of the upstream run for it. Without one: ``paused`` if the upstream dataset is, ``not_due`` if its run
    is due later, ``missing`` if none will come by itself, or ``unregistered``. ``query`` for a query, ``hidden`` for a
    dataset of another team."""
    run_id: str | None = None
    """The upstream run for it, the last one."""

    @property
    def name(self) -> str:
        """The upstream dataset and its partition; for a query, what it is."""
        if self.dataset is None:
            return "a query that has not returned a row"
        return f"{self.dataset} {self.partition}" if self.partition else self.dataset

    @property
    def needs_help(self) -> bool:
        """Whether it does not come by itself."""
        return self.state in {"failed", "killed", "missing", "paused", "unregistered"}

    @property
    def text(self) -> str:
        """It in one line, with the command that helps if there is one."""
        if self.dataset is None:
            return self.name
        reason, step = _WAITING_TEXTS[self.state]
        if self.state == "missing" and self.partition:
            step += f" -p execution_date={self.partition}"
        command = f" ({step.format(dataset=self.dataset, run_id=self.run_id)})" if step else ""
        return f"{self.name}: {reason.format(run_id=self.run_id)}{command}"


_WAITING_TEXTS: dict[WaitState, tuple[str, str]] = {
    "pending": ("its run {run_id} is pending", "dli workflow status {run_id}"),
    "running": ("its run {run_id} is running", ""),
    "failed": ("its run {run_id} failed", "dli workflow retry {run_id}"),
    "killed": ("its run {run_id} was stopped", "dli workflow retry {run_id}"),
    "completed": ("its run {run_id} is completed, which shows within a minute", ""),
    "paused": ("the dataset is paused", "dli workflow unpause {dataset}"),
    "not_due": ("its run is not due yet", ""),
    "missing": ("no run builds it", "dli workflow run {dataset}"),
    "unregistered": ("the dataset is not registered", "dli dataset register {dataset}"),
    "hidden": ("not built", ""),
}
"""For each state what it means, and the command that helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPartition:
    """What a run builds: a span of time with a name (specification 30.10)."""

    name: str
    """Its ``execution_date``."""
    start: datetime
    """With the offset of the schedule's zone, as is the end."""
    end: datetime


PartitionState = Literal[
    "built",
    "running",
    "pending",
    "waiting",
    "failed",
    "killed",
    "due",
    "not_due",
    "paused",
    "schedule_off",
    "no_schedule",
    "passed_over",
    "before_registration",
    "not_loaded",
    "taken_over",
    "refused",
    "invalid",
]
"""Why a partition is there or not (docs/waiting.md, "Why a partition is not there")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReason:
    """Why a partition of a dataset is built, or not (specification 32.20)."""

    dataset_name: str
    partition: RunPartition | None = None
    """None for a dataset without a schedule, if no partition was asked for: its last run counts."""
    partition_label: str | None = None
    """The partition's name as tables show it."""
    state: PartitionState
    due_at: datetime | None = None
    """When its scheduled run is or was due, with the offset of the schedule's zone."""
    run_id: str | None = None
    """The run that has built it, or the last one that tried to."""
    at: datetime | None = None
    """When the run ended, started or was created; or when the pause began, also of one that a partition was passed
    over in."""
    by: str | None = None
    """Who stopped the run, or paused the dataset."""
    reason: str | None = None
    """The reason that this person gave."""
    error: str | None = None
    """The first line of the error."""
    note: str | None = None
    """What else keeps runs from starting."""
    waiting_for: list[WaitingFor] = field(default_factory=list)
    """What the run waits for."""
    next_step: str | None = None
    """The command that helps."""

    @property
    def name(self) -> str:
        """The dataset and the partition."""
        return f"{self.dataset_name} {self.partition_label}" if self.partition_label else self.dataset_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(PartitionReason):
    """The answer of ``dli workflow why``: a partition, and what it waits for down to the root causes."""

    upstream: list[PartitionReason] = field(default_factory=list)
    """The upstream partitions that it waits for, directly or not, the nearest first."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A registered dataset in the graph of the server, with its state."""

    name: str
    source_type: SourceType
    status: WorkflowStatus
    cron: str | None = None
    next_run: datetime | None = None
    last_result: RunStatus | None = None
    """The result of its last run; None if that is not known."""
    waiting_run_id: str | None = None
    """Its oldest run that waits."""
    waiting_for: list[WaitingFor] = field(default_factory=list)
    """What that run waits for."""
    running_run_id: str | None = None
    missing: list[str] = field(default_factory=list)
    """The names in ``depends_on`` that are not registered."""
    note: str | None = None
    """Why it is invalid, or has no clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """One registered dataset is built from another."""

    upstream: str
    downstream: str
    declared: bool
    """Whether ``depends_on`` names the upstream dataset; runs wait for declared ones alone."""
    tables: list[str] = field(default_factory=list)
    """The upstream dataset's tables that the SQL reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowGraph:
    """The registered datasets, each after those that it is built from, and what depends on what."""

    datasets: list[GraphNode]
    edges: list[GraphEdge]
    cycles: list[list[str]]
    """A shortest cycle of each group of datasets that depend on each other."""
    warnings: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """One run of a dataset."""

    run_id: str
    dataset_name: str
    source_type: SourceType | None = None
    """The source of the last attempt's spec; None before the first attempt (specification 12.8)."""
    spec_hash: str | None = None
    """The hash of that spec."""
    status: RunStatus
    run_type: RunType
    partition: RunPartition | None = None
    """None for a run without ``execution_date`` that was not scheduled."""
    partition_label: str | None = None
    """The partition's name as tables show it, in the schedule's zone: ``2024-01-15`` or ``2024-01-15 13:00``."""
    parameters: dict[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    """How long the last attempt of a run that has ended took, without the time for which the run waited."""
    rows: int | None = None
    """How many rows the query of the last attempt has written; None if the engine did not say."""
    attempts: int = 0
    """Number of attempts started."""
    max_attempts: int | None = None
    """Maximum number of attempts: one more than the spec's retries."""
    error: str | None = None
    """The last line of the error of a failed run."""
    other_code: bool = False
    """Whether another DAG with the dataset's id ran: such a run built nothing, and ends as ``FAILED``, whatever
    its state in Airflow."""
    requested_by: str | None = None
    """Who started it; :data:`IN_AIRFLOW` for a run that began there, None for a scheduled one."""
    stopped_by: str | None = None
    stopped_at: datetime | None = None
    stop_reason: str | None = None
    retried_by: str | None = None
    """Who retried it last."""
    retried_at: datetime | None = None
    backfill_id: str | None = None
    """The backfill that started it."""
    waiting_for: list[WaitingFor] = field(default_factory=list)
    """What it waits for, in the response about one run."""
    checks: list[CheckResult] = field(default_factory=list)
    """What the checks of the last attempt found, in the response about one run that has ended."""
    note: str | None = None
    url: str | None = None
    """The run's page in Airflow."""
    warnings: list[str] = field(default_factory=list)
    """Messages about its partition."""


LOADING_UNKNOWN = "Whether Airflow has loaded the spec is unknown."
"""The end of the warning of a registered spec while Airflow does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredDataset:
    """A registered spec, as ``register`` and ``show --registered`` return it."""

    name: str
    source_type: SourceType
    file: str
    etag: str
    spec_hash: str
    effective: bool
    loaded: bool
    """Whether Airflow has loaded the DAG of this spec version."""
    yaml: str
    files: dict[str, str] = field(default_factory=dict)
    """The text of each SQL file, by its path in the spec."""
    reads: list[str] | None = None
    """The tables of other datasets that its SQL reads; None in lists of datasets, where it is not computed."""
    writes: list[str] | None = None
    """The tables that its SQL creates or changes; None in lists of datasets."""
    warnings: list[str] = field(default_factory=list)

    @property
    def loading_known(self) -> bool:
        """Whether it is known if Airflow has loaded this version."""
        return self.loaded or not any(warning.endswith(LOADING_UNKNOWN) for warning in self.warnings)


@dataclass(frozen=True, slots=True, order=True)
class SourceColumn:
    """A column of a table that a dataset's SQL reads."""

    table: str
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageColumn:
    """A column that a dataset builds."""

    name: str
    type: str | None = None
    """The type under ``schema`` of the spec."""
    description: str | None = None
    """The description under ``schema`` of the spec."""
    sources: list[SourceColumn] = field(default_factory=list)
    """The columns that its values come from."""
    unknown: str | None = None
    """Why it may have other sources, as a sentence; None if these are all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetLineage:
    """The tables that a dataset reads and writes, and where the columns that it builds come from."""

    name: str
    source_type: SourceType | None = None
    """The source of the registered spec; None for a spec of the project."""
    file: str
    reads: list[str]
    """The tables of other datasets that its SQL reads."""
    writes: list[str]
    """The tables that its SQL creates or changes."""
    columns: list[LineageColumn]
    unknown: str | None = None
    """Why it may have other columns, as a sentence; None if these are all."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnregisteredDataset:
    """The result of ``unregister``."""

    name: str
    file: str
    """The key of the removed manual spec."""
    effective_source: SourceType | None = None
    """The source of the spec that is effective now; None if there is none."""
    stopped_runs: list[str] = field(default_factory=list)
    """The runs that were stopped."""
    active_runs: list[str] = field(default_factory=list)
    """The runs that are still active."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecVersion:
    """One version of a spec: a source's version in the store, or the version that Airflow runs."""

    source_type: SourceType
    file: str
    spec_hash: str | None = None
    """None for a file that can't be used."""
    yaml: str | None = None
    """None if the version is no longer archived."""
    files: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    """Why the file can't be used, with line and column."""
    etag: str | None = None
    """The file's ETag, for a conditional write; None for a version that is not in its source any more."""
    written_by: str | None = None
    """Who wrote it; None if unknown, and for a file in code."""
    written_at: datetime | None = None
    action: str | None = None
    """``register``, ``update`` or ``rollback``; None if unknown. An update that was registered again since counts
    as registered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionInfo:
    """One row of ``dli dataset versions``: a version that a source of a dataset has or had."""

    spec_hash: str
    source_type: SourceType | None
    """None for a version that an early release kept without its source."""
    file: str | None
    """The key of the spec's file in the store."""
    registered: bool
    """Whether its source has this version now."""
    effective: bool
    """Whether it is the one that Airflow is to run."""
    loaded: bool
    """Whether it is the one that Airflow has loaded."""
    written_at: datetime | None = None
    """When it was written last; None if that is not known exactly."""
    written_before: datetime | None = None
    """A time by which it was written, where ``written_at`` is None."""
    written_by: str | None = None
    """Who wrote it; None if unknown."""
    action: str | None = None
    """What wrote it: ``register``, ``update``, ``rollback`` or ``publish``; None if unknown."""
    commit: str | None = None
    """The Git commit of a published version."""
    last_run_id: str | None = None
    """The last run of this version, of the dataset's newest 100 runs."""
    last_run_status: RunStatus | None = None
    last_run_at: datetime | None = None
    """When that run started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDetails(VersionInfo):
    """One version of a dataset with its content."""

    name: str
    yaml: str
    files: dict[str, str] = field(default_factory=dict)
    """The text of each SQL file, by its path in the spec."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersions:
    """A dataset's versions: the current ones by source, None for a missing one, and all that are kept."""

    name: str
    manual: SpecVersion | None = None
    code: SpecVersion | None = None
    airflow: SpecVersion | None = None
    """The version that Airflow has loaded."""
    items: list[VersionInfo] = field(default_factory=list)
    """A page of the kept versions: the registered ones, then the others, the newest first."""
    next_cursor: str | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent:
    """A change of one dataset that a check of the store found."""

    dataset_name: str
    change: Literal["added", "changed", "removed", "overridden", "released"]
    """``overridden``: code replaces the manual spec. ``released``: the manual spec is effective again."""
    source_type: SourceType
    """The source that was added, changed or removed, or that is effective now."""
    file: str
    """The spec's key in the store."""
    spec_hash: str | None = None
    """The current version of the source; None for a removed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """The result of a check of the store (specification 19.5)."""

    checked: int
    """Number of specs."""
    changes: list[SourceEvent] = field(default_factory=list)
    """The changes since the last check, by any user or program."""
    invalid: list[WorkflowInfo] = field(default_factory=list)
    """The rows of invalid specs."""
    taken_over: list[WorkflowInfo] = field(default_factory=list)
    """The rows of datasets whose id another DAG has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleGrant:
    """A role that a caller has (specification 26.20)."""

    role: str
    """``viewer``, ``operator``, ``editor`` or ``admin``."""
    teams: list[str] | None = None
    """The teams for whose datasets it is, with their ``@``; None for all datasets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How a server knows the caller (specification 26.23)."""

    name: str
    method: str
    """``token``, ``oidc`` or ``session``; ``open`` on a server without sign-in."""
    grants: list[RoleGrant]
    expires_at: datetime | None = None
    """When the token ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPreview:
    """The preview of a run (``--dry-run``, specification 12.21)."""

    dataset_name: str
    source_type: SourceType
    spec_hash: str
    partition: RunPartition | None = None
    parameters: dict[str, Any]
    statements: list[str]
    """The rendered SQL statements, in the order in which they would run."""
    publishing: list[str] = field(default_factory=list)
    """Of a dataset with a materialization: the statements that stage, check and publish the rows of the query, if its
    table is there and has the query's columns."""
    reads: list[str] = field(default_factory=list)
    """The tables that it reads."""
    writes: list[str] = field(default_factory=list)
    """The tables that it creates, changes or drops."""
    registered: bool = True
    """Whether the spec is a registered one, and not part of the request."""
    warnings: list[str] = field(default_factory=list)
    """Messages for SQL that could not be checked."""


@dataclass(frozen=True, slots=True)
class BackfillPartition:
    """A partition of a backfill, and the id of its run, whether it has begun or not."""

    dataset_name: str
    partition: str
    run_id: str
    partition_label: str = ""
    """The partition's name as tables show it: ``2024-01-15`` or ``2024-01-15 13:00``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """The runs of a dataset, or of a chain of datasets, for successive partitions (specification 14.1, 34.1)."""

    backfill_id: str
    dataset_name: str
    status: RunStatus
    """PENDING until an attempt of its first run has started; FAILED if a date failed."""
    start: str
    """The earliest date of the range."""
    end: str
    every: Every = "partition"
    dates_total: int
    """Number of partitions to build; a backfill that resumes leaves out those that are built."""
    dates_done: int = 0
    """Number of partitions built."""
    already_built: int = 0
    """Number of partitions that it leaves out because they were built before."""
    current_date: str | None = None
    """The name of the partition that is being built; None after the end."""
    current_run_id: str | None = None
    first_partition: BackfillPartition | None = None
    """The earliest partition of ``dataset_name`` that it builds; None if it builds other datasets alone."""
    last_partition: BackfillPartition | None = None
    current_partition: BackfillPartition | None = None
    """What is being built; None after the end. Of what a chain builds side by side the first one, as in all fields
    named so."""
    current_partitions: list[BackfillPartition] = field(default_factory=list)
    """All that is being built; of a chain one partition for each of its datasets whose turn it is."""
    datasets: list[str] = field(default_factory=list)
    """The datasets that it builds, in the order of the graph."""
    current_dataset: str | None = None
    failed_dates: list[str] = field(default_factory=list)
    """The partitions that failed; one of another dataset than ``dataset_name`` with its name in front."""
    failed: list[BackfillPartition] = field(default_factory=list)
    not_built: list[BackfillPartition] = field(default_factory=list)
    """What it has left out because it needs what failed, and after its end what it has not come to."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """The parameters of every run, except ``execution_date``."""
    reverse: bool = False
    keep_going: bool = False
    """Whether it continues after a failed date."""
    adopt: bool = False
    """Whether its runs take over a table that the dataset has not built."""
    full_refresh: bool = False
    """Whether it fills a new table, which replaces the old one after the last partition."""
    requested_by: str
    created_at: datetime
    finished_at: datetime | None = None
    error: str | None = None
    """The reason of the failure, in one line."""
    note: str | None = None
    """What it waits for, or which user stopped it."""
    warnings: list[str] = field(default_factory=list)
    """When it was started: the dates that the schedule leaves out, and upstream partitions that are not built."""

    @property
    def is_chain(self) -> bool:
        """Whether it builds several datasets."""
        return len(self.datasets) > 1

    @property
    def span(self) -> tuple[str, str]:
        """What it builds first and last in time, for people: its range of dates, or partitions finer than a day."""
        first, last = self.first_partition, self.last_partition
        if first is None or last is None or first.partition == first.partition_label:
            return self.start, self.end
        return first.partition_label, last.partition_label

    @property
    def unit(self) -> Literal["dates", "partitions"]:
        """What it counts: the dates of one dataset, or partitions."""
        is_finer = self.first_partition is not None and "T" in self.first_partition.partition
        return "partitions" if self.is_chain or is_finer else "dates"

    def named(self, one: BackfillPartition) -> str:
        """Return a partition for people, in a chain after its dataset."""
        label = one.partition_label or one.partition
        return f"{one.dataset_name} {label}" if self.is_chain else label

    @property
    def current(self) -> str | None:
        """What is being built, for people."""
        if self.current_partitions:
            return ", ".join(map(self.named, self.current_partitions))
        return self.named(self.current_partition) if self.current_partition else self.current_date


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillPreview:
    """The preview of a backfill (``--dry-run``)."""

    dataset_name: str
    source_type: SourceType
    spec_hash: str
    parameters: dict[str, Any]
    """The parameters of every run, except ``execution_date``."""
    dates: list[str]
    """The names of the dataset's partitions, in the order in which they would be built."""
    steps: list[BackfillPartition] = field(default_factory=list)
    """In a chain, the partitions of all datasets in the order in which they would be built."""
    already_built: int = 0
    """Number of partitions that are left out because they are built."""
    to_confirm: list[str] = field(default_factory=list)
    """What a user confirms before it starts, such as that appended rows may be in the table twice."""
    first_statements: list[str]
    """The rendered SQL statements of the first date."""
    last_statements: list[str]
    """The rendered SQL statements of the last date."""
    publishing: list[str] = field(default_factory=list)
    """What stages, checks and publishes the rows of the last date, as in the preview of a run."""
    reads: list[str] = field(default_factory=list)
    """The tables that the statements read."""
    writes: list[str] = field(default_factory=list)
    """The tables that the statements create, change or drop."""
    registered: bool = True
    """Whether the spec is a registered one, and not part of the request."""
    warnings: list[str] = field(default_factory=list)
    """Messages for SQL that could not be checked."""


AuditOutcomeWord = Literal["done", "repeated", "refused", "failed", "unknown"]
"""What became of a change; ``unknown`` if its outcome was never stored: the server may have ended in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An entry of the audit log (specification 26.70)."""

    id: str
    at: datetime
    name: str
    """The caller's name."""
    method: str
    """How the caller was identified; ``open`` without sign-in, ``airflow`` for what began in Airflow."""
    identity: str = ""
    role: str = ""
    action: str
    dataset: str | None = None
    run_id: str | None = None
    backfill_id: str | None = None
    subject: str | None = None
    """What was changed that belongs to no dataset, such as the name of a token."""
    spec_hash_before: str | None = None
    spec_hash_after: str | None = None
    reason: str | None = None
    address: str = ""
    request_id: str = ""
    replica: str = ""
    outcome: AuditOutcomeWord
    finished_at: datetime | None = None
    status: int | None = None
    """The HTTP status of the response."""
    code: str | None = None
    title: str | None = None
    """The error's title."""
    count: int = 1
    """How many refused requests the entry stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginCode:
    """A login that was started: the code that a person confirms on the page (specification 26.60)."""

    user_code: str
    """What the person compares with the page."""
    device_code: str = field(repr=False)
    """The secret with which the result is fetched."""
    verification_uri: str
    """The page that asks for the code."""
    verification_uri_complete: str
    """The same page, with the code filled in."""
    expires_in: int
    """Seconds until the code ends."""
    interval: int
    """Seconds between two fetches of the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResult:
    """The state of a login; the token is given out once."""

    status: Literal["pending", "approved", "denied", "expired"]
    token: str | None = field(default=None, repr=False)
    name: str | None = None
    """The person who approved it."""
    expires_at: datetime | None = None
    """When the token ends."""
