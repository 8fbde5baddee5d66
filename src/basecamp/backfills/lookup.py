"""Show and list backfills: their plans in the store, and what Airflow says of the present date's run."""

from __future__ import annotations

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun
from basecamp.backfills.plans import PlanStore, ReadPlans
from basecamp.datasets.dataset_names import DatasetNames
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.shared.cursors import decode_cursor, encode_cursor
from basecamp.shared.last_known import ListPage, ValueWithWarnings
from dataspec.errors import AirflowUnreachable, BackfillNotFound, BackfillPlanLost
from dataspec.models import Backfill, RunStatus
from dataspec.schedule.backfill_plan import BackfillPlan
from dataspec.schedule.run_ids import parse_run_id
from dataspec.spec.identity import check_name

MAX_ID_LENGTH = 250
STOPPING_NOTE = "Stopping."


class BackfillLookup:
    """Finds backfills."""

    def __init__(self, plans: PlanStore, gateway: AirflowGateway, names: DatasetNames) -> None:
        self._plans = plans
        self._names = names
        self._gateway = gateway

    def find(self, backfill_id: str, permitted: PermittedDatasets = EVERY_DATASET) -> BackfillPlan:
        """Return the plan of a backfill.

        Raises:
            BackfillNotFound: When there is none of that id whose datasets are all permitted.
            BackfillPlanLost: When there is none, and a damaged plan may have been its.
            NewerFormat, CorruptObject: When its plan can't be read.
            StoreUnreachable: When the store does not answer.
        """
        if len(backfill_id) > MAX_ID_LENGTH:
            raise BackfillNotFound(backfill_id[:MAX_ID_LENGTH])
        if (plan := self._plans.find(backfill_id)) and _is_permitted(plan, permitted):
            return plan
        if plan:
            raise BackfillNotFound(backfill_id)
        if lost := self._plans.lost_plan(backfill_id):
            raise BackfillPlanLost(backfill_id, lost)
        raise BackfillNotFound(backfill_id)

    def get(
        self, backfill_id: str, permitted: PermittedDatasets = EVERY_DATASET
    ) -> ValueWithWarnings[Backfill]:
        """Return a backfill; while Airflow does not answer, what the store knows of it, with a warning.

        Raises:
            BackfillNotFound: When there is none of that id whose datasets are all permitted.
            StoreUnreachable: When the store does not answer.
        """
        return self._shown(self.find(backfill_id, permitted))

    def page(
        self,
        *,
        dataset: str | None = None,
        active: bool | None = None,
        permitted: PermittedDatasets = EVERY_DATASET,
        limit: int,
        cursor: str | None = None,
    ) -> ListPage[Backfill]:
        """Return backfills, newest first.

        Args:
            dataset: Only backfills that build this dataset, chains of others among them; all if not given.
            active: Only active backfills, or only ended ones; both if not given.
            permitted: The datasets whose backfills the caller may see.
            limit: The maximum number.
            cursor: The end of the page before.

        Raises:
            WrongCursor: For a cursor of another list.
            InvalidName: When the dataset's name can't be one.
            DatasetNotFound: When no dataset of that name is or was registered.
            StoreUnreachable: When the store does not answer.
        """
        before = decode_cursor(cursor, parts=2) if cursor else None
        if dataset is not None and check_name(dataset) not in permitted:
            self._names.check(dataset, permitted)
        read_active = ReadPlans(()) if active is False else self._active(dataset, permitted)
        active_plans = {plan.backfill_id: plan for plan in read_active.plans}
        listed = [] if active is True else self._ended(dataset)
        ended = [name for name in listed if name not in active_plans and _dataset_of(name) in permitted]
        if dataset is not None and not (active_plans or listed):
            self._names.check(dataset, permitted)
        placed = sorted(((_place(name), name) for name in (*active_plans, *ended)), reverse=True)
        rest = [name for place, name in placed if before is None or [place, name] < before]
        names = rest[:limit]
        read_ended = self._plans.read_ended(name for name in names if name not in active_plans)
        ended_plans = {plan.backfill_id: plan for plan in read_ended.plans}
        plans = [active_plans.get(name) or ended_plans.get(name) for name in names]
        shown = [self._shown(plan) for plan in plans if plan is not None and _is_permitted(plan, permitted)]
        unread = (*read_active.warnings, *read_ended.warnings, *self._plans.lost(dataset, permitted))
        more = len(rest) > limit
        return ListPage(
            items=[known.value for known in shown],
            next_cursor=encode_cursor([_place(names[-1]), names[-1]]) if more else None,
            warnings=tuple(dict.fromkeys((*unread, *(text for known in shown for text in known.warnings)))),
        )

    def _active(self, dataset: str | None, permitted: PermittedDatasets) -> ReadPlans:
        if dataset:
            return self._plans.active_with(dataset)
        return self._plans.all_active(permitted.among(self._plans.active_datasets()))

    def _ended(self, dataset: str | None) -> list[str]:
        return self._plans.ended_ids_with(dataset) if dataset else self._plans.ended_ids()

    def _shown(self, plan: BackfillPlan) -> ValueWithWarnings[Backfill]:
        try:
            return ValueWithWarnings(self._record(plan))
        except AirflowUnreachable as error:
            status = RunStatus.RUNNING if plan.has_begun else RunStatus.PENDING
            text = f"{error.title} The backfill continues when Airflow is available again."
            return ValueWithWarnings(record(plan, status, text), (text,))

    def _record(self, plan: BackfillPlan) -> Backfill:
        if plan.outcome is not None:
            return record(plan, plan.outcome.status, plan.outcome.note)
        return record(plan, self._status(plan), self._note(plan))

    def _status(self, plan: BackfillPlan) -> RunStatus:
        """Return PENDING until an attempt has started, as for a run."""
        if plan.at > 0 or plan.ahead:
            return RunStatus.RUNNING
        steps = map(plan.step_of, plan.current)
        runs = (self._gateway.get_run(step.dataset, plan.run_id_of(step)) for step in steps)
        has_started = any(run is not None and self._has_started(run) for run in runs)
        return RunStatus.RUNNING if has_started else RunStatus.PENDING

    def _has_started(self, run: DagRun) -> bool:
        return run.finished or any(attempt.started for attempt in self._gateway.attempts([run]))

    def _note(self, plan: BackfillPlan) -> str | None:
        """Return what an active backfill waits for, other than the runs of its present dates."""
        if plan.stop is not None:
            return STOPPING_NOTE
        for date in plan.current:
            dataset = plan.step_of(date).dataset
            found = self._gateway.get_dag(dataset)
            if found is None or found.dag.is_stale:
                return f"Waiting until Airflow has loaded the dataset, to build {plan.label(date)}."
            if found.dag.is_paused:
                return f"Waiting: the dataset is paused. Resume it with: dli workflow unpause {dataset}"
        return None


def record(plan: BackfillPlan, status: RunStatus, note: str | None = None) -> Backfill:
    """Return a backfill of a status."""
    outcome = plan.outcome
    is_on = outcome is None and not plan.is_through
    first, last = plan.shown(plan.span) if plan.span else (None, None)
    return Backfill(
        backfill_id=plan.backfill_id,
        dataset_name=plan.dataset,
        status=status,
        start=plan.start,
        end=plan.end,
        every=plan.every,
        dates_total=len(plan.dates),
        dates_done=len(plan.built),
        already_built=len(plan.built_before),
        datasets=list(plan.datasets),
        current_date=plan.step.partition if is_on else None,
        current_dataset=plan.step.dataset if is_on else None,
        current_run_id=plan.run_id_of(plan.step) if is_on else None,
        first_partition=first,
        last_partition=last,
        current_partition=plan.shown([plan.date])[0] if is_on else None,
        current_partitions=plan.shown(plan.current) if is_on else [],
        failed_dates=list(plan.failed),
        failed=plan.shown(plan.failed),
        not_built=plan.shown(plan.not_built),
        parameters=dict(plan.parameters),
        reverse=plan.reverse,
        keep_going=plan.keep_going,
        adopt=plan.adopt,
        full_refresh=plan.full_refresh,
        requested_by=plan.requested_by,
        created_at=plan.created_at,
        finished_at=outcome.at if outcome else None,
        error=outcome.error if outcome else None,
        note=note,
    )


def _is_permitted(plan: BackfillPlan, permitted: PermittedDatasets) -> bool:
    return all(dataset in permitted for dataset in plan.datasets)


def _dataset_of(backfill_id: str) -> str | None:
    parsed = parse_run_id(backfill_id)
    return parsed.dataset if parsed else None


def _place(backfill_id: str) -> str:
    """Return what a backfill is put in order by: its moment."""
    parsed = parse_run_id(backfill_id)
    return parsed.at.isoformat() if parsed else ""
