"""An Airflow in memory, for tests and for trying Basecamp without an Airflow.

It stores DAGs and runs and executes nothing. The methods beyond the gateway's act as the
scheduler and the workers: :meth:`~MemoryAirflow.start`, :meth:`~MemoryAirflow.end`, and so on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from basecamp.airflow.gateway import DagMissing, RunExists, WrongCursor
from basecamp.airflow.models import (
    PAGE_LIMIT,
    AirflowDag,
    AirflowHealth,
    DagDetails,
    DagImportError,
    DagRun,
    LogEvent,
    RunFilter,
    RunPage,
    RunVersion,
    TaskAttempt,
    note_of_start,
)
from dataspec.contract import OPERATOR, TASK_ID, WAIT_PREFIX, LoadedSpec
from dataspec.errors import AirflowUnreachable
from dataspec.models import CheckResult

RunKey = tuple[str, str]

SHARD = "shard_000.py"
BUNDLE = "datasets"


@dataclass(slots=True)
class _Dag:
    dag: AirflowDag
    loaded: LoadedSpec | None
    tags: frozenset[str]
    retries: int
    task_id: str = TASK_ID
    operator: str = OPERATOR


@dataclass(slots=True)
class _Run:
    run: DagRun
    attempt: TaskAttempt
    changed_at: datetime
    version: RunVersion | None = None
    task_id: str = TASK_ID
    logs: dict[int, list[LogEvent]] = field(default_factory=dict)
    wait_error: str | None = None
    checks: list[CheckResult] = field(default_factory=list)
    waiting_since: datetime | None = None


class MemoryAirflow:
    """An Airflow that exists as long as the process.

    Attributes:
        down: The reason with which every call fails as unreachable; None while Airflow is up.
        on_parse: Called with the DAG when a parse is requested, if set.
        processes_linger: Whether the process of a stopped attempt keeps running.
        has_triggerer: Whether a triggerer runs, in which runs wait for other datasets.
        scheduler_lost_at: The last heartbeat of a scheduler that is dead; None while it lives.
        connections: Connection types by id.
        stored_variables: The Variables' values by key.
        requests: Number of calls to the gateway.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.down: str | None = None
        self.on_parse: Callable[[AirflowDag], None] | None = None
        self.processes_linger = False
        self.has_triggerer = True
        self.scheduler_lost_at: datetime | None = None
        self.connections: dict[str, str] = {}
        self.stored_variables: dict[str, str] = {}
        self.requests = 0
        self._now = now
        self._lock = threading.RLock()
        self._dags: dict[str, _Dag] = {}
        self._runs: dict[RunKey, _Run] = {}
        self._import_errors: dict[str, DagImportError] = {}

    # The scheduler, the DAG processor and the workers.

    def load(
        self,
        dag_id: str,
        *,
        loaded: LoadedSpec | None = None,
        tags: Sequence[str] = (),
        next_run: datetime | None = None,
        retries: int = 1,
        has_import_errors: bool = False,
    ) -> None:
        """Create or replace a DAG; keeps its pause."""
        with self._lock:
            before = self._dags.get(dag_id)
            dag = AirflowDag(
                dag_id=dag_id,
                is_paused=before.dag.is_paused if before else False,
                next_run=next_run,
                has_import_errors=has_import_errors,
                file=SHARD,
                bundle=BUNDLE,
                file_token=f"token-of-{dag_id}",
            )
            self._dags[dag_id] = _Dag(dag, loaded, frozenset(tags), retries)

    def take_over(
        self,
        dag_id: str,
        *,
        file: str = "etl.py",
        bundle: str | None = "company",
        tags: Sequence[str] = (),
        task_id: str = "extract",
        operator: str = "PythonOperator",
    ) -> None:
        """Replace a DAG by one from a file that is not the DAG factory's; keeps its pause."""
        with self._lock:
            before = self._dags.get(dag_id)
            paused = before.dag.is_paused if before else False
            dag = AirflowDag(dag_id=dag_id, is_paused=paused, file=file, bundle=bundle)
            self._dags[dag_id] = _Dag(dag, None, frozenset(tags), 0, task_id, operator)

    def unload(self, dag_id: str) -> None:
        """Mark a DAG as gone from its bundle; its runs stay."""
        with self._lock:
            kept = self._dags[dag_id]
            kept.dag = replace(kept.dag, is_stale=True)

    def schedule(
        self, dag_id: str, run_id: str, interval: tuple[datetime, datetime], *, run_type: str = "scheduled"
    ) -> DagRun:
        """Create a run of the timetable, due at the end of its data interval: scheduled, or of Airflow's own backfill."""
        start, end = interval
        run = DagRun(
            dag_id=dag_id,
            run_id=run_id,
            state="queued",
            run_type=run_type,
            run_after=end,
            logical_date=start,
            data_interval_start=start,
            data_interval_end=end,
            queued_at=self._now(),
        )
        with self._lock:
            return self._add(run)

    def begin(self, dag_id: str, run_id: str) -> None:
        """Set a run to running while its attempt still waits for a slot."""
        with self._lock:
            kept = self._runs[dag_id, run_id]
            self._change(kept, state="running", start_date=self._now())

    def wait(self, dag_id: str, run_id: str) -> None:
        """Let a run wait for other datasets, until its first attempt starts or the run is ended."""
        self.begin(dag_id, run_id)
        with self._lock:
            kept = self._runs[dag_id, run_id]
            kept.waiting_since = self._now()

    def start(self, dag_id: str, run_id: str, *, source: str, spec_hash: str) -> None:
        """Start the next attempt of a run; a finished run keeps its state, as in Airflow."""
        with self._lock:
            kept = self._runs[dag_id, run_id]
            kept.waiting_since = None
            number = kept.attempt.try_number + 1
            state = kept.run.state if kept.run.finished else "running"
            self._change(kept, state=state, start_date=kept.run.start_date or self._now())
            kept.attempt = replace(
                kept.attempt, state="running", try_number=number, start_date=self._now(), end_date=None
            )
            kept.version = RunVersion(
                dag_id=dag_id, run_id=run_id, source=source, spec_hash=spec_hash, try_number=number
            )
            kept.logs[number] = []

    def start_other(self, dag_id: str, run_id: str) -> None:
        """Start the next attempt with another operator, which records no spec version."""
        self.start(dag_id, run_id, source="", spec_hash="")
        with self._lock:
            self._runs[dag_id, run_id].version = None

    def log_event(self, dag_id: str, run_id: str, event: LogEvent) -> None:
        """Append to the log of the current attempt."""
        with self._lock:
            kept = self._runs[dag_id, run_id]
            kept.logs[kept.attempt.try_number].append(event)

    def note_checks(self, dag_id: str, run_id: str, results: Sequence[CheckResult]) -> None:
        """Leave what the checks of the current attempt found."""
        with self._lock:
            self._runs[dag_id, run_id].checks = [*results]

    def note_rows(self, dag_id: str, run_id: str, rows: int) -> None:
        """Leave how many rows a run's last attempt has written, as an attempt does before it ends."""
        kept = self._runs[dag_id, run_id]
        if kept.version is not None:
            kept.version = replace(kept.version, rows=rows)

    def end(self, dag_id: str, run_id: str, state: Literal["success", "failed"]) -> None:
        """End the current attempt; a failed one is retried while the DAG has retries left."""
        with self._lock:
            kept = self._runs[dag_id, run_id]
            again = state == "failed" and kept.attempt.try_number <= kept.attempt.max_tries
            kept.attempt = replace(
                kept.attempt, state="up_for_retry" if again else state, end_date=self._now()
            )
            if not again:
                self._change(kept, state=state, end_date=self._now())

    def fail_waiting(self, dag_id: str, run_id: str, reason: str) -> None:
        """Let a run fail while it waits for other datasets, before its attempt starts."""
        with self._lock:
            kept = self._runs[dag_id, run_id]
            kept.wait_error = reason
            kept.attempt = replace(kept.attempt, state="upstream_failed", end_date=self._now())
            self._change(kept, state="failed", end_date=self._now())

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a run, as a user can in Airflow's web interface."""
        with self._lock:
            del self._runs[dag_id, run_id]

    def break_import(self, filename: str, stack_trace: str) -> None:
        """Add an import error for a DAG file."""
        with self._lock:
            self._import_errors[filename] = DagImportError(
                filename=filename, stack_trace=stack_trace, timestamp=self._now()
            )

    # The gateway's methods.

    @property
    def url(self) -> str:
        """An address for messages."""
        return "http://airflow.memory"

    def now(self) -> datetime | None:
        """Return the time of this Airflow's clock."""
        return self._now()

    def run_page(self, dag_id: str, run_id: str) -> str:
        """Return the path of a run's page in Airflow."""
        return f"/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"

    def health(self) -> AirflowHealth:
        """Return Airflow's health."""
        self._count_request()
        components = dict.fromkeys(("metadatabase", "scheduler", "dag_processor"), "healthy")
        components["triggerer"] = "healthy" if self.has_triggerer else "absent"
        heartbeat = self.scheduler_lost_at or self._now()
        return AirflowHealth(version="3.memory", components=components, scheduler_heartbeat=heartbeat)

    def list_dags(self, *, tags: Sequence[str] = ()) -> list[AirflowDag]:
        """Return all DAGs with any of the tags, stale ones included."""
        self._count_request()
        with self._lock:
            found = sorted(self._dags.items())
            return [kept.dag for _, kept in found if not tags or kept.tags.intersection(tags)]

    def get_dag(self, dag_id: str) -> DagDetails | None:
        """Return a DAG with the spec version that it was built from."""
        self._count_request()
        kept = self._dags.get(dag_id)
        return DagDetails(dag=kept.dag, loaded=kept.loaded) if kept else None

    def set_paused(self, dag_id: str, *, paused: bool) -> AirflowDag:
        """Pause or unpause a DAG; a no-op if it is in that state already."""
        self._count_request()
        with self._lock:
            if dag_id not in self._dags:
                raise DagMissing(dag_id)
            kept = self._dags[dag_id]
            kept.dag = replace(kept.dag, is_paused=paused)
            return kept.dag

    def request_parse(self, dag: AirflowDag) -> None:
        """Record the request to parse a DAG's file."""
        self._count_request()
        if self.on_parse is not None:
            self.on_parse(dag)

    def trigger(self, dag_id: str, run_id: str, *, logical_date: datetime, conf: Mapping[str, Any]) -> DagRun:
        """Trigger a run."""
        self._count_request()
        with self._lock:
            kept = self._dags.get(dag_id)
            if kept is None or kept.dag.is_stale:
                raise DagMissing(dag_id)
            dates = (
                other.run.logical_date for (other_dag, _), other in self._runs.items() if other_dag == dag_id
            )
            if (dag_id, run_id) in self._runs or logical_date in dates:
                raise RunExists(run_id)
            run = DagRun(
                dag_id=dag_id,
                run_id=run_id,
                state="queued",
                run_type="manual",
                run_after=self._now(),
                logical_date=logical_date,
                data_interval_start=logical_date,
                data_interval_end=logical_date,
                queued_at=self._now(),
                conf=dict(conf),
                note=note_of_start(conf, logical_date),
            )
            return self._add(run)

    def get_run(self, dag_id: str, run_id: str) -> DagRun | None:
        """Return a run."""
        self._count_request()
        kept = self._runs.get((dag_id, run_id))
        return kept.run if kept else None

    def list_runs(self, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> RunPage:
        """Return a page of at most ``limit`` runs (and at most 100), the last created first."""
        self._count_request()
        with self._lock:
            numbered = list(enumerate(self._runs.values()))[::-1]
        if cursor and not cursor.isdigit():
            raise WrongCursor
        before = int(cursor) if cursor else len(numbered)
        found = [
            (n, kept.run)
            for n, kept in numbered
            if n < before
            and wanted.holds(kept.run)
            and (wanted.changed_from is None or kept.changed_at >= wanted.changed_from)
        ]
        page = found[: min(limit, PAGE_LIMIT)]
        more = len(found) > len(page)
        return RunPage(runs=tuple(run for _, run in page), next_cursor=str(page[-1][0]) if more else None)

    def set_run_state(
        self, dag_id: str, run_id: str, state: Literal["success", "failed"], *, note: str
    ) -> DagRun | None:
        """Write a run's note, then set the state of the run and its tasks."""
        self._count_request()
        with self._lock:
            kept = self._runs.get((dag_id, run_id))
            if kept is None:
                return None
            if not kept.attempt.ended:
                kept.attempt = self._ended_early(kept.attempt, state)
            self._change(kept, state=state, note=note, end_date=kept.run.end_date or self._now())
            return kept.run

    def clear_run(self, dag_id: str, run_id: str, *, note: str) -> DagRun | None:
        """Clear a finished run, with a new note."""
        self._count_request()
        with self._lock:
            kept = self._runs.get((dag_id, run_id))
            if kept is None:
                return None
            tries = kept.attempt.try_number + self._dags[dag_id].retries
            kept.attempt = replace(kept.attempt, state=None, max_tries=tries)
            kept.wait_error = None
            self._change(
                kept, state="queued", note=note, queued_at=self._now(), start_date=None, end_date=None
            )
            return kept.run

    def process_is_gone(self, dag_id: str, run_id: str, try_number: int) -> bool:
        """Say whether the process of an attempt that was stopped from outside is known to have exited."""
        self._count_request()
        kept = self._runs.get((dag_id, run_id))
        return kept is not None and try_number in kept.logs and not self.processes_linger

    def attempts(self, runs: Sequence[DagRun]) -> list[TaskAttempt]:
        """Return the latest attempt of each run that has one."""
        self._count_request()
        kept = (self._runs[run.key] for run in runs if run.key in self._runs)
        return [one.attempt for one in kept if one.task_id == TASK_ID]

    def task_ids(self, run: DagRun) -> list[str]:
        """Return the ids of a run's tasks."""
        self._count_request()
        kept = self._runs.get(run.key)
        return [kept.task_id] if kept else []

    def wait_error(self, dag_id: str, run_id: str) -> str | None:
        """Return why a run failed while it waited for other datasets; None if it did not fail there."""
        self._count_request()
        kept = self._runs.get((dag_id, run_id))
        return kept.wait_error if kept else None

    def check_results(self, dag_id: str, run_id: str) -> list[CheckResult]:
        """Return what the checks of a run's last attempt found; none for a run without checks."""
        self._count_request()
        kept = self._runs.get((dag_id, run_id))
        return kept.checks if kept else []

    def running_attempts(self) -> list[TaskAttempt]:
        """Return all running attempts, over all DAGs."""
        self._count_request()
        with self._lock:
            kept = [one for one in self._runs.values() if one.task_id == TASK_ID]
            return [one.attempt for one in kept if one.attempt.state == "running"]

    def waiting_attempts(self) -> list[TaskAttempt]:
        """Return the attempts of tasks in which runs wait for other datasets, over all DAGs."""
        self._count_request()
        with self._lock:
            kept = [one for one in self._runs.values() if one.waiting_since and not one.run.finished]
            return [
                replace(
                    one.attempt, task_id=f"{WAIT_PREFIX}0", state="deferred", start_date=one.waiting_since
                )
                for one in kept
            ]

    def versions(self, runs: Sequence[DagRun]) -> list[RunVersion]:
        """Return the spec version of each run's latest started attempt."""
        self._count_request()
        kept = (self._runs[run.key].version for run in runs if run.key in self._runs)
        return [version for version in kept if version is not None]

    def log(self, dag_id: str, run_id: str, try_number: int) -> list[LogEvent] | None:
        """Return the log of one attempt; None if there was no such attempt."""
        self._count_request()
        kept = self._runs.get((dag_id, run_id))
        return list(kept.logs[try_number]) if kept and try_number in kept.logs else None

    def connection_type(self, connection_id: str) -> str | None:
        """Return the type of a connection; None if there is no such connection."""
        self._count_request()
        return self.connections.get(connection_id)

    def variables(self, prefix: str) -> dict[str, str]:
        """Return the values of all Variables whose keys begin with a prefix."""
        self._count_request()
        with self._lock:
            found = sorted(self.stored_variables.items())
        return {key: value for key, value in found if key.startswith(prefix)}

    def variable(self, key: str) -> str | None:
        """Return the value of a Variable; None if there is no such Variable."""
        self._count_request()
        return self.stored_variables.get(key)

    def set_variable(self, key: str, value: str, *, description: str) -> None:  # noqa: ARG002 - nobody reads it here
        """Create a Variable, or give it another value."""
        self._count_request()
        with self._lock:
            self.stored_variables[key] = value

    def import_errors(self) -> list[DagImportError]:
        """Return the import errors of DAG files."""
        self._count_request()
        with self._lock:
            return list(self._import_errors.values())

    def _change(self, kept: _Run, **changes: Any) -> None:
        kept.run = replace(kept.run, **changes)
        kept.changed_at = self._now()

    def _ended_early(self, attempt: TaskAttempt, state: str) -> TaskAttempt:
        now = self._now()
        if attempt.state == "running":
            return replace(attempt, state=state, end_date=now)
        return replace(attempt, state="skipped", start_date=attempt.start_date or now, end_date=now)

    def _add(self, run: DagRun) -> DagRun:
        dag = self._dags[run.dag_id]
        attempt = TaskAttempt(
            dag_id=run.dag_id,
            run_id=run.run_id,
            state=None,
            try_number=0,
            max_tries=dag.retries,
            operator=dag.operator,
        )
        self._runs[run.key] = _Run(run, attempt, self._now(), task_id=dag.task_id)
        return run

    def _count_request(self) -> None:
        self.requests += 1
        if self.down is not None:
            raise AirflowUnreachable("Airflow does not answer.", detail=f"{self.url}: {self.down}")
