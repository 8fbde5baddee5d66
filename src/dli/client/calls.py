"""The calls of Basecamp's API, each described once: its route, parameters, body, limits, and model.

A function here returns the :data:`~dli.client.protocol.Steps` of a method that both clients have;
:class:`~dli.client.client.Client` and :class:`~dli.client.async_client.AsyncClient` perform them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dataspec.errors import BackfillNotFound, InvalidUsage, RunNotFound, VersionNotFound
from dataspec.models import (
    AuditEntry,
    Backfill,
    BackfillPreview,
    DatasetLineage,
    DatasetVersions,
    Every,
    Explanation,
    RegisteredDataset,
    RunPreview,
    RunStatus,
    RunType,
    SourceType,
    SyncReport,
    UnregisteredDataset,
    VersionDetails,
    VersionInfo,
    WorkflowGraph,
    WorkflowInfo,
    WorkflowRun,
)
from dataspec.spec.identity import check_name
from dli.client.polling import Polling, follow
from dli.client.protocol import Call, Item, Steps, decode, new_key, unreadable

if TYPE_CHECKING:
    from datetime import date, datetime

    from dli.client.responses import NotificationTest, RunLog, Validation

PAGE = 10_000
"""Number of items to request at once; the server may send fewer."""
STOP_SECONDS = 120.0
"""Time limit of ``stop`` and ``retry``: the server waits until the run's process has ended."""
SYNC_SECONDS = 120.0
"""Time limit of ``sync``: the server may have to read every spec."""
NOTIFICATION_SECONDS = 60.0
"""Time limit of a test of notifications: the server waits for each channel's response."""
LOG_START = "start"
"""The cursor of the first line of a run's log."""

T = TypeVar("T")


class Listing(list[T], Generic[T]):
    """A list from the server, and its warnings: which system did not respond, and how old the data is."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []


# Workflows


def list_workflows(
    *,
    source: SourceType | str | None = None,
    running: bool = False,
    waiting: bool = False,
    enabled_only: bool = False,
    status: str | None = None,
    late: bool = False,
    dataset: str | Iterable[str] | None = None,
) -> Steps[Listing[WorkflowInfo]]:
    """Return every registered dataset, with one item for each of its sources.

    Args:
        source: Only rows of this source.
        running: Only datasets with a run that is executing.
        waiting: Only datasets with a run that waits for other datasets, and what it waits for.
        enabled_only: Only datasets whose schedule is active.
        status: Only datasets whose last result is ``failed``, ``killed`` or ``completed``.
        late: Only datasets with a partition that was not built in time.
        dataset: Only this dataset, or all that match a pattern with ``*``; or several of these.

    Raises:
        DatasetNotFound: When no dataset of that name is registered; a pattern may match none.
    """
    query = {
        "source": source,
        "running": running,
        "waiting": waiting or None,
        "enabled_only": enabled_only,
        "status": status,
        "late": late or None,
        "dataset": _several(dataset),
    }
    return _list(WorkflowInfo, ("workflows",), query)


def get_workflow(name: str, *, source: SourceType | str | None = None) -> Steps[WorkflowInfo]:
    """Return a dataset's row: of the effective source, or of the given one."""
    return _get(WorkflowInfo, "workflows", check_name(name), source=source)


def explain_partition(name: str, partition: str | None = None) -> Steps[Explanation]:
    """Return why a partition of a dataset is there or not, with the upstream partitions that it waits for.

    Args:
        name: The dataset.
        partition: A date or a time, as of ``execution_date``; the last partition that is due if not given.
    """
    return _get(Explanation, "workflows", check_name(name), "why", partition=partition)


def get_graph(dataset: str | None = None) -> Steps[WorkflowGraph]:
    """Return what depends on what among the registered datasets, with the state of each.

    Args:
        dataset: Only this dataset, and all up- and downstream of it.
    """
    return _get(WorkflowGraph, "graph", dataset=check_name(dataset) if dataset else None)


def pause(
    name: str, *, source: SourceType | str | None = None, reason: str | None = None
) -> Steps[WorkflowInfo]:
    """Pause a dataset: no run of it starts until it is resumed. Its ``note`` explains the effect."""
    body = {"source": source} | ({"reason": reason} if reason else {})
    return _post(WorkflowInfo, "workflows", check_name(name), "pause", body=body)


def unpause(name: str, *, source: SourceType | str | None = None) -> Steps[WorkflowInfo]:
    """Resume a paused dataset; refused where there is no pause to clear."""
    return _post(WorkflowInfo, "workflows", check_name(name), "unpause", body={"source": source})


def sync() -> Steps[SyncReport]:
    """Check the store now; return the changes since the last check."""
    return _post(SyncReport, "sync", body={}, timeout=SYNC_SECONDS)


# Runs


def start_run(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    source: SourceType | str | None = None,
    wait_for_upstream: bool = False,
    adopt: bool = False,
    full_refresh: bool = False,
    checks_only: bool = False,
    idempotency_key: str | None = None,
) -> Steps[WorkflowRun]:
    """Start an adhoc run.

    Args:
        name: The dataset.
        parameters: The run's parameters, checked strictly against the spec; dates and times as
            text or as Python has them.
        source: Run the spec of this source; the effective one if not given.
        wait_for_upstream: Wait for missing upstream partitions, as a scheduled run does.
        adopt: Take over a table that the dataset has not built.
        full_refresh: Build the table anew; refused for an incremental dataset, whose backfill can.
        checks_only: Check the rows of the table, and build nothing.
        idempotency_key: Calls with the same key start one run; a new key if not given.
    """
    body = {"parameters": dict(parameters or {}), "source": source, "dry_run": False}
    body |= _given(
        wait_for_upstream=wait_for_upstream, adopt=adopt, full_refresh=full_refresh, checks_only=checks_only
    )
    return _post(WorkflowRun, "workflows", check_name(name), "runs", body=body, key=idempotency_key)


def preview_run(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    source: SourceType | str | None = None,
    wait_for_upstream: bool = False,
    adopt: bool = False,
    full_refresh: bool = False,
    yaml: str | None = None,
    files: Mapping[str, str] | None = None,
    file: str | None = None,
) -> Steps[RunPreview]:
    """Preview a run: its parameters, SQL, and tables read and written. Nothing starts.

    Args:
        name: The dataset.
        parameters: The run's parameters, checked strictly against the spec; dates and times as
            text or as Python has them.
        source: Preview the spec of this source; the effective one if not given.
        wait_for_upstream: As for :meth:`start_run`: no warning names what is missing.
        adopt: As for :meth:`start_run`.
        full_refresh: As for :meth:`start_run`.
        yaml: Preview this spec, registered or not, instead of the registered one.
        files: The text of each SQL file of that spec, by its path in the spec.
        file: The YAML's name on this machine, for problems.
    """
    body = {"parameters": dict(parameters or {}), "source": source, "dry_run": True}
    body |= _spec(yaml, files, file) | _given(
        wait_for_upstream=wait_for_upstream, adopt=adopt, full_refresh=full_refresh
    )
    return _post(RunPreview, "workflows", check_name(name), "runs", body=body)


def list_runs(
    *,
    dataset: str | Iterable[str] | None = None,
    source: SourceType | str | None = None,
    status: RunStatus | str | Iterable[RunStatus | str] | None = None,
    run_type: RunType | str | Iterable[RunType | str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    partition: str | None = None,
    limit: int = 20,
) -> Steps[Listing[WorkflowRun]]:
    """Return the runs that match every filter, newest first, at most ``limit``.

    ``dataset``, ``status`` and ``run_type`` may be several: a run matches if it has any of them. ``partition`` is a
    date or a time, such as ``2024-01-15T13:00``, that the run's partition covers.
    """
    query = {
        "dataset": _several(dataset),
        "source": source,
        "status": _several(status),
        "run_type": _several(run_type),
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
        "partition": partition,
    }
    return _list(WorkflowRun, ("runs",), query, limit=limit)


def get_run(run_id: str, *, dataset: str | None = None) -> Steps[WorkflowRun]:
    """Return one run.

    Args:
        run_id: Its id.
        dataset: Its dataset, for run ids that Airflow made: these are unique only within a dataset.
    """
    return _get(WorkflowRun, "runs", _checked_run_id(run_id), dataset=dataset)


def stop_run(run_id: str, *, reason: str | None = None, dataset: str | None = None) -> Steps[WorkflowRun]:
    """Stop a run; returns when its query is cancelled and its process gone.

    A run that has ended is returned unchanged.
    """
    path = ("runs", _checked_run_id(run_id), "stop")
    query = {"dataset": dataset}
    return _post(WorkflowRun, *path, query=query, body={"reason": reason}, timeout=STOP_SECONDS)


def get_log(
    run_id: str,
    *,
    attempt: int | None = None,
    cursor: str | None = None,
    dataset: str | None = None,
) -> Steps[RunLog]:
    """Return the log of one attempt of a run, by default the last one.

    Args:
        run_id: The run.
        attempt: The attempt's number.
        cursor: Only the lines after it, through all attempts: an earlier log's ``next_cursor``,
            or ``start`` for the first line of the first attempt.
        dataset: Its dataset, for run ids that Airflow made.
    """
    from dli.client.responses import RunLog

    path = ("runs", _checked_run_id(run_id), "logs")
    return _get(RunLog, *path, attempt=attempt, cursor=cursor, dataset=dataset)


def retry_run(
    run_id: str, *, dataset: str | None = None, idempotency_key: str | None = None
) -> Steps[WorkflowRun]:
    """Retry a failed or killed run: with the same id and parameters, and the spec that is effective now.

    Args:
        run_id: The run.
        dataset: Its dataset, for run ids that Airflow made.
        idempotency_key: Calls with the same key retry once; a new key if not given.

    Raises:
        Refused: When the run is active or has completed, or its dataset was removed.
        Paused: When its dataset is paused.
    """
    path = ("runs", _checked_run_id(run_id), "retry")
    query = {"dataset": dataset}
    return _post(WorkflowRun, *path, query=query, key=idempotency_key, timeout=STOP_SECONDS)


def follow_run(
    run_id: str,
    *,
    dataset: str | None = None,
    interval_seconds: float = 1.0,
    timeout_seconds: float | None = None,
) -> Steps[WorkflowRun | None]:
    """Yield a run's state again and again until the run has ended, or until the timeout.

    The last state shows which. A server that stops responding is polled for another minute.

    Args:
        run_id: The run.
        dataset: Its dataset, for run ids that Airflow made.
        interval_seconds: The longest pause between two polls.
        timeout_seconds: When to stop, whatever the run does; never if not given.
    """
    call = partial(get_run, run_id, dataset=dataset)
    return follow(call, interval_seconds=interval_seconds, timeout_seconds=timeout_seconds)


def wait(
    run_id: str,
    *,
    dataset: str | None = None,
    interval_seconds: float = 1.0,
    timeout_seconds: float | None = None,
) -> Steps[WorkflowRun]:
    """Wait until a run has ended, and return it; its ``status`` says how it ended.

    Raises:
        TimeoutError: When it has not ended in time; the run continues.
    """
    call = partial(get_run, run_id, dataset=dataset)
    run = yield from follow(call, interval_seconds=interval_seconds, timeout_seconds=timeout_seconds)
    if run is None:
        raise TimeoutError(f"The run '{run_id}' has not finished yet; it keeps running.")
    return run


def follow_log(
    run_id: str,
    *,
    cursor: str = LOG_START,
    dataset: str | None = None,
    interval_seconds: float = 1.0,
    timeout_seconds: float | None = None,
) -> Steps[RunLog | None]:
    """Yield the lines of a run's log as they come, through all its attempts, until the run has ended.

    Each line comes once, in pieces of one attempt. The log of a run that has not started yet begins when it
    starts. A server that stops responding is polled for another minute.

    Args:
        run_id: The run.
        cursor: Where to begin: the ``next_cursor`` of an earlier piece, or the first line.
        dataset: Its dataset, for run ids that Airflow made.
        interval_seconds: The longest pause between two polls.
        timeout_seconds: When to stop, whatever the run does; never if not given.
    """
    polling = Polling(interval_seconds, timeout_seconds)
    following: str | None = cursor
    while following:
        log = yield from polling.poll(get_log(run_id, cursor=following, dataset=dataset))
        if log is not None:
            following = log.next_cursor
            if log.lines:
                yield Item(log)
            if log.more or not following:
                continue
        if not (yield from polling.pause()):
            break
    return None


# Backfills


def start_backfill(
    name: str,
    start: date | str,
    end: date | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    source: SourceType | str | None = None,
    every: Every = "partition",
    reverse: bool = False,
    keep_going: bool = False,
    resume: bool = False,
    missing: bool = False,
    wait_for_upstream: bool = False,
    adopt: bool = False,
    full_refresh: bool = False,
    with_upstream: bool = False,
    with_downstream: bool = False,
    idempotency_key: str | None = None,
) -> Steps[Backfill]:
    """Build each partition of a dataset that starts in a range of dates, one after another, on the server.

    Args:
        name: The dataset.
        start: The first date; also ``today``, ``yesterday`` or ``7d`` (seven days ago), by the clock of the
            schedule's zone.
        end: The last date, in the same way.
        parameters: The parameters of every run, besides its ``execution_date``.
        source: The source of the spec; refused unless it is the effective one.
        every: ``partition`` for every partition that starts in the range, or ``day`` for every date.
        reverse: Begin with the last date.
        keep_going: Continue after a date that failed.
        resume: Skip the dates that the last backfill of this range, with these parameters, has built.
        missing: Leave out the partitions that are built, however they were.
        wait_for_upstream: Each run waits for missing upstream partitions, as a scheduled run does.
        adopt: Take over a table that the dataset has not built.
        full_refresh: Fill a new table, which replaces the old one after the last partition.
        with_upstream: Build all upstream datasets as well, in the order of the graph.
        with_downstream: Build all downstream datasets as well, in the order of the graph.
        idempotency_key: Calls with the same key start one backfill; a new key if not given.

    Raises:
        BackfillActive: When a backfill of one of its datasets is active.
        Paused: When one of its datasets is paused.
    """
    options = {"every": every, "reverse": reverse, "keep_going": keep_going, "resume": resume}
    body = _backfill(start, end, parameters, source) | options
    body |= _given(
        missing=missing,
        wait_for_upstream=wait_for_upstream,
        adopt=adopt,
        full_refresh=full_refresh,
        with_upstream=with_upstream,
        with_downstream=with_downstream,
    )
    return _post(Backfill, "workflows", check_name(name), "backfills", body=body, key=idempotency_key)


def preview_backfill(
    name: str,
    start: date | str,
    end: date | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    source: SourceType | str | None = None,
    every: Every = "partition",
    reverse: bool = False,
    resume: bool = False,
    missing: bool = False,
    wait_for_upstream: bool = False,
    adopt: bool = False,
    full_refresh: bool = False,
    with_upstream: bool = False,
    with_downstream: bool = False,
    yaml: str | None = None,
    files: Mapping[str, str] | None = None,
    file: str | None = None,
) -> Steps[BackfillPreview]:
    """Preview a backfill: its partitions, and the SQL of the dataset's first and last. Nothing starts.

    The spec may be sent along, as for :meth:`preview_run`.
    """
    options = {"every": every, "reverse": reverse, "resume": resume, "dry_run": True}
    body = _backfill(start, end, parameters, source) | options | _spec(yaml, files, file)
    body |= _given(
        missing=missing,
        wait_for_upstream=wait_for_upstream,
        adopt=adopt,
        full_refresh=full_refresh,
        with_upstream=with_upstream,
        with_downstream=with_downstream,
    )
    return _post(BackfillPreview, "workflows", check_name(name), "backfills", body=body)


def get_backfill(backfill_id: str) -> Steps[Backfill]:
    """Return one backfill."""
    return _get(Backfill, "backfills", _checked_backfill_id(backfill_id))


def list_backfills(
    *, dataset: str | None = None, active: bool | None = None, limit: int = 20
) -> Steps[Listing[Backfill]]:
    """Return the newest backfills first, at most ``limit``.

    Args:
        dataset: Only backfills that build this dataset, chains among them.
        active: True for active backfills, False for ended ones; both if not given.
        limit: Maximum number of backfills.
    """
    words = None if active is None else str(active).lower()
    query = {"dataset": dataset, "active": words}
    return _list(Backfill, ("backfills",), query, limit=limit)


def stop_backfill(backfill_id: str, *, reason: str | None = None) -> Steps[Backfill]:
    """Stop a backfill; returns when its run's query is cancelled and no further run will start.

    A backfill that has ended is returned unchanged.
    """
    path = ("backfills", _checked_backfill_id(backfill_id), "stop")
    return _post(Backfill, *path, body={"reason": reason}, timeout=STOP_SECONDS)


def follow_backfill(
    backfill_id: str, *, interval_seconds: float = 1.0, timeout_seconds: float | None = None
) -> Steps[Backfill | None]:
    """Yield a backfill's state again and again until it has ended, or until the timeout, as for a run."""
    call = partial(get_backfill, backfill_id)
    return follow(call, interval_seconds=interval_seconds, timeout_seconds=timeout_seconds)


def wait_backfill(
    backfill_id: str, *, interval_seconds: float = 1.0, timeout_seconds: float | None = None
) -> Steps[Backfill]:
    """Wait until a backfill has ended, and return it; its ``status`` says how it ended.

    Raises:
        TimeoutError: When it has not ended in time; the backfill continues.
    """
    call = partial(get_backfill, backfill_id)
    backfill = yield from follow(call, interval_seconds=interval_seconds, timeout_seconds=timeout_seconds)
    if backfill is None:
        raise TimeoutError(f"The backfill '{backfill_id}' has not finished yet; it keeps running.")
    return backfill


# Notifications


def list_audit_entries(
    *,
    dataset: str | None = None,
    user: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
) -> Steps[Listing[AuditEntry]]:
    """Return who changed what, newest first, at most ``limit``.

    Args:
        dataset: Only changes of this dataset.
        user: Only changes by this caller, by name or identity.
        since: Only changes since this time.
        limit: Maximum number of entries.
    """
    query = {"dataset": dataset, "user": user, "since": since.isoformat() if since else None}
    return _list(AuditEntry, ("audit",), query, limit=limit)


def test_notifications(
    name: str,
    *,
    event: str | None = None,  # noqa: PT028 - not a test
) -> Steps[NotificationTest]:
    """Send a test message through each channel of a dataset, or to a target of the server's settings.

    Args:
        name: The dataset, or the target.
        event: Only the channels of one event, such as ``on_failure`` or ``on_late``.
    """
    from dli.client.responses import NotificationTest

    body = {"name": name, "event": event}
    return _post(NotificationTest, "notifications", "test", body=body, timeout=NOTIFICATION_SECONDS)


# Specs


def list_datasets(*, source: SourceType | str | None = None) -> Steps[Listing[RegisteredDataset]]:
    """Return every registered spec."""
    return _list(RegisteredDataset, ("datasets",), {"source": source})


def get_dataset(name: str, *, source: SourceType | str | None = None) -> Steps[RegisteredDataset]:
    """Return a dataset's spec: the effective one, or that of the given source."""
    return _get(RegisteredDataset, "datasets", check_name(name), source=source)


def get_lineage(name: str, *, source: SourceType | str | None = None) -> Steps[DatasetLineage]:
    """Return where the columns of a dataset come from: of the effective spec, or of the given source's."""
    return _get(DatasetLineage, "datasets", check_name(name), "lineage", source=source)


def register(
    name: str,
    yaml: str,
    files: Mapping[str, str],
    *,
    file: str | None = None,
    accept_override: bool = False,
    accept_dependents: bool = False,
    wait_seconds: float = 60,
    if_match: str | None = None,
) -> Steps[RegisteredDataset]:
    """Register a spec as manual, or replace the manual one of that name.

    Args:
        name: The ``name`` inside the YAML.
        yaml: The YAML, stored unchanged.
        files: The text of each SQL file, by its path in the spec.
        file: The YAML's name on this machine, for problems.
        accept_override: Register even if code has a spec of that name.
        accept_dependents: Register even if other datasets would wait in vain.
        wait_seconds: How long the server waits for Airflow to load it, 0 to 120.
        if_match: The expected ETag of the manual spec; refused if it has another. An empty one: refused if there
            is a manual spec.
    """
    body = {
        "yaml": yaml,
        "files": dict(files),
        "accept_override": accept_override,
        "accept_dependents": accept_dependents,
        "file": file,
    }
    call = Call(
        "PUT",
        ("datasets", check_name(name)),
        query={"wait": f"{wait_seconds:g}"},
        body=body,
        headers={"Idempotency-Key": new_key()} | _if_match(if_match),
        more_seconds=wait_seconds,
    )
    return _result(RegisteredDataset, call)


def update(
    name: str,
    *,
    cron: str | None = None,
    timezone: str | None = None,
    enabled: bool | None = None,
    catch_up: bool | None = None,
    retry_max_attempts: int | None = None,
    retry_delay_seconds: int | None = None,
    source: SourceType | str | None = None,
    accept_dependents: bool = False,
    wait_seconds: float = 60,
    if_match: str | None = None,
) -> Steps[RegisteredDataset]:
    """Change the schedule in a manual spec, in place: comments and order stay.

    Args:
        name: The dataset.
        cron: A new cron; None, here and below, leaves the value as it is.
        timezone: A new time zone.
        enabled: Whether the schedule is on.
        catch_up: Whether every missed partition is built after a pause, and not the latest alone.
        retry_max_attempts: The number of retries.
        retry_delay_seconds: The seconds between them.
        source: ``manual`` for the overridden manual spec of a dataset that is in code too.
        accept_dependents: Change it even if other datasets would wait in vain.
        wait_seconds: How long the server waits for Airflow to load it, 0 to 120.
        if_match: The expected ETag of the manual spec; refused if it has another.
    """
    body = {
        "cron": cron,
        "timezone": timezone,
        "enabled": enabled,
        "catch_up": catch_up,
        "retry_max_attempts": retry_max_attempts,
        "retry_delay_seconds": retry_delay_seconds,
        "accept_dependents": accept_dependents,
        "source": source,
    }
    call = Call(
        "PATCH",
        ("datasets", check_name(name)),
        query={"wait": f"{wait_seconds:g}"},
        body=body,
        headers={"Idempotency-Key": new_key()} | _if_match(if_match),
        more_seconds=wait_seconds,
    )
    return _result(RegisteredDataset, call)


def unregister(
    name: str,
    *,
    source: SourceType | str | None = None,
    stop: bool = False,
    accept_active: bool = False,
    accept_dependents: bool = False,
    reason: str | None = None,
    if_match: str | None = None,
) -> Steps[UnregisteredDataset]:
    """Remove a manual spec; the history of its runs stays.

    Args:
        name: The dataset.
        source: ``manual`` for the overridden manual spec of a dataset that is in code too.
        stop: Stop the active runs.
        accept_dependents: Remove it even if other datasets depend on it.
        accept_active: Let active runs finish; without it, or ``stop``, active runs refuse the removal.
        reason: Why, for the audit log and the notes of stopped runs.
        if_match: The expected ETag of the manual spec; refused if it has another.
    """
    call = Call(
        "DELETE",
        ("datasets", check_name(name)),
        query={
            "source": source,
            "stop": stop,
            "accept_active": accept_active,
            "accept_dependents": accept_dependents,
            "reason": reason,
        },
        headers={"Idempotency-Key": new_key()} | _if_match(if_match),
        timeout_seconds=STOP_SECONDS if stop else None,
    )
    return _result(UnregisteredDataset, call)


def get_versions(name: str) -> Steps[DatasetVersions]:
    """Return a dataset's current versions: manual, code, and the one that Airflow has loaded."""
    path = ("datasets", check_name(name), "versions")
    try:
        return (yield from _get(DatasetVersions, *path, limit=0))
    except InvalidUsage:  # a server of version 0.1 knows no limit, and no list
        return (yield from _get(DatasetVersions, *path))


def list_versions(name: str, *, limit: int = 20) -> Steps[Listing[VersionInfo]]:
    """Return the versions of a dataset that the server keeps, at most ``limit``.

    The registered ones come first, then the others, the newest first.
    """
    return _list(VersionInfo, ("datasets", check_name(name), "versions"), {}, limit=limit)


def get_version(name: str, version: str) -> Steps[VersionDetails]:
    """Return one version of a dataset with its YAML and SQL.

    Args:
        name: The dataset.
        version: The first digits of the version's hash, or all.

    Raises:
        VersionNotFound: When the dataset has no such version.
        AmbiguousVersion: When several versions begin with these digits.
    """
    return _get(VersionDetails, "datasets", check_name(name), "versions", _checked_version(name, version))


def rollback(
    name: str,
    version: str,
    *,
    accept_override: bool = False,
    accept_dependents: bool = False,
    reason: str | None = None,
    wait_seconds: float = 60,
    if_match: str | None = None,
) -> Steps[RegisteredDataset]:
    """Register an earlier version of a manual spec again, YAML and SQL.

    Args:
        name: The dataset.
        version: The first digits of the version's hash, or all.
        accept_override: Register it even if code has a spec of that name.
        accept_dependents: Register it even if other datasets would wait in vain.
        reason: Why, for the audit log.
        wait_seconds: How long the server waits for Airflow to load it, 0 to 120.
        if_match: The expected ETag of the manual spec; refused if it has another. An empty one: refused if there
            is a manual spec.

    Raises:
        ManagedByCode: When code has the dataset, and manual has no file of it.
        VersionNotFound: When the dataset has no such version.
        AmbiguousVersion: When several versions begin with these digits.
    """
    body = {
        "version": _checked_version(name, version),
        "accept_override": accept_override,
        "accept_dependents": accept_dependents,
        "reason": reason,
    }
    call = Call(
        "POST",
        ("datasets", check_name(name), "rollback"),
        query={"wait": f"{wait_seconds:g}"},
        body=body,
        headers={"Idempotency-Key": new_key()} | _if_match(if_match),
        more_seconds=wait_seconds,
    )
    return _result(RegisteredDataset, call)


def validate(yaml: str, files: Mapping[str, str], *, file: str | None = None) -> Steps[Validation]:
    """Validate a spec on the server; nothing is stored."""
    from dli.client.responses import Validation

    body = {"yaml": yaml, "files": dict(files), "file": file}
    return _post(Validation, "datasets", "validate", body=body)


def _result(kind: type[T], call: Call) -> Steps[T]:
    return decode(kind, (yield call))


def _get(kind: type[T], *path: str, **query: Any) -> Steps[T]:
    return _result(kind, Call("GET", path, query))


def _post(
    kind: type[T],
    *path: str,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    key: str | None = None,
    timeout: float | None = None,
) -> Steps[T]:
    """Send a POST with an idempotency key: a repeated one acts once."""
    headers = {"Idempotency-Key": key or new_key()}
    return decode(kind, (yield Call("POST", path, query or {}, body, headers, timeout)))


def _list(
    kind: type[T], path: tuple[str, ...], query: Mapping[str, Any], *, limit: int | None = None
) -> Steps[Listing[T]]:
    """Return a list's items over all its pages, or the first ``limit``."""
    listing: Listing[T] = Listing()
    cursor = None
    while True:
        left = PAGE if limit is None else min(PAGE, limit - len(listing))
        page = yield Call("GET", path, {**query, "limit": left, "cursor": cursor})
        if not isinstance(page, dict) or not isinstance(page.get("items"), list):
            raise unreadable(f"{path[-1]}: there are no items in it")
        listing.extend(decode(kind, item) for item in page["items"][:left])
        listing.warnings += [text for text in page.get("warnings", ()) if text not in listing.warnings]
        cursor = page.get("next_cursor")
        if not cursor or (limit is not None and len(listing) >= limit):
            return listing


def _several(values: str | Iterable[str] | None) -> str | None:
    """Return the value of a filter that takes several, separated by commas."""
    return values if values is None or isinstance(values, str) else ",".join(values)


def _if_match(etag: str | None) -> dict[str, str]:
    """Return the header of a condition: an ETag, an empty one for no object at all, or None for no condition."""
    if etag is None:
        return {}
    return {"If-Match": etag} if etag else {"If-None-Match": "*"}


def _spec(yaml: str | None, files: Mapping[str, str] | None, file: str | None) -> dict[str, Any]:
    """Return the part of a preview's body with the spec to preview; empty for the registered one."""
    return {} if yaml is None else {"spec": {"yaml": yaml, "files": dict(files or {}), "file": file}}


def _backfill(
    start: date | str,
    end: date | str,
    parameters: Mapping[str, Any] | None,
    source: SourceType | str | None,
) -> dict[str, Any]:
    given = dict(parameters or {})
    return {"start": str(start), "end": str(end), "parameters": given, "source": source}


def _given(**options: bool) -> dict[str, bool]:
    """Return the options that are given: an earlier server refuses keys that it does not know."""
    return {name: True for name, given in options.items() if given}


def _checked_version(name: str, version: str) -> str:
    if not version.isalnum():
        raise VersionNotFound(name, version, [])
    return version


def _checked_run_id(run_id: str) -> str:
    if not run_id.strip() or run_id in {".", ".."}:
        raise InvalidUsage(f"Invalid run id '{run_id}'.", detail="List runs with: dli workflow history")
    if "/" in run_id:
        raise RunNotFound(run_id)
    return run_id


def _checked_backfill_id(backfill_id: str) -> str:
    try:
        return _checked_run_id(backfill_id)
    except RunNotFound:
        raise BackfillNotFound(backfill_id) from None
