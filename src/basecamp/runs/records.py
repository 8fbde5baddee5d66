"""Turn Airflow's runs into the API's (docs/architecture.md, "A dataset in Airflow")."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias, get_args
from urllib.parse import quote

from cachetools import FIFOCache

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import STARTED_BY, DagRun, RunFilter, RunVersion, TaskAttempt
from basecamp.datasets.takeovers import Takeovers
from basecamp.runs.all_runs import all_runs
from basecamp.runs.notes import RETRIED_BY, STOPPED_BY, read_note
from basecamp.runs.values import ValuesOfRuns
from basecamp.shared.clock import Clock, earlier_now
from dataspec.contract import (
    CONF_KEY,
    TIMETABLE_RUN_TYPES,
    given_parameters,
    is_dataset_task,
)
from dataspec.errors import StoreUnreachable
from dataspec.models import IN_AIRFLOW, RunStatus, RunType, SourceType, WorkflowRun
from dataspec.schedule.partitions import Grid, Partition
from dataspec.spec.model import DatasetSpec
from dataspec.spec.run_values import RunValues

SETTLED_AFTER = timedelta(minutes=5)
"""Time after its end after which a run changes only by a retry, which gives it another end."""

MAX_SETTLED = 50_000
"""Maximum number of ended runs whose attempt and version are cached, some 1 KB each."""

MAX_ACTIVE_VERSIONS = 10_000
"""Maximum number of active runs whose spec version is cached."""

_Facts: TypeAlias = "tuple[TaskAttempt | None, RunVersion | None, bool]"
"""A run's attempt, the version that it ran, and whether another DAG's code ran in it."""

OTHER_CODE = "The dataset was not built: in this run Airflow ran the code of another DAG with its id"


class RunRecords:
    """Builds the API's runs from Airflow's, for many at once.

    Facts of runs that ended a while ago are cached: Airflow takes most of a second for the versions of a page.
    """

    def __init__(
        self,
        values: ValuesOfRuns,
        gateway: AirflowGateway,
        airflow_public_url: str,
        clock: Clock,
        takeovers: Takeovers,
    ) -> None:
        self._values = values
        self._gateway = gateway
        self._takeovers = takeovers
        self._public_url = airflow_public_url
        self._clock = clock
        self._settled: FIFOCache[tuple[str, str, datetime | None], _Facts] = FIFOCache(MAX_SETTLED)
        self._active_versions: FIFOCache[tuple[str, str], RunVersion] = FIFOCache(MAX_ACTIVE_VERSIONS)
        self._lock = threading.Lock()

    def of(self, runs: Sequence[DagRun]) -> list[WorkflowRun]:
        """Return runs as the API shows them, in the same order.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer, and never did.
        """
        if not runs:
            return []
        facts = self._facts(runs)
        ran = {key: version.spec_hash for key, (_, version, _) in facts.items() if version}
        values = self._values.of([run for run in runs if not facts[run.key][2]], ran)
        return [self._record(run, facts[run.key], values.get(run.key)) for run in runs]

    def partitions(self, runs: Sequence[DagRun]) -> dict[tuple[str, str], tuple[Partition | None, Grid]]:
        """Return the partition of each run, and those of the schedule by which it ran, without runs of other DAGs.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer, and never did.
        """
        facts = self._facts(runs)
        ran = {key: version.spec_hash for key, (_, version, _) in facts.items() if version}
        own = [run for run in runs if (attempt := facts[run.key][0]) and attempt.is_dataset]
        return self._values.partitions(own, ran)

    def _facts(self, runs: Sequence[DagRun]) -> dict[tuple[str, str], _Facts]:
        """Return each run's facts; ask Airflow only about runs that may still change."""
        with self._lock:
            known = {run.key: facts for run in runs if (facts := self._settled.get(_end_of(run)))}
        unknown = [run for run in runs if run.key not in known]
        if not unknown:
            return known
        attempts = {(found.dag_id, found.run_id): found for found in self._gateway.attempts(unknown)}
        versions = self._versions(unknown, attempts)
        found = {
            run.key: self._with_code(run, attempts.get(run.key), versions.get(run.key)) for run in unknown
        }
        self._keep([run for run in unknown if self._is_settled(run)], found)
        return known | found

    def _with_code(self, run: DagRun, attempt: TaskAttempt | None, version: RunVersion | None) -> _Facts:
        """Return a run's facts, with whether another DAG's code ran in it.

        Airflow keeps the operator with each task, and our operator's first act is to report
        which version it runs. So a successful attempt without a report ran other code.
        """
        ended_well = attempt is not None and run.state == attempt.state == "success" and attempt.started > 0
        other = (ended_well and version is None) or is_of_other_dag(self._gateway, run, attempt)
        if other:
            with suppress(StoreUnreachable):
                self._takeovers.ran(run)
        return attempt, version, other

    def ran_other_code(self, run: DagRun) -> bool:
        """Return whether a run is another DAG's, or ran another DAG's code.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
        """
        return self._facts([run])[run.key][2]

    def version_of(self, run: DagRun) -> str | None:
        """Return the hash of the spec that a run's last attempt ran; None before the first attempt.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
        """
        version = self._facts([run])[run.key][1]
        return version.spec_hash if version else None

    def active(self, datasets: Collection[str]) -> list[DagRun]:
        """Return the queued and running runs of datasets, the last created first.

        A run of another DAG with a dataset's id is left out, unless Basecamp started it.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
        """
        one = next(iter(datasets)) if len(datasets) == 1 else None
        wanted = RunFilter(dag_id=one, states=("queued", "running"))
        runs = [run for run in all_runs(self._gateway, wanted) if run.dag_id in datasets]
        facts = self._facts(runs)
        return [run for run in runs if CONF_KEY in run.conf or not facts[run.key][2]]

    def _versions(
        self, runs: Sequence[DagRun], attempts: Mapping[tuple[str, str], TaskAttempt]
    ) -> dict[tuple[str, str], RunVersion]:
        """Return the version that each run's last attempt ran, and how many rows it has written.

        The version never changes, so it is requested once while the run goes on, and again with the rows at its end.
        """
        started = [run for run in runs if (attempt := attempts.get(run.key)) and attempt.started]
        with self._lock:
            known = {
                run.key: version
                for run in started
                if (version := self._active_versions.get(run.key))
                and version.try_number == attempts[run.key].started
                and (version.rows is not None or not run.finished)
            }
        unknown = [run for run in started if run.key not in known]
        newest: dict[tuple[str, str], RunVersion] = {}
        for version in self._gateway.versions(unknown) if unknown else ():
            kept = newest.get((version.dag_id, version.run_id))
            if kept is None or kept.try_number < version.try_number:
                newest[version.dag_id, version.run_id] = version
        with self._lock:
            self._active_versions.update(newest)
        return known | newest

    def _is_settled(self, run: DagRun) -> bool:
        if not run.finished or run.end_date is None:
            return False
        return earlier_now(self._gateway, self._clock) - run.end_date > SETTLED_AFTER

    def _keep(self, runs: Sequence[DagRun], found: Mapping[tuple[str, str], _Facts]) -> None:
        with self._lock:
            self._settled.update({_end_of(run): found[run.key] for run in runs})

    def of_new(self, run: DagRun, spec: DatasetSpec, values: RunValues) -> WorkflowRun:
        """Return a run that was just created, without asking Airflow again: it has no attempt yet."""
        record = self._record(run, (None, None, False), values)
        return replace(record, max_attempts=spec.retry.max_attempts + 1)

    def _record(self, run: DagRun, facts: _Facts, values: RunValues | None) -> WorkflowRun:
        attempt, version, other = facts
        started = attempt.started if attempt else 0
        begun = attempt is not None and attempt.has_begun(run)
        act = read_note(run.note)
        stopped, retried = (act if act and act.mark == mark else None for mark in (STOPPED_BY, RETRIED_BY))
        return WorkflowRun(
            run_id=run.run_id,
            dataset_name=run.dag_id,
            source_type=SourceType(version.source) if version and not other else None,
            spec_hash=version.spec_hash if version and not other else None,
            status=run_status(run, begun=begun, other_code=other),
            run_type=run_type(run),
            partition=values.run_partition if values else None,
            partition_label=values.partition_label if values else None,
            parameters=dict(values.parameters) if values else given_parameters(run.conf),
            created_at=run.run_after,
            started_at=_started_at(run, attempt) if begun else None,
            finished_at=run.end_date if run.finished else None,
            duration_seconds=_duration(attempt) if run.finished and begun else None,
            rows=version.rows if version and run.finished and not other else None,
            attempts=started,
            max_attempts=attempt.max_tries + 1 if attempt else None,
            error=self.why_other(run) if other else None,
            other_code=other,
            requested_by=requested_by(run),
            stopped_by=stopped.by if stopped else None,
            stopped_at=stopped.at if stopped else None,
            stop_reason=stopped.reason if stopped else None,
            retried_by=retried.by if retried else None,
            retried_at=retried.at if retried else None,
            note=None if (run.note or "").startswith(STARTED_BY) else run.note,
            url=self._url(run),
            backfill_id=_backfill_of(run),
            warnings=values.warnings if values else [],
        )

    def why_other(self, run: DagRun) -> str:
        """Return the error of a run in which another DAG's code ran, in one line."""
        seen = self._takeovers.seen.get(run.dag_id)
        return f"{OTHER_CODE}: {seen.place}." if seen else f"{OTHER_CODE}."

    def dag_url(self, dataset: str) -> str:
        """Return the address of a dataset's page in Airflow."""
        return f"{self._public_url}/dags/{quote(dataset, safe='')}"

    def _url(self, run: DagRun) -> str:
        return f"{self._public_url}{self._gateway.run_page(*run.key)}"


def run_status(run: DagRun, *, begun: bool, other_code: bool = False) -> RunStatus:
    """Return the status of a run.

    Args:
        run: The run.
        begun: Whether an attempt has started, since a retry if there was one.
        other_code: Whether another DAG's code ran in it: it built nothing then.
    """
    if run.state == "success":
        return RunStatus.FAILED if other_code else RunStatus.COMPLETED
    if run.state == "failed":
        return RunStatus.KILLED if is_killed(run) else RunStatus.FAILED
    return RunStatus.RUNNING if run.state == "running" and begun else RunStatus.PENDING


def is_killed(run: DagRun) -> bool:
    """Return whether a failed run was stopped."""
    return run.state == "failed" and (run.note or "").startswith(STOPPED_BY)


def is_of_other_dag(gateway: AirflowGateway, run: DagRun, attempt: TaskAttempt | None) -> bool:
    """Return whether a run's tasks are those of another DAG with the dataset's id.

    Raises:
        AirflowUnreachable: When Airflow does not answer.
    """
    if attempt is not None:
        return not attempt.is_dataset
    return not all(map(is_dataset_task, gateway.task_ids(run)))


def run_type(run: DagRun) -> RunType:
    """Return a run's type; a run started on Airflow's page counts as adhoc."""
    own = run.conf.get(CONF_KEY)
    said = own.get("run_type") if isinstance(own, dict) else None
    known: tuple[RunType, ...] = get_args(RunType)
    return next((word for word in known if word in {said, run.run_type}), "adhoc")


def requested_by(run: DagRun) -> str | None:
    """Return who started a run; None for one that the timetable made."""
    own = run.conf.get(CONF_KEY)
    by = own.get("requested_by") if isinstance(own, dict) else None
    if isinstance(by, str):
        return by
    return None if run.run_type in TIMETABLE_RUN_TYPES else IN_AIRFLOW


def _backfill_of(run: DagRun) -> str | None:
    own = run.conf.get(CONF_KEY)
    backfill_id = own.get("backfill_id") if isinstance(own, dict) else None
    return backfill_id if isinstance(backfill_id, str) else None


def key_of_request(run: DagRun) -> str | None:
    """Return the idempotency key of the request that started a run, if any."""
    own = run.conf.get(CONF_KEY)
    key = own.get("idempotency_key") if isinstance(own, dict) else None
    return key if isinstance(key, str) else None


def _started_at(run: DagRun, attempt: TaskAttempt | None) -> datetime | None:
    """Return when the first attempt started; Airflow keeps only the latest attempt's time."""
    return attempt.start_date if attempt and attempt.started == 1 else run.start_date


def _duration(attempt: TaskAttempt | None) -> float | None:
    """Return for how many seconds the last attempt ran."""
    if attempt is None or attempt.start_date is None or attempt.end_date is None:
        return None
    return round((attempt.end_date - attempt.start_date).total_seconds(), 3)


def _end_of(run: DagRun) -> tuple[str, str, datetime | None]:
    """Return a key for one end of a run: a retried run ends again. Active runs have none."""
    return (*run.key, run.end_date if run.finished else None)
