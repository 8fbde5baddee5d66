"""Every call of Basecamp's API, free of I/O: what is sent, and how the answer is read.

Each is a generator that yields a :class:`~dli.client.call.Call`, gets the JSON that it was answered with,
and returns what the caller wants. :class:`~dli.client.client.Client` and
:class:`~dli.client.async_client.AsyncClient` drive the same ones, so that a route is known in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from dataspec.errors import BackfillNotFound, InvalidUsage, RunNotFound
from dataspec.models import (
    Backfill,
    BackfillPreview,
    DatasetVersions,
    Every,
    RegisteredDataset,
    RunPreview,
    RunStatus,
    RunType,
    SourceType,
    SpecVersion,
    SyncReport,
    UnregisteredDataset,
    WorkflowInfo,
    WorkflowRun,
)
from dataspec.spec.names import check_name
from dli.client.call import Call, Listing, Steps, get, new_key, post, read_list
from dli.client.decoding import decode, unreadable

if TYPE_CHECKING:
    from datetime import date, datetime

    from dli.client.responses import NotificationTest, RunLog, Validation

STOP_SECONDS = 120.0
"""How long ``stop`` and ``retry`` may take: the server waits until the run's process is gone."""
SYNC_SECONDS = 120.0
"""How long ``sync`` may take: the server may have to read every spec."""
NOTIFICATION_SECONDS = 60.0
"""How long a test of notifications may take: the server waits for each channel's answer."""
LOG_START = "start"
"""The cursor of the first line of a run's log."""
T = TypeVar("T")


class Calls:
    """The methods that both clients have."""

    # Workflows

    def list_workflows(
        self,
        *,
        source: SourceType | str | None = None,
        running: bool = False,
        enabled_only: bool = False,
        dataset: str | None = None,
    ) -> Steps[Listing[WorkflowInfo]]:
        """Return every registered dataset, one item for each source that it is in.

        Args:
            source: Only those of this source.
            running: Only those that a run is executing of.
            enabled_only: Only those whose schedule is active.
            dataset: Only this dataset, or those that match a pattern with ``*``.
        """
        query = {"source": source, "running": running, "enabled_only": enabled_only, "dataset": dataset}
        return (yield from read_list(WorkflowInfo, "workflows", query))

    def get_workflow(self, name: str, *, source: SourceType | str | None = None) -> Steps[WorkflowInfo]:
        """Return a dataset's effective row, or that of one source."""
        return decode(WorkflowInfo, (yield get("workflows", check_name(name), source=source)))

    def pause(self, name: str, *, source: SourceType | str | None = None) -> Steps[WorkflowInfo]:
        """Pause a dataset: no run of it starts until it is resumed. Its ``note`` says what to know."""
        answer = yield post("workflows", check_name(name), "pause", body={"source": source})
        return decode(WorkflowInfo, answer)

    def unpause(self, name: str, *, source: SourceType | str | None = None) -> Steps[WorkflowInfo]:
        """Resume a paused dataset; refused where there is no pause to clear."""
        answer = yield post("workflows", check_name(name), "unpause", body={"source": source})
        return decode(WorkflowInfo, answer)

    def sync(self) -> Steps[SyncReport]:
        """Have the server check the store now; return what changed since the last check."""
        return decode(SyncReport, (yield post("sync", body={}, timeout=SYNC_SECONDS)))

    # Runs

    def start_run(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        source: SourceType | str | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[WorkflowRun]:
        """Start an adhoc run.

        Args:
            name: The dataset.
            parameters: The run's parameters, checked strictly against the spec; dates and times as
                text or as Python has them.
            source: Run the spec of this source; the effective one if not given.
            idempotency_key: Calls with one key start one run; a new key if not given.
        """
        answer = yield _run(name, parameters, source, dry_run=False, key=idempotency_key)
        return decode(WorkflowRun, answer)

    def preview_run(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        source: SourceType | str | None = None,
        yaml: str | None = None,
        files: Mapping[str, str] | None = None,
        file: str | None = None,
    ) -> Steps[RunPreview]:
        """Return what a run would do, parameters, SQL, tables read and written, and start nothing.

        Args:
            name: The dataset.
            parameters: The run's parameters, checked strictly against the spec; dates and times as
                text or as Python has them.
            source: Try the spec of this source; the effective one if not given.
            yaml: Try this spec, registered or not, in place of the registered one.
            files: The text of each SQL file of that spec, by the path that it names it with.
            file: The YAML's name on this machine, for problems.
        """
        spec = _sent(yaml, files, file)
        return decode(RunPreview, (yield _run(name, parameters, source, dry_run=True, spec=spec)))

    def list_runs(
        self,
        *,
        dataset: str | None = None,
        source: SourceType | str | None = None,
        status: RunStatus | str | None = None,
        run_type: RunType | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
    ) -> Steps[Listing[WorkflowRun]]:
        """Return the newest runs first, at most ``limit``, of those that fit every filter given."""
        query = {
            "dataset": dataset,
            "source": source,
            "status": status,
            "run_type": run_type,
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
        }
        return (yield from read_list(WorkflowRun, "runs", query, limit=limit))

    def get_run(self, run_id: str, *, dataset: str | None = None) -> Steps[WorkflowRun]:
        """Return one run.

        Args:
            run_id: Its id.
            dataset: Its dataset, for ids that Airflow made: those are unique in a dataset only.
        """
        return decode(WorkflowRun, (yield get("runs", _checked_run_id(run_id), dataset=dataset)))

    def stop_run(
        self, run_id: str, *, reason: str | None = None, dataset: str | None = None
    ) -> Steps[WorkflowRun]:
        """Stop a run; returns when its query is cancelled and its process gone.

        A run that has ended is returned as it ended.
        """
        path = ("runs", _checked_run_id(run_id), "stop")
        answer = yield post(*path, query={"dataset": dataset}, body={"reason": reason}, timeout=STOP_SECONDS)
        return decode(WorkflowRun, answer)

    def get_log(
        self,
        run_id: str,
        *,
        attempt: int | None = None,
        cursor: str | None = None,
        dataset: str | None = None,
    ) -> Steps[RunLog]:
        """Return the log of one attempt of a run; of the last one if not given.

        Args:
            run_id: The run.
            attempt: Which attempt's.
            cursor: Only the lines after it, through all attempts: an earlier log's ``next_cursor``,
                or ``start`` for the first line of the first attempt.
            dataset: Its dataset, for ids that Airflow made.
        """
        from dli.client.responses import RunLog

        path = ("runs", _checked_run_id(run_id), "logs")
        return decode(RunLog, (yield get(*path, attempt=attempt, cursor=cursor, dataset=dataset)))

    def retry_run(
        self, run_id: str, *, dataset: str | None = None, idempotency_key: str | None = None
    ) -> Steps[WorkflowRun]:
        """Run a failed or killed run again: same id and parameters, the spec that is effective by then.

        Args:
            run_id: The run.
            dataset: Its dataset, for ids that Airflow made.
            idempotency_key: Calls with one key retry once; a new key if not given.

        Raises:
            Refused: When the run is active or has completed, or its dataset was removed.
            Paused: When its dataset is paused.
        """
        path = ("runs", _checked_run_id(run_id), "retry")
        answer = yield post(
            *path, query={"dataset": dataset}, body=None, key=idempotency_key, timeout=STOP_SECONDS
        )
        return decode(WorkflowRun, answer)

    # Backfills

    def start_backfill(
        self,
        name: str,
        start: date | str,
        end: date | str,
        parameters: Mapping[str, Any] | None = None,
        *,
        source: SourceType | str | None = None,
        every: Every = "day",
        reverse: bool = False,
        keep_going: bool = False,
        resume: bool = False,
        idempotency_key: str | None = None,
    ) -> Steps[Backfill]:
        """Build a dataset for each date of a range, one after the other; the server does it.

        Args:
            name: The dataset.
            start: The first date.
            end: The last date.
            parameters: What every run gets beside its ``execution_date``.
            source: Refused where this is not the source that runs.
            every: ``schedule`` for the dates alone on which an interval of the schedule starts.
            reverse: Begin with the last date.
            keep_going: Go on after a date that failed.
            resume: Leave out what the last backfill of this range, with these parameters, has built.
            idempotency_key: Calls with one key start one backfill; a new key if not given.

        Raises:
            BackfillActive: When a backfill of the dataset goes on.
            Paused: When the dataset is paused.
        """
        options = {"every": every, "reverse": reverse, "keep_going": keep_going, "resume": resume}
        body = _backfill(start, end, parameters, source) | options
        answer = yield post("workflows", check_name(name), "backfills", body=body, key=idempotency_key)
        return decode(Backfill, answer)

    def preview_backfill(
        self,
        name: str,
        start: date | str,
        end: date | str,
        parameters: Mapping[str, Any] | None = None,
        *,
        source: SourceType | str | None = None,
        every: Every = "day",
        reverse: bool = False,
        resume: bool = False,
        yaml: str | None = None,
        files: Mapping[str, str] | None = None,
        file: str | None = None,
    ) -> Steps[BackfillPreview]:
        """Return what a backfill would do, its dates and the SQL of the first and the last; start nothing.

        The spec may be sent along, as for :meth:`preview_run`.
        """
        spec = _sent(yaml, files, file)
        options = {"every": every, "reverse": reverse, "resume": resume, "dry_run": True, "spec": spec}
        body = _backfill(start, end, parameters, source) | options
        return decode(BackfillPreview, (yield post("workflows", check_name(name), "backfills", body=body)))

    def get_backfill(self, backfill_id: str) -> Steps[Backfill]:
        """Return one backfill."""
        return decode(Backfill, (yield get("backfills", _checked_backfill_id(backfill_id))))

    def list_backfills(
        self, *, dataset: str | None = None, active: bool | None = None, limit: int = 20
    ) -> Steps[Listing[Backfill]]:
        """Return the newest backfills first, at most ``limit``.

        Args:
            dataset: Only those of this dataset.
            active: Those that go on, or those that have ended; both if not given.
            limit: How many at most.
        """
        words = None if active is None else str(active).lower()
        query = {"dataset": dataset, "active": words}
        return (yield from read_list(Backfill, "backfills", query, limit=limit))

    def stop_backfill(self, backfill_id: str, *, reason: str | None = None) -> Steps[Backfill]:
        """Stop a backfill; returns when its run's query is cancelled and no further run will start.

        One that has ended is returned as it ended.
        """
        path = ("backfills", _checked_backfill_id(backfill_id), "stop")
        return decode(Backfill, (yield post(*path, body={"reason": reason}, timeout=STOP_SECONDS)))

    # Notifications

    def test_notifications(self, name: str, *, event: str | None = None) -> Steps[NotificationTest]:
        """Send a test message through each channel of a dataset, or to a target of the server's settings.

        Args:
            name: The dataset, or the target.
            event: Only the channels of ``on_failure``, ``on_success`` or ``on_source_change``.
        """
        from dli.client.responses import NotificationTest

        body = {"name": name, "event": event}
        answer = yield post("notifications", "test", body=body, timeout=NOTIFICATION_SECONDS)
        return decode(NotificationTest, answer)

    # Specs

    def list_datasets(self, *, source: SourceType | str | None = None) -> Steps[Listing[RegisteredDataset]]:
        """Return every registered spec."""
        return (yield from read_list(RegisteredDataset, "datasets", {"source": source}))

    def get_dataset(self, name: str, *, source: SourceType | str | None = None) -> Steps[RegisteredDataset]:
        """Return a dataset's effective spec, or that of one source."""
        return decode(RegisteredDataset, (yield get("datasets", check_name(name), source=source)))

    def register(
        self,
        name: str,
        yaml: str,
        files: Mapping[str, str],
        *,
        file: str | None = None,
        accept_override: bool = False,
        wait_seconds: float = 60,
        if_match: str | None = None,
    ) -> Steps[RegisteredDataset]:
        """Register a spec as manual, or replace the manual one of that name.

        Args:
            name: The ``name`` inside the YAML.
            yaml: The YAML, stored as it is.
            files: The text of each SQL file, by the path that the spec names it with.
            file: The YAML's name on this machine, for problems.
            accept_override: Register although code has a spec of that name.
            wait_seconds: How long the server waits for Airflow to load it, 0 to 120.
            if_match: The ETag of the manual spec that is replaced; refused where it has another.
        """
        body = {"yaml": yaml, "files": dict(files), "accept_override": accept_override, "file": file}
        answer = yield Call(
            "PUT",
            ("datasets", check_name(name)),
            query={"wait": f"{wait_seconds:g}"},
            body=body,
            headers={"If-Match": if_match} if if_match else None,
            more_seconds=wait_seconds,
        )
        return decode(RegisteredDataset, answer)

    def update(
        self,
        name: str,
        *,
        cron: str | None = None,
        timezone: str | None = None,
        enabled: bool | None = None,
        retry_max_attempts: int | None = None,
        retry_delay_seconds: int | None = None,
        source: SourceType | str | None = None,
        wait_seconds: float = 60,
        if_match: str | None = None,
    ) -> Steps[RegisteredDataset]:
        """Change the schedule in a manual spec, in place: comments and order stay.

        Args:
            name: The dataset.
            cron: A new cron; None, here and below, leaves the value as it is.
            timezone: A new time zone.
            enabled: Whether the schedule is on.
            retry_max_attempts: The number of retries.
            retry_delay_seconds: The seconds between them.
            source: ``manual`` for the kept file of a dataset that code has.
            wait_seconds: How long the server waits for Airflow to load it, 0 to 120.
            if_match: The ETag of the manual spec; refused where it has another.
        """
        body = {
            "cron": cron,
            "timezone": timezone,
            "enabled": enabled,
            "retry_max_attempts": retry_max_attempts,
            "retry_delay_seconds": retry_delay_seconds,
            "source": source,
        }
        answer = yield Call(
            "PATCH",
            ("datasets", check_name(name)),
            query={"wait": f"{wait_seconds:g}"},
            body=body,
            headers={"Idempotency-Key": new_key()} | ({"If-Match": if_match} if if_match else {}),
            more_seconds=wait_seconds,
        )
        return decode(RegisteredDataset, answer)

    def unregister(
        self,
        name: str,
        *,
        source: SourceType | str | None = None,
        stop: bool = False,
        accept_active: bool = False,
        if_match: str | None = None,
    ) -> Steps[UnregisteredDataset]:
        """Remove a manual spec; its history stays.

        Args:
            name: The dataset.
            source: ``manual`` for the kept file of a dataset that code has.
            stop: End the runs that are active.
            accept_active: Let the runs that are active end; refused otherwise where there are any.
            if_match: The ETag of the manual spec; refused where it has another.
        """
        headers = {"Idempotency-Key": new_key()} | ({"If-Match": if_match} if if_match else {})
        answer = yield Call(
            "DELETE",
            ("datasets", check_name(name)),
            query={"source": source, "stop": stop, "accept_active": accept_active},
            headers=headers,
            timeout_seconds=STOP_SECONDS if stop else None,
        )
        return decode(UnregisteredDataset, answer)

    def get_versions(self, name: str) -> Steps[DatasetVersions]:
        """Return a dataset's versions side by side: manual, code, and the one that Airflow runs."""
        answer = yield get("datasets", check_name(name), "versions")
        parts = ("manual", "code", "airflow")
        if not isinstance(answer, dict):
            raise unreadable("versions: there are none in it")
        read = {part: decode(SpecVersion, answer[part]) for part in parts if answer.get(part)}
        return decode(DatasetVersions, answer | read)

    def validate(self, yaml: str, files: Mapping[str, str], *, file: str | None = None) -> Steps[Validation]:
        """Have the server check a spec; nothing is stored."""
        from dli.client.responses import Validation

        body = {"yaml": yaml, "files": dict(files), "file": file}
        return decode(Validation, (yield post("datasets", "validate", body=body)))


def _run(
    name: str,
    parameters: Mapping[str, Any] | None,
    source: SourceType | str | None,
    *,
    dry_run: bool,
    key: str | None = None,
    spec: Mapping[str, Any] | None = None,
) -> Call:
    body: dict[str, Any] = {
        "parameters": dict(parameters or {}),
        "source": source,
        "dry_run": dry_run,
    }
    if spec is not None:
        body["spec"] = spec
    return post("workflows", check_name(name), "runs", body=body, key=key)


def _sent(yaml: str | None, files: Mapping[str, str] | None, file: str | None) -> dict[str, Any] | None:
    return None if yaml is None else {"yaml": yaml, "files": dict(files or {}), "file": file}


def _backfill(
    start: date | str,
    end: date | str,
    parameters: Mapping[str, Any] | None,
    source: SourceType | str | None,
) -> dict[str, Any]:
    given = dict(parameters or {})
    return {"start": str(start), "end": str(end), "parameters": given, "source": source}


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
