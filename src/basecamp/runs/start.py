"""Start adhoc runs (specification 12.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from basecamp.airflow.gateway import AirflowGateway, DagMissing, RunExists
from basecamp.airflow.models import DagRun
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_readiness import check_ready, not_loaded
from basecamp.datasets.spec_sql import SpecSql
from basecamp.datasets.submitted_specs import SubmittedSpec, file_to_run
from basecamp.datasets.table_options import check_table_options
from basecamp.datasets.takeovers import Takeovers
from basecamp.datasets.upstream_needs import UpstreamNeeds
from basecamp.runs.records import RunRecords, key_of_request
from basecamp.shared.clock import Clock, earlier_now
from basecamp.shared.idempotency import KeyedRequest, RequestPlan, Reservations
from basecamp.shared.refresh_cache import Changes
from basecamp.shared.request_facts import REQUEST_ID, note_facts
from basecamp.shared.waiting import Steps
from dataspec.catalog.effective import SpecFile
from dataspec.contract import ADOPT_KEY, CHECKS_ONLY_KEY, CONF_KEY, REFRESH_KEY, REQUEST_KEY, WAIT_KEY
from dataspec.errors import AirflowUnreachable, Conflict, InvalidUsage
from dataspec.models import RunPreview, SourceType, WorkflowRun
from dataspec.schedule.run_ids import adhoc_run_id
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.full_refresh import FullRefresh
from dataspec.spec.model import DatasetSpec
from dataspec.spec.run_values import RunValues, resolve_run, with_absolute_date
from dataspec.tracing import HEADER, traceparent

MAX_RUNS_A_SECOND = 50
TRIES = 3
PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A request to run a dataset."""

    dataset: str
    parameters: Mapping[str, Any]
    source: SourceType | None = None
    wait_for_upstream: bool = False
    adopt: bool = False
    """Whether the run takes over a table that the dataset has not built."""
    full_refresh: bool = False
    """Whether the run builds the table anew."""
    checks_only: bool = False
    """Whether the run checks the rows of the table, and builds nothing."""
    candidate: SubmittedSpec | None = None
    """For a preview: the spec to try out, in place of the registered one."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """The run to create: the second and the number in its id, and its logical date."""

    at: datetime
    counter: int
    logical_date: datetime

    @classmethod
    def of(cls, plan: RequestPlan) -> _Plan:
        return cls(plan.moment("at"), plan.number("counter"), plan.moment("logical_date"))

    def to_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "counter": self.counter,
            "logical_date": self.logical_date.isoformat(),
        }

    def run_id(self, dataset: str) -> str:
        return adhoc_run_id(dataset, self.at, self.counter)


class RunStarter:
    """Starts runs, once for each request.

    Args:
        specs: The specs in the store.
        connections: The teams whose specs may use each connection.
        gateway: The Airflow that runs them.
        reservations: The plans of requests with idempotency keys.
        clock: The clock.
        sql: Reads the SQL of specs, for a preview.
        takeovers: The datasets that other DAGs have taken over.
        records: Turns Airflow's runs into those that the API shows.
        needs: Finds the upstream partitions that a run needs and that are not built.
        is_taken: Returns whether an active backfill of a dataset has an id, which no run may have then.
        run_changes: Counts the runs that were started.
    """

    def __init__(
        self,
        specs: CatalogCache,
        gateway: AirflowGateway,
        reservations: Reservations,
        clock: Clock,
        *,
        connections: ConnectionTeams,
        sql: SpecSql,
        takeovers: Takeovers,
        records: RunRecords,
        needs: UpstreamNeeds,
        is_taken: Callable[[str, str], bool],
        run_changes: Changes,
    ) -> None:
        self._run_changes = run_changes
        self._connections = connections
        self._sql = sql
        self._takeovers = takeovers
        self._records = records
        self._needs = needs
        self._specs = specs
        self._gateway = gateway
        self._reservations = reservations
        self._clock = clock
        self._is_taken = is_taken

    def preview(self, request: RunRequest) -> RunPreview:
        """Return what a run would do. Start nothing; Airflow need not answer.

        Raises:
            Overridden, DatasetNotFound, InvalidSpec, Forbidden, InvalidUsage: As for a start.
            InvalidParameters: When the parameters don't fit the spec.
            InvalidTemplate: When the SQL can't be rendered with them, or parsed in its dialect.
            ServerBusy: When the server reads too much SQL already.
            StoreUnreachable: When the store does not answer.
        """
        file, spec = self._checked(request)
        values = resolve_run(spec, with_absolute_date(spec, request.parameters, self._clock.now()))
        refresh = FullRefresh() if request.full_refresh else None
        sql = self._sql.preview_run(spec, file, values, refresh)
        return RunPreview(
            dataset_name=request.dataset,
            source_type=file.source,
            spec_hash=file.spec_hash or "",
            partition=values.run_partition,
            parameters=values.parameters,
            statements=sql.statements,
            reads=sql.reads,
            writes=sql.writes,
            publishing=sql.publishing,
            registered=request.candidate is None,
            warnings=[
                *values.warnings,
                *sql.warnings,
                *self._missing(request, spec, values),
            ],
        )

    def start(
        self, request: RunRequest, *, requested_by: str, idempotency_key: str | None = None
    ) -> Steps[WorkflowRun]:
        """Start a run of the effective spec.

        Args:
            request: The dataset and its parameters.
            requested_by: The caller's name.
            idempotency_key: A second call with it returns the first one's run.

        Raises:
            Overridden: When ``manual`` was requested and code has the dataset.
            Forbidden: When the spec's connection is limited to other teams.
            Paused: When the dataset is paused.
            TakenOver: When another DAG has the dataset's id.
            InvalidParameters: When the parameters don't fit the spec.
            InvalidUsage: When the dataset has no table that the run could take over, or build anew.
            DatasetNotFound: When there is no such dataset.
            InvalidSpec: When the dataset's only spec can't be used.
            NotLoaded: When Airflow has not loaded it.
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer.
        """
        values = ["run", request.dataset, request.source, dict(request.parameters), *_own_conf(request)]
        start = partial(self._start, request, requested_by)
        return self._reservations.once_in_steps(
            idempotency_key, values, WorkflowRun, start, refresh=self._refresh
        )

    def _checked(self, request: RunRequest) -> tuple[SpecFile, DatasetSpec]:
        file, spec = file_to_run(
            self._specs, self._connections, request.dataset, request.source, request.candidate
        )
        check_table_options(spec, adopt=request.adopt, full_refresh=request.full_refresh, by_backfill=False)
        if request.checks_only:
            _check_checks(spec, request)
        return file, spec

    def _refresh(self, first: WorkflowRun) -> WorkflowRun:
        note_facts(run_id=first.run_id)
        run = self._gateway.get_run(first.dataset_name, first.run_id)
        return first if run is None or run.state == "queued" else self._records.of([run])[0]

    def _start(self, request: RunRequest, requested_by: str, keyed: KeyedRequest) -> Steps[WorkflowRun]:
        if keyed.plan is not None:
            own = self._own_run(request.dataset, _Plan.of(keyed.plan), keyed.key)
            if own is not None:
                note_facts(run_id=own.run_id, repeated=True)
                return self._records.of([own])[0]
        _, spec = self._checked(request)
        values = resolve_run(spec, with_absolute_date(spec, request.parameters, self._clock.now()))
        plan = _Plan(self._clock.now(), 1, earlier_now(self._gateway, self._clock))
        plan = _Plan.of(keyed.reserve(plan.to_json()))
        check_ready(self._takeovers.check(request.dataset), request.dataset)
        conf: dict[str, Any] = {
            "run_type": "adhoc",
            "requested_by": requested_by,
            "idempotency_key": keyed.key,
            REQUEST_KEY: REQUEST_ID.get(),
            **({HEADER: parent} if (parent := traceparent()) else {}),
            **_own_conf(request),
        }
        run = yield from self._trigger(request.dataset, plan, keyed, {**values.conf, CONF_KEY: conf})
        self._run_changes.note()
        note_facts(run_id=run.run_id)
        is_new = run.state == "queued"
        record = self._records.of_new(run, spec, values) if is_new else self._records.of([run])[0]
        missing = self._missing(request, spec, values)
        return replace(record, warnings=[*record.warnings, *missing])

    def _missing(self, request: RunRequest, spec: DatasetSpec, values: RunValues) -> list[str]:
        return [] if request.wait_for_upstream else self._needs.warnings(spec, [values.partition])

    def _trigger(
        self, dataset: str, plan: _Plan, keyed: KeyedRequest, conf: Mapping[str, Any]
    ) -> Steps[DagRun]:
        """Trigger a run; if its id is taken by another request, with the next number of that second."""
        for _ in range(MAX_RUNS_A_SECOND):
            if run := (yield from self._try(dataset, plan, conf)):
                return run
            # Logical dates must differ, even if the clock does not advance between two tries.
            earlier = earlier_now(self._gateway, self._clock) - timedelta(microseconds=plan.counter)
            following = _Plan(plan.at, plan.counter + 1, earlier)
            plan = _Plan.of(keyed.change(following.to_json()))
        raise Conflict(
            "Too many runs of this dataset were started in one second.", detail="Try again in a moment."
        )

    def _try(self, dataset: str, plan: _Plan, conf: Mapping[str, Any]) -> Steps[DagRun | None]:
        """Trigger a run, or return the one that an earlier try created; None if the id is taken.

        An id can be taken only once, so a failed try may be repeated.
        """
        run_id, key = plan.run_id(dataset), conf[CONF_KEY]["idempotency_key"]
        if self._is_taken(dataset, run_id):
            return None
        for tries_left in reversed(range(TRIES)):
            try:
                return self._gateway.trigger(dataset, run_id, logical_date=plan.logical_date, conf=conf)
            except RunExists:
                return self._own_run(dataset, plan, key)
            except DagMissing:
                raise not_loaded(dataset) from None
            except AirflowUnreachable as error:
                if run := self._after_trouble(dataset, plan, key, error):
                    return run
                if not tries_left:
                    raise
            yield PAUSE_SECONDS
        return None

    def _after_trouble(self, dataset: str, plan: _Plan, key: str, error: AirflowUnreachable) -> DagRun | None:
        """Return the run of a try whose response was lost or an error, if it was created."""
        try:
            return self._own_run(dataset, plan, key)
        except AirflowUnreachable:
            run_id = plan.run_id(dataset)
            detail = (
                f"{error.detail}\nWhether the run was started is not known. See: dli workflow status {run_id}"
            )
            raise AirflowUnreachable(error.title, detail=detail) from error

    def _own_run(self, dataset: str, plan: _Plan, key: str) -> DagRun | None:
        run = self._gateway.get_run(dataset, plan.run_id(dataset))
        return run if run is not None and key_of_request(run) == key else None


def _check_checks(spec: DatasetSpec, request: RunRequest) -> None:
    """Check that a run of the checks alone has some, and that it asks for nothing else.

    Raises:
        InvalidUsage: When it has none, or asks for more.
    """
    if request.adopt or request.full_refresh:
        raise InvalidUsage(
            "A run of the checks alone builds nothing: it takes no 'adopt' and no 'full_refresh'."
        )
    if not spec.checks_rows:
        raise InvalidUsage(f"'{spec.name}' has no checks.", detail="Write some under 'checks' in the spec.")


def _own_conf(request: RunRequest) -> dict[str, bool]:
    """Return the options of a request that a run's conf has; empty for a request without any."""
    options = {
        WAIT_KEY: request.wait_for_upstream,
        ADOPT_KEY: request.adopt,
        REFRESH_KEY: request.full_refresh,
        CHECKS_ONLY_KEY: request.checks_only,
    }
    return {key: True for key, given in options.items() if given}
