"""Retry failed and killed runs under their own id (specification 13.5)."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun, TaskAttempt
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_readiness import check_ready
from basecamp.datasets.takeovers import Takeovers
from basecamp.runs.lookup import RunLookup
from basecamp.runs.notes import note_of_retry
from basecamp.runs.records import RunRecords, is_killed
from basecamp.runs.stop import POLL_SECONDS, VERIFY_SECONDS
from basecamp.runs.values import values_by
from basecamp.shared.clock import Clock, airflow_now
from basecamp.shared.idempotency import Reservations
from basecamp.shared.refresh_cache import Changes
from basecamp.shared.request_facts import note_facts
from basecamp.shared.waiting import Steps
from dataspec.errors import AirflowUnreachable, Conflict, InvalidParameters, Refused, RunNotFound
from dataspec.models import WorkflowRun
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.model import DatasetSpec

LINGER = timedelta(minutes=5)
"""How long the process of a stopped attempt may go on. Its supervisor ends it at the next heartbeat, or
after three that don't reach Airflow; and Airflow itself gives it up when five minutes bring none."""

TRIES = 3

TAKEOVER_SECONDS = 10.0
"""How long to wait for another request's retry of the same end before doing it instead."""


class RunRetrier:
    """Retries runs, once for each request."""

    def __init__(
        self,
        lookup: RunLookup,
        specs: CatalogCache,
        gateway: AirflowGateway,
        reservations: Reservations,
        clock: Clock,
        *,
        connections: ConnectionTeams,
        takeovers: Takeovers,
        records: RunRecords,
        run_changes: Changes,
    ) -> None:
        self._run_changes = run_changes
        self._connections = connections
        self._lookup = lookup
        self._takeovers = takeovers
        self._records = records
        self._specs = specs
        self._gateway = gateway
        self._reservations = reservations
        self._clock = clock

    def retry(
        self,
        run_id: str,
        *,
        retried_by: str,
        idempotency_key: str | None = None,
        dataset: str | None = None,
    ) -> Steps[WorkflowRun]:
        """Run a failed or killed run again: same id and parameters, the spec that is effective then.

        One end of a run is retried once, however many requests ask for it on however many replicas.

        Args:
            run_id: The run's id.
            retried_by: The caller's name, kept in the run's note.
            idempotency_key: A second call with it changes nothing, and returns the run as it is then.
            dataset: The run's dataset, for ids that are not unique.

        Raises:
            Refused: When the run is active, has completed, has parameters that the spec does not take, or
                may still have a process; when its dataset is not registered any more.
            Forbidden: When the connection of the effective spec is limited to other teams.
            Paused: When the dataset is paused.
            TakenOver: When another DAG has the dataset's id.
            NotLoaded: When Airflow has not loaded the dataset.
            RunNotFound: When there is none, or it was deleted meanwhile.
            InvalidUsage: When several datasets have a run of this id, and none was named.
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer.
        """
        run = self._lookup.find(run_id, dataset)
        note_facts(dataset=run.dag_id)
        retried = yield from self._retried(run, retried_by, idempotency_key)
        self._run_changes.note()
        return self._records.of([retried])[0]

    def _retried(self, run: DagRun, retried_by: str, idempotency_key: str | None) -> Steps[DagRun]:
        if idempotency_key is not None and self._is_done(run, idempotency_key):
            note_facts(repeated=True)
            return run
        _check_ended(run)
        self._check_dataset(run)
        attempt = next(iter(self._gateway.attempts([run])), None)
        yield from self._check_process(run, attempt)
        note = note_of_retry(retried_by, self._clock.now(), attempt.started if attempt else 0, run.note)
        return (yield from self._once(run, note))

    def _is_done(self, run: DagRun, key: str) -> bool:
        """Return whether the first request with this key has retried the run."""
        request = ["retry", run.dag_id, run.run_id]
        found = self._reservations.find(key, request)
        if found is None and not run.finished:
            return False
        first = found or self._reservations.reserve(key, request, {"end": _end(run)})
        return first.plan.text("end") != _end(run)

    def _check_dataset(self, run: DagRun) -> None:
        file = self._specs.catalog(fresh=True).effective.get(run.dag_id)
        if file is None or file.spec is None:
            raise Refused(
                "The dataset of this run is not registered any more.",
                detail=f"Register '{run.dag_id}' again, then retry the run.",
            )
        self._connections.check(file.spec)
        check_ready(self._takeovers.check(run.dag_id), run.dag_id)
        if self._records.ran_other_code(run):
            raise Refused(
                "This run is not of the dataset's code.",
                detail=f"{self._records.why_other(run)}\nStart a new run: dli workflow run {run.dag_id}",
            )
        _check_parameters(run, file.spec)
        note_facts(spec_hash_before=self._records.version_of(run), spec_hash_after=file.spec_hash)

    def _check_process(self, run: DagRun, attempt: TaskAttempt | None) -> Steps[None]:
        """Wait until the process of a killed attempt is gone: two queries must not run at once."""
        if not is_killed(run) or attempt is None or not attempt.started or attempt.state == "skipped":
            return
        deadline = self._clock.monotonic() + VERIFY_SECONDS
        last = (run.end_date or airflow_now(self._gateway, self._clock)) + LINGER
        while airflow_now(self._gateway, self._clock) < last:
            if self._gateway.process_is_gone(run.dag_id, run.run_id, attempt.try_number):
                return
            if self._clock.monotonic() >= deadline:
                raise Refused(
                    "The process of the stopped attempt was not seen to end; its query may still run.",
                    detail=f"Retry the run when it is gone, at the latest after {last:%H:%M:%S} UTC.",
                )
            yield POLL_SECONDS

    def _once(self, run: DagRun, note: str) -> Steps[DagRun]:
        """Clear the run; if another request is doing so, wait for it."""
        this_end = ["retry", run.dag_id, run.run_id, _end(run)]
        key = hashlib.sha256(json.dumps(this_end).encode()).hexdigest()
        if not self._is_first(key, this_end):
            deadline = self._clock.monotonic() + TAKEOVER_SECONDS
            while self._clock.monotonic() < deadline:
                now = self._gateway.get_run(run.dag_id, run.run_id)
                if now is None or not now.finished or now.end_date != run.end_date:
                    return _found(now, run)
                yield POLL_SECONDS
        return self._clear(run, note)

    def _is_first(self, key: str, this_end: list[Any]) -> bool:
        try:
            return self._reservations.reserve(key, this_end, {}).is_new
        except Conflict:
            return False  # a damaged record: another request may be clearing the run

    def _clear(self, run: DagRun, note: str) -> DagRun:
        """Clear the run; after an error, only while it still has its old end: a response may have been lost."""
        tries = 0
        while True:
            tries += 1
            try:
                return _found(self._gateway.clear_run(run.dag_id, run.run_id, note=note), run)
            except AirflowUnreachable as error:
                now = self._after_trouble(run, error)
                if not now.finished or _end(now) != _end(run):
                    return now
                if tries == TRIES:
                    raise
            self._clock.wait(POLL_SECONDS)

    def _after_trouble(self, run: DagRun, error: AirflowUnreachable) -> DagRun:
        """Return the run as it is after a try whose response was lost or an error."""
        try:
            return _found(self._gateway.get_run(run.dag_id, run.run_id), run)
        except AirflowUnreachable:
            detail = (
                f"{error.detail}\nWhether the run was started again is not known. "
                f"See: dli workflow status {run.run_id}"
            )
            raise AirflowUnreachable(error.title, detail=detail) from error


def _check_ended(run: DagRun) -> None:
    if not run.finished:
        raise Refused(
            "This run is active.",
            detail=f"Follow it with: dli workflow status {run.run_id} --wait\n"
            f"To end it first:  dli workflow stop {run.run_id}",
        )
    if run.state == "success":
        raise Refused(
            "This run has completed.",
            detail=f"A completed run can't be retried. To build it again: dli workflow run {run.dag_id} "
            "with its parameters.",
        )


def _check_parameters(run: DagRun, spec: DatasetSpec) -> None:
    try:
        values_by(spec, run)
    except InvalidParameters as error:
        raise Refused(
            "The run's parameters don't fit the spec that is effective now.",
            detail=f"{error.title}\nStart a new run: dli workflow run {run.dag_id}",
        ) from error


def _found(now: DagRun | None, run: DagRun) -> DagRun:
    if now is None:
        raise RunNotFound(run.run_id)
    return now


def _end(run: DagRun) -> str:
    """Return a key for one end of a run: a retried run ends again."""
    return run.end_date.isoformat() if run.end_date else ""
