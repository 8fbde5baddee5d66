"""Start backfills: one at a time for each dataset, once for each request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from basecamp.airflow.gateway import AirflowGateway
from basecamp.backfills.lookup import record
from basecamp.backfills.missing import BuiltSteps
from basecamp.backfills.plans import PlanStore, StoredPlan
from basecamp.backfills.reconciler import Reconciler
from basecamp.backfills.requests import BackfillRequest, CheckedRequest, check_request
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_readiness import check_ready
from basecamp.datasets.spec_sql import SpecSql
from basecamp.datasets.takeovers import Takeovers
from basecamp.datasets.upstream_needs import UpstreamNeeds
from basecamp.shared.clock import Clock
from basecamp.shared.idempotency import KeyedRequest, Reservations
from basecamp.shared.request_facts import note_facts
from dataspec.errors import BackfillActive, Refused
from dataspec.models import Backfill, BackfillPreview, RunStatus
from dataspec.parameters import ParameterValueError
from dataspec.schedule.backfill_plan import BackfillPlan
from dataspec.schedule.date_ranges import DateRange
from dataspec.schedule.partitions import Grid, Partition
from dataspec.schedule.run_ids import adhoc_run_id
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.model import DatasetSpec


class BackfillStarter:
    """Starts backfills by writing their plans."""

    def __init__(
        self,
        *,
        specs: CatalogCache,
        connections: ConnectionTeams,
        gateway: AirflowGateway,
        plans: PlanStore,
        reservations: Reservations,
        clock: Clock,
        sql: SpecSql,
        takeovers: Takeovers,
        reconciler: Reconciler,
        needs: UpstreamNeeds,
        built: BuiltSteps,
    ) -> None:
        self._needs = needs
        self._built = built
        self._connections = connections
        self._sql = sql
        self._reconciler = reconciler
        self._takeovers = takeovers
        self._specs = specs
        self._gateway = gateway
        self._plans = plans
        self._reservations = reservations
        self._clock = clock

    def preview(self, request: BackfillRequest) -> BackfillPreview:
        """Return what a backfill would do. Start nothing; Airflow need not answer, except for ``missing``.

        Raises:
            InvalidTemplate: When the SQL can't be rendered with the parameters, or parsed in its dialect.
            ServerBusy: When too many calls are waiting.
            Refused: When ``resume`` or ``missing`` is given and every date is built.
            AirflowUnreachable: When ``missing`` is given and Airflow does not answer.
        """
        now = self._clock.now()
        checked = check_request(self._specs, self._connections, request, now)
        plan = self._plan(checked, now, "", "")
        preview = checked.preview(plan, self._sql)
        return replace(preview, warnings=[*preview.warnings, *self._missing(checked.spec, plan)])

    def start(
        self, request: BackfillRequest, *, requested_by: str, idempotency_key: str | None = None
    ) -> Backfill:
        """Write the plan of a backfill; the reconciler starts its runs.

        Args:
            request: The dataset, the dates and the parameters.
            requested_by: The caller's name.
            idempotency_key: A second call with it returns the first one's backfill.

        Raises:
            BackfillActive: When a backfill of one of its datasets is active.
            Paused: When one of its datasets is paused.
            TakenOver: When another DAG has the dataset's id.
            Refused: When ``resume`` or ``missing`` is given and every date is built.
            NewerFormat: When a newer version of Basecamp wrote the dataset's active plan.
            NotLoaded: When Airflow has not loaded the dataset.
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer.
            InvalidUsage: When the request is wrong; see :func:`check_request` for its other errors.
        """
        start = partial(self._start, request, requested_by)
        return self._reservations.once(
            idempotency_key, request.identity(), Backfill, start, refresh=self._refresh
        )

    def _refresh(self, first: Backfill) -> Backfill:
        note_facts(backfill_id=first.backfill_id)
        plan = self._plans.find(first.backfill_id)
        return first if plan is None else _record(plan)

    def _start(self, request: BackfillRequest, requested_by: str, keyed: KeyedRequest) -> Backfill:
        plan = self._own(request.dataset, keyed) or self._started(request, requested_by, keyed)
        note_facts(backfill_id=plan.backfill_id)
        self._reconciler.wake(plan.dataset)
        file = self._specs.known().value.get(request.dataset)
        found = _record(plan)
        return replace(found, warnings=[*found.warnings, *self._missing(file.spec if file else None, plan)])

    def _missing(self, spec: DatasetSpec | None, plan: BackfillPlan) -> list[str]:
        """Return a warning that names the upstream partitions that runs need and that are not built."""
        builds_upstream = any(one.dataset == plan.dataset and one.needs for one in plan.chain)
        if spec is None or plan.wait_for_upstream or builds_upstream:
            return []
        return self._needs.warnings(spec, _partitions(Grid.of(spec.schedule), plan.dates))

    def _own(self, dataset: str, keyed: KeyedRequest) -> BackfillPlan | None:
        """Return the plan that the first request with this key has written, if it did."""
        if keyed.plan is None:
            return None
        held = self._plans.active_or_free(dataset)
        if held is not None and held.plan.idempotency_key == keyed.key:
            return self._admitted(held)
        first = adhoc_run_id(dataset, keyed.plan.moment("at"))
        of_that_second = (name for name in self._plans.ended_ids(dataset) if name.startswith(first))
        ended = self._plans.read_ended(of_that_second)
        return next((plan for plan in ended.plans if plan.idempotency_key == keyed.key), None)

    def _started(self, request: BackfillRequest, requested_by: str, keyed: KeyedRequest) -> BackfillPlan:
        checked = check_request(self._specs, self._connections, request, self._clock.now())
        at = keyed.reserve({"at": self._clock.now().isoformat()}).moment("at")
        plan = self._plan(checked, at, keyed.key, requested_by)
        while True:
            numbered = self._numbered(plan)
            if numbered.outcome is not None:
                return numbered
            for dataset in plan.datasets:
                check_ready(self._takeovers.check(dataset), dataset)
            if created := self._create(numbered):
                return created

    def _plan(self, checked: CheckedRequest, at: datetime, key: str, requested_by: str) -> BackfillPlan:
        request = checked.request
        plan = BackfillPlan(
            backfill_id=adhoc_run_id(request.dataset, at),
            dataset=request.dataset,
            start=checked.range.start.isoformat(),
            end=checked.range.end.isoformat(),
            every=request.by,
            reverse=request.reverse,
            keep_going=request.keep_going,
            wait_for_upstream=request.wait_for_upstream,
            adopt=request.adopt,
            full_refresh=request.full_refresh,
            parameters=checked.parameters,
            dates=checked.dates,
            zone=checked.zone,
            chain=checked.chain,
            requested_by=requested_by,
            created_at=at,
            idempotency_key=key,
        )
        if request.missing:
            plan = self._without_built(plan, checked)
        return self._resumed(plan) if request.resume else plan

    def _without_built(self, plan: BackfillPlan, checked: CheckedRequest) -> BackfillPlan:
        """Return a plan without the partitions that are built; what is built once stays if anything else does."""
        steps = {date: plan.step_of(date) for date in plan.dates}
        grids = checked.grids
        built = self._built.among(steps.values(), grids)
        left = tuple(date for date, step in steps.items() if step not in built)
        if not any(steps[date].dataset in grids for date in left):
            raise Refused(
                f"Every partition from {plan.start} to {plan.end} is built already.",
                detail="Leave --missing out to build them again.",
            )
        return plan.changed(dates=left, built_before=tuple(date for date in steps if steps[date] in built))

    def _resumed(self, plan: BackfillPlan) -> BackfillPlan:
        """Return a plan without the dates that earlier backfills of its range have built."""
        last = self._last_of(plan)
        if last is None:
            return plan
        built = {*plan.built_before, *last.built_before, *last.built}
        left = tuple(day for day in plan.dates if day not in built)
        if not left:
            raise Refused(
                f"Every date from {plan.start} to {plan.end} is built already.",
                detail=f"By {last.backfill_id}. Leave --resume out to build them again.",
            )
        refreshed_by = (last.refreshed_by or last.backfill_id) if plan.full_refresh else None
        return plan.changed(dates=left, built_before=tuple(sorted(built)), refreshed_by=refreshed_by)

    def _last_of(self, plan: BackfillPlan) -> BackfillPlan | None:
        """Return the last ended backfill of the same range and parameters."""
        newest_first = sorted(self._plans.ended_ids(plan.dataset), reverse=True)
        for backfill_id in newest_first:
            ended = self._plans.ended(plan.dataset, backfill_id)
            if ended is not None and plan.continues(ended) and ended.idempotency_key != plan.idempotency_key:
                return ended
        return None

    def _numbered(self, plan: BackfillPlan) -> BackfillPlan:
        """Return a plan with a free id of its second; or this request's own plan, if it has ended."""
        number = 1
        while True:
            backfill_id = adhoc_run_id(plan.dataset, plan.created_at, number)
            ended = self._plans.ended(plan.dataset, backfill_id)
            if ended is not None and ended.idempotency_key == plan.idempotency_key:
                return ended
            if ended is None and self._gateway.get_run(plan.dataset, backfill_id) is None:
                return plan.changed(backfill_id=backfill_id)
            number += 1

    def _create(self, plan: BackfillPlan) -> BackfillPlan | None:
        """Write a plan; return it, or this request's own one, or None to try again."""
        held = self._plans.create(plan)
        if held is not None:
            return None if self._plans.discard_if_id_is_used(held) else self._admitted(held)
        held = self._plans.active_or_free(plan.dataset)
        if held is None:
            return None
        if held.plan.idempotency_key == plan.idempotency_key:
            return self._admitted(held)
        if held.plan.outcome is None:
            raise BackfillActive(held.plan.backfill_id)
        self._plans.put_away(held)
        return None

    def _admitted(self, held: StoredPlan) -> BackfillPlan | None:
        """Return a plan that may begin; None to try again, as another replica has removed it."""
        plan = held.plan
        if not (plan.is_admitted or plan.has_begun):
            taken = self._plans.admit(held)
            if taken is not None:
                dataset = taken.dataset if taken.dataset != plan.dataset else None
                raise BackfillActive(taken.backfill_id, dataset)
        return self._plans.find(plan.backfill_id)


def _partitions(grid: Grid, dates: Iterable[str]) -> Iterator[Partition]:
    """Yield the partitions of dates; none for a date on which no partition starts."""
    for date in dates:
        with suppress(ParameterValueError):
            yield grid.named(date)


def _record(plan: BackfillPlan) -> Backfill:
    found = record(plan, plan.outcome.status if plan.outcome else RunStatus.PENDING)
    dates = DateRange.parse(plan.start, plan.end)
    return replace(found, warnings=dates.left_out((*plan.dates, *plan.built_before)))
