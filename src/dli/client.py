"""The Python client: everything the command line asks of Basecamp, as typed calls."""

from __future__ import annotations

import os
import uuid
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dataspec.errors import InvalidUsage, RunNotFound, Unavailable
from dataspec.names import check_name
from dataspec.workflows import (
    DatasetVersions,
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
from dli.addresses import DEFAULT_SERVER_URL
from dli.decoding import decode, unreadable
from dli.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from dli.answers import NotificationTest, RunLog, Validation

STOP_SECONDS = 120.0
"""How long ``stop`` may take: the server waits until the run's process is gone."""
SYNC_SECONDS = 120.0
"""How long ``sync`` may take: the server may have to read every spec."""
NOTIFICATION_SECONDS = 60.0
"""How long a test of notifications may take: the server waits for each channel's answer."""
PAGE = 10_000
"""How many items are asked for at once; the server may send fewer."""
PATIENCE_SECONDS = 60.0
"""How long following a run bears a server that does not answer, as while it restarts."""

T = TypeVar("T")


class Listing(list[T], Generic[T]):
    """A list from the server, and its warnings: who did not answer, and how old the figures are."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []


class Client:
    """Talks to a Basecamp server; use it from one thread at a time.

    .. code-block:: python

        with Client("http://127.0.0.1:8800") as client:
            run = client.start_run("sales.daily", {"execution_date": "2024-01-15"})

    Every method raises a kind of :class:`~dataspec.errors.DliError`:
    :class:`~dataspec.errors.ServerUnreachable` without an answer, else the error that
    the server answered.

    Args:
        server_url: The server's address; ``DLI_SERVER_URL``, or this machine's port 8800, if not given.
        user: Who acts, for notes and logs.
        timeout_seconds: How long a call may take.
        log: Told of each call, in one line.
        warn: Told of each warning beside a single answer, such as that Airflow did not answer
            and how old the figures are; those of a list stand in its ``warnings``.
    """

    def __init__(
        self,
        server_url: str | None = None,
        *,
        user: str | None = None,
        timeout_seconds: float = 30.0,
        log: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        url = server_url or os.environ.get("DLI_SERVER_URL") or DEFAULT_SERVER_URL
        headers = {"Dli-User": _header(user)} if user else {}
        self._timeout = timeout_seconds
        self._transport = Transport(url, timeout_seconds=timeout_seconds, headers=headers, log=log, warn=warn)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to the server."""
        self._transport.close()

    # Workflows

    def list_workflows(
        self,
        *,
        source: SourceType | str | None = None,
        running: bool = False,
        enabled_only: bool = False,
        dataset: str | None = None,
    ) -> Listing[WorkflowInfo]:
        """Return every registered dataset, one item for each source that it is in.

        Args:
            source: Only those of this source.
            running: Only those that a run is executing of.
            enabled_only: Only those whose schedule is active.
            dataset: Only this dataset, or those that match a pattern with ``*``.
        """
        query = {"source": source, "running": running, "enabled_only": enabled_only, "dataset": dataset}
        return self._list(WorkflowInfo, "workflows", query)

    def get_workflow(self, name: str, *, source: SourceType | str | None = None) -> WorkflowInfo:
        """Return a dataset's effective row, or that of one source."""
        return decode(WorkflowInfo, self._get("workflows", check_name(name), source=source))

    def pause(self, name: str, *, source: SourceType | str | None = None) -> WorkflowInfo:
        """Pause a dataset: no run of it starts until it is resumed. Its ``note`` says what to know."""
        return decode(
            WorkflowInfo, self._post("workflows", check_name(name), "pause", body={"source": source})
        )

    def unpause(self, name: str, *, source: SourceType | str | None = None) -> WorkflowInfo:
        """Resume a paused dataset; refused where there is no pause to clear."""
        return decode(
            WorkflowInfo, self._post("workflows", check_name(name), "unpause", body={"source": source})
        )

    def sync(self) -> SyncReport:
        """Have the server check the store now; return what changed since the last check."""
        return decode(SyncReport, self._post("sync", body={}, timeout=SYNC_SECONDS))

    # Runs

    def start_run(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        source: SourceType | str | None = None,
        idempotency_key: str | None = None,
    ) -> WorkflowRun:
        """Start an adhoc run.

        Args:
            name: The dataset.
            parameters: The run's parameters, checked strictly against the spec.
            source: Run the spec of this source; the effective one if not given.
            idempotency_key: Calls with one key start one run; a new key if not given.
        """
        answer = self._run(name, parameters, source, dry_run=False, key=idempotency_key)
        return decode(WorkflowRun, answer)

    def preview_run(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        source: SourceType | str | None = None,
    ) -> RunPreview:
        """Return what a run would do, parameters and SQL, and start nothing."""
        return decode(RunPreview, self._run(name, parameters, source, dry_run=True))

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
    ) -> Listing[WorkflowRun]:
        """Return the newest runs first, at most ``limit``, of those that fit every filter given."""
        query = {
            "dataset": dataset,
            "source": source,
            "status": status,
            "run_type": run_type,
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
        }
        return self._list(WorkflowRun, "runs", query, limit=limit)

    def get_run(self, run_id: str, *, dataset: str | None = None) -> WorkflowRun:
        """Return one run.

        Args:
            run_id: Its id.
            dataset: Its dataset, for ids that Airflow made: those are unique in a dataset only.
        """
        return decode(WorkflowRun, self._get("runs", _checked_run_id(run_id), dataset=dataset))

    def stop_run(self, run_id: str, *, reason: str | None = None, dataset: str | None = None) -> WorkflowRun:
        """Stop a run; returns when its query is cancelled and its process gone.

        A run that has ended is returned as it ended.
        """
        path = ("runs", _checked_run_id(run_id), "stop")
        answer = self._post(*path, query={"dataset": dataset}, body={"reason": reason}, timeout=STOP_SECONDS)
        return decode(WorkflowRun, answer)

    def get_log(self, run_id: str, *, attempt: int | None = None, dataset: str | None = None) -> RunLog:
        """Return the log of one attempt of a run; of the last one if not given."""
        from dli.answers import RunLog

        path = ("runs", _checked_run_id(run_id), "logs")
        return decode(RunLog, self._get(*path, attempt=attempt, dataset=dataset))

    def follow_run(
        self,
        run_id: str,
        *,
        dataset: str | None = None,
        interval_seconds: float = 1.0,
        timeout_seconds: float | None = None,
    ) -> Iterator[WorkflowRun]:
        """Yield a run again and again until it has finished, or until the timeout.

        The last one yielded tells which. A server that stops answering is asked again for
        a minute.
        """
        ends = monotonic() + timeout_seconds if timeout_seconds is not None else None
        last_heard: float | None = None
        while True:
            try:
                run = self.get_run(run_id, dataset=dataset)
            except Unavailable:
                if last_heard is None or monotonic() - last_heard > PATIENCE_SECONDS:
                    raise
            else:
                last_heard = monotonic()
                yield run
                if run.status.finished:
                    return
            if ends is not None and monotonic() + interval_seconds > ends:
                return
            sleep(interval_seconds)

    # Notifications

    def test_notifications(self, name: str, *, event: str | None = None) -> NotificationTest:
        """Send a test message through each channel of a dataset, or to a target of the server's settings.

        Args:
            name: The dataset, or the target.
            event: Only the channels of ``on_failure``, ``on_success`` or ``on_source_change``.
        """
        from dli.answers import NotificationTest

        body = {"name": name, "event": event}
        answer = self._post("notifications", "test", body=body, timeout=NOTIFICATION_SECONDS)
        return decode(NotificationTest, answer)

    # Specs

    def list_datasets(self, *, source: SourceType | str | None = None) -> Listing[RegisteredDataset]:
        """Return every registered spec."""
        return self._list(RegisteredDataset, "datasets", {"source": source})

    def get_dataset(self, name: str, *, source: SourceType | str | None = None) -> RegisteredDataset:
        """Return a dataset's effective spec, or that of one source."""
        return decode(RegisteredDataset, self._get("datasets", check_name(name), source=source))

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
    ) -> RegisteredDataset:
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
        answer = self._transport.call(
            "PUT",
            "datasets",
            check_name(name),
            query={"wait": f"{wait_seconds:g}"},
            body=body,
            headers={"If-Match": if_match} if if_match else None,
            timeout_seconds=self._timeout + wait_seconds,
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
    ) -> RegisteredDataset:
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
        answer = self._transport.call(
            "PATCH",
            "datasets",
            check_name(name),
            query={"wait": f"{wait_seconds:g}"},
            body=body,
            headers={"Idempotency-Key": str(uuid.uuid4())} | ({"If-Match": if_match} if if_match else {}),
            timeout_seconds=self._timeout + wait_seconds,
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
    ) -> UnregisteredDataset:
        """Remove a manual spec; its history stays.

        Args:
            name: The dataset.
            source: ``manual`` for the kept file of a dataset that code has.
            stop: End the runs that are active.
            accept_active: Let the runs that are active end; refused otherwise where there are any.
            if_match: The ETag of the manual spec; refused where it has another.
        """
        headers = {"Idempotency-Key": str(uuid.uuid4())} | ({"If-Match": if_match} if if_match else {})
        answer = self._transport.call(
            "DELETE",
            "datasets",
            check_name(name),
            query={"source": source, "stop": stop, "accept_active": accept_active},
            headers=headers,
            timeout_seconds=STOP_SECONDS if stop else None,
        )
        return decode(UnregisteredDataset, answer)

    def get_versions(self, name: str) -> DatasetVersions:
        """Return a dataset's versions side by side: manual, code, and the one that Airflow runs."""
        answer = self._get("datasets", check_name(name), "versions")
        parts = ("manual", "code", "airflow")
        if not isinstance(answer, dict):
            raise unreadable("versions: there are none in it")
        read = {part: decode(SpecVersion, answer[part]) for part in parts if answer.get(part)}
        return decode(DatasetVersions, answer | read)

    def validate(self, yaml: str, files: Mapping[str, str], *, file: str | None = None) -> Validation:
        """Have the server check a spec; nothing is stored."""
        from dli.answers import Validation

        body = {"yaml": yaml, "files": dict(files), "file": file}
        return decode(Validation, self._post("datasets", "validate", body=body))

    # Calls

    def _get(self, *path: str, **query: Any) -> Any:
        return self._transport.call("GET", *path, query=query)

    def _post(
        self,
        *path: str,
        body: Mapping[str, Any],
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self._transport.call(
            "POST", *path, query=query, body=body, headers=headers, timeout_seconds=timeout
        )

    def _run(
        self,
        name: str,
        parameters: Mapping[str, Any] | None,
        source: SourceType | str | None,
        *,
        dry_run: bool,
        key: str | None = None,
    ) -> Any:
        body = {"parameters": dict(parameters or {}), "source": source, "dry_run": dry_run}
        return self._post("workflows", check_name(name), "runs", body=body, key=key)

    def _list(
        self, kind: type[T], route: str, query: Mapping[str, Any], *, limit: int | None = None
    ) -> Listing[T]:
        """Return a list's items over all its pages, or as many as ``limit``."""
        listing: Listing[T] = Listing()
        cursor = None
        while True:
            left = PAGE if limit is None else min(PAGE, limit - len(listing))
            page = self._get(route, **query, limit=left, cursor=cursor)
            if not isinstance(page, dict) or not isinstance(page.get("items"), list):
                raise unreadable(f"{route}: there are no items in it")
            listing.extend(decode(kind, item) for item in page["items"][:left])
            listing.warnings += [text for text in page.get("warnings", ()) if text not in listing.warnings]
            cursor = page.get("next_cursor")
            if not cursor or (limit is not None and len(listing) >= limit):
                return listing


def _checked_run_id(run_id: str) -> str:
    if not run_id.strip() or run_id in {".", ".."}:
        raise InvalidUsage(f"Invalid run id '{run_id}'.", detail="List runs with: dli workflow history")
    if "/" in run_id:
        raise RunNotFound(run_id)
    return run_id


def _header(user: str) -> str:
    """Return a name as a header may hold it: in percent-encoding where it is not plain ASCII."""
    from urllib.parse import quote

    return quote(user, safe=" @.+-_")
