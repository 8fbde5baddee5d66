"""Why runs failed: the last error in their logs, which Airflow tells for one run at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import TypeAlias

from basecamp.runs.logs import LATE_LINES, RunLogs
from basecamp.shared.clock import Clock
from dataspec.errors import AirflowUnreachable
from dataspec.models import RunStatus, WorkflowRun

READERS = 8
"""How many logs are read at once."""

PATIENCE_SECONDS = 0.25
"""How long a list waits for the errors that are not known yet."""

MAX_KEPT = 50_000
"""Of how many failed runs the error is kept in memory, well below 1 KB each."""

_Key: TypeAlias = "tuple[str, str, datetime | None]"


class FailureReasons:
    """Puts errors into failed runs. Safe to share between threads.

    The error of a run that has ended is settled, short of a retry, which gives the run another end: it is read once.
    """

    def __init__(self, logs: RunLogs, clock: Clock, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._logs = logs
        self._clock = clock
        self._patience = patience_seconds
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="run-errors")
        self._kept: dict[_Key, str | None] = {}
        self._lock = threading.Lock()

    def into(self, run: WorkflowRun) -> WorkflowRun:
        """Return a run with its error, if it failed and its log is to be had."""
        if self._is_unknown(run):
            self._read(run)
        return self._with_error(run)

    def into_all(self, runs: Sequence[WorkflowRun]) -> tuple[list[WorkflowRun], int]:
        """Return runs with the errors that are known, or read within a moment, and how many others there are.

        What is being read when the moment is over is known the next time; the rest is left to the next time.
        """
        unknown = [run for run in runs if self._is_unknown(run)]
        reading = [self._readers.submit(self._read, run) for run in unknown]
        late = wait(reading, self._patience).not_done
        for one in late:
            one.cancel()
        return [self._with_error(run) for run in runs], len(late)

    def _is_unknown(self, run: WorkflowRun) -> bool:
        """Say whether a log is to be read; that of another DAG's code tells nothing of the dataset."""
        return run.status is RunStatus.FAILED and not run.other_code and _key(run) not in self._kept

    def _read(self, run: WorkflowRun) -> None:
        try:
            error = self._logs.last_error(run.dataset_name, run.run_id, run.attempts)
        except AirflowUnreachable:
            return  # its log may lie elsewhere; the run itself is known
        if error or self._is_written(run):
            self._keep(_key(run), error)

    def _is_written(self, run: WorkflowRun) -> bool:
        return run.finished_at is not None and self._clock.now() - run.finished_at > LATE_LINES

    def _keep(self, key: _Key, error: str | None) -> None:
        with self._lock:
            self._kept[key] = error
            for oldest in list(islice(self._kept, max(0, len(self._kept) - MAX_KEPT))):
                del self._kept[oldest]

    def _with_error(self, run: WorkflowRun) -> WorkflowRun:
        error = self._kept.get(_key(run)) if run.status is RunStatus.FAILED else None
        return replace(run, error=error) if error else run


def _key(run: WorkflowRun) -> _Key:
    return run.dataset_name, run.run_id, run.finished_at
