"""Why runs failed: the last error in a run's log, which Airflow returns for one run at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias

from cachetools import FIFOCache

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun
from basecamp.shared.clock import Clock
from dataspec.errors import AirflowUnreachable
from dataspec.models import RunStatus, WorkflowRun

READERS = 8
"""Maximum number of logs read at once."""

PATIENCE_SECONDS = 0.25
"""How long a list waits for errors that are not cached yet."""

MAX_KEPT = 50_000
"""Maximum number of failed runs whose error is cached, well below 1 KB each."""

LATE_LINES = timedelta(seconds=10)
"""How long after a run's end the last lines of its log may still be missing."""

WORKER_LOST = (
    "The log of attempt {} ends without an error: its worker was killed or lost, or the run was set to failed in "
    "Airflow."
)
NO_ATTEMPT = "No attempt has started: the run was set to failed in Airflow, or its worker did not start."
WAIT_LOST = (
    "The run failed while it waited for other datasets, and Airflow has not kept why: read the log of its task "
    "'wait_…' in Airflow."
)
LOG_LOST = "Airflow does not return the log: it may be on a machine that is gone."

_Key: TypeAlias = "tuple[str, str, datetime | None]"


class FailureReasons:
    """Adds the last error to failed runs. Safe to share between threads.

    The error of an ended run changes only by a retry, which gives the run another end: it is read once for each end.
    """

    def __init__(
        self, gateway: AirflowGateway, clock: Clock, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._patience = patience_seconds
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="run-errors")
        self._kept: FIFOCache[_Key, str | None] = FIFOCache(MAX_KEPT)
        self._lock = threading.Lock()

    def last_error(self, run: DagRun) -> str:
        """Return the last error in the log of a failed run's last attempt, in one line; else why there is none."""
        try:
            attempt = next(iter(self._gateway.attempts([run])), None)
            started = attempt.started if attempt else 0
            found = self._last_error(*run.key, started, begun=attempt is not None and attempt.has_begun(run))
        except AirflowUnreachable:
            return LOG_LOST
        return found or (WORKER_LOST.format(started) if started else NO_ATTEMPT)

    def _last_error(self, dag_id: str, run_id: str, attempt: int, *, begun: bool) -> str | None:
        """Return the last error of an attempt; of a run that had not begun, why it could not.

        Args:
            dag_id: The run's dataset.
            run_id: The run.
            attempt: The number of its last attempt that started.
            begun: Whether an attempt has started since the run was created or retried.
        """
        waited = None if begun else self._gateway.wait_error(dag_id, run_id)
        if waited is not None:
            return waited or WAIT_LOST
        events = self._gateway.log(dag_id, run_id, attempt) if attempt else None
        return next((event.error for event in reversed(events or ()) if event.error), None)

    def into(self, run: WorkflowRun) -> WorkflowRun:
        """Return a run with its error, if it failed and Airflow has its log."""
        if self._is_unknown(run):
            self._read(run)
        return self._with_error(run)

    def into_all(self, runs: Sequence[WorkflowRun]) -> tuple[list[WorkflowRun], int]:
        """Return runs with their errors, and the number of failed runs whose error was not read in time.

        Reads that have begun go on and fill the cache for the next call; the others are cancelled.
        """
        unknown = [run for run in runs if self._is_unknown(run)]
        reading = [self._readers.submit(self._read, run) for run in unknown]
        late = wait(reading, self._clock.patience(self._patience)).not_done
        for one in late:
            one.cancel()
        return [self._with_error(run) for run in runs], len(late)

    def _is_unknown(self, run: WorkflowRun) -> bool:
        """Return whether the log must be read; a run of another DAG's code says nothing about the dataset."""
        return run.status is RunStatus.FAILED and not run.other_code and _key(run) not in self._kept

    def _read(self, run: WorkflowRun) -> None:
        try:
            begun = run.started_at is not None
            error = self._last_error(run.dataset_name, run.run_id, run.attempts, begun=begun)
        except AirflowUnreachable:
            return  # the log may be on a machine that is gone
        if error or self._is_written(run):
            self._keep(_key(run), error)

    def _is_written(self, run: WorkflowRun) -> bool:
        return run.finished_at is not None and self._clock.now() - run.finished_at > LATE_LINES

    def _keep(self, key: _Key, error: str | None) -> None:
        with self._lock:
            self._kept[key] = error

    def _with_error(self, run: WorkflowRun) -> WorkflowRun:
        if run.status is not RunStatus.FAILED:
            return run
        with self._lock:
            error = self._kept.get(_key(run))
        return replace(run, error=error) if error else run


def _key(run: WorkflowRun) -> _Key:
    return run.dataset_name, run.run_id, run.finished_at
