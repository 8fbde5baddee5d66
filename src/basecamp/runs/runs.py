"""The runs of datasets: starting, finding, listing, stopping and retrying them."""

from __future__ import annotations

from basecamp.airflow.models import DagRun
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.runs.failure_reasons import FailureReasons
from basecamp.runs.history import HistoryFilter, RunHistory
from basecamp.runs.logs import RunLog, RunLogs
from basecamp.runs.lookup import RunLookup
from basecamp.runs.records import RunRecords
from basecamp.runs.retry import RunRetrier
from basecamp.runs.start import RunRequest, RunStarter
from basecamp.runs.stop import RunStopper
from basecamp.shared.clock import Clock
from basecamp.shared.last_known import LastAnswers, ListPage, ValueWithWarnings
from dataspec.models import RunPreview, WorkflowRun


class Runs:
    """All that can be asked of runs. Each method raises what the part behind it does."""

    def __init__(
        self,
        *,
        specs: CatalogCache,
        finder: RunLookup,
        records: RunRecords,
        history: RunHistory,
        starting: RunStarter,
        stopping: RunStopper,
        retrying: RunRetrier,
        logs: RunLogs,
        errors: FailureReasons,
        clock: Clock,
    ) -> None:
        self._specs = specs
        self._finder = finder
        self._records = records
        self._history = history
        self._starting = starting
        self._stopping = stopping
        self._retrying = retrying
        self._logs = logs
        self._errors = errors
        self._last: LastAnswers[WorkflowRun] = LastAnswers(clock)

    def start(
        self, request: RunRequest, *, requested_by: str, idempotency_key: str | None = None
    ) -> WorkflowRun:
        """Start an adhoc run; see :meth:`~basecamp.runs.start.RunStarter.start`."""
        run = self._starting.start(request, requested_by=requested_by, idempotency_key=idempotency_key)
        if run.state == "queued":
            return self._records.of_new(run, self._specs.known().value)
        return self._record(run)

    def preview(self, request: RunRequest) -> RunPreview:
        """Return what a run would do; see :meth:`~basecamp.runs.start.RunStarter.preview`."""
        return self._starting.preview(request)

    def get(self, run_id: str, dataset: str | None = None) -> ValueWithWarnings[WorkflowRun]:
        """Return a run with its last error; see :meth:`~basecamp.runs.lookup.RunLookup.find`."""

        def ask() -> ValueWithWarnings[WorkflowRun]:
            run = self._finder.find(run_id, dataset)
            return ValueWithWarnings(self._errors.into(self._record(run)))

        return self._last.read((run_id, dataset), ask)

    def page(
        self, wanted: HistoryFilter, *, limit: int = 20, cursor: str | None = None
    ) -> ListPage[WorkflowRun]:
        """Return runs, newest first; see :meth:`~basecamp.runs.history.RunHistory.page`."""
        return self._history.page(wanted, limit=limit, cursor=cursor)

    def stop(
        self, run_id: str, *, stopped_by: str, reason: str | None = None, dataset: str | None = None
    ) -> WorkflowRun:
        """Stop a run; see :meth:`~basecamp.runs.stop.RunStopper.stop`."""
        run = self._finder.find(run_id, dataset)
        stopped = self._stopping.stop(run, stopped_by=stopped_by, reason=reason)
        return self._errors.into(self._record(stopped))

    def retry(
        self,
        run_id: str,
        *,
        retried_by: str,
        idempotency_key: str | None = None,
        dataset: str | None = None,
    ) -> WorkflowRun:
        """Run a failed or killed run again; see :meth:`~basecamp.runs.retry.RunRetrier.retry`."""
        run = self._finder.find(run_id, dataset)
        again = self._retrying.retry(run, retried_by=retried_by, idempotency_key=idempotency_key)
        return self._record(again)

    def log(self, run_id: str, *, attempt: int | None = None, dataset: str | None = None) -> RunLog:
        """Return the log of one attempt; see :meth:`~basecamp.runs.logs.RunLogs.read`."""
        return self._logs.read(self._finder.find(run_id, dataset), attempt)

    def log_after(self, run_id: str, cursor: str, *, dataset: str | None = None) -> RunLog:
        """Return the lines after a cursor; see :meth:`~basecamp.runs.logs.RunLogs.read_on`."""
        return self._logs.read_on(self._finder.find(run_id, dataset), cursor)

    def dag_url(self, dataset: str) -> str:
        """Return a dataset's page in Airflow."""
        return self._records.dag_url(dataset)

    def _record(self, run: DagRun) -> WorkflowRun:
        return self._records.of([run], self._specs.known().value)[0]
