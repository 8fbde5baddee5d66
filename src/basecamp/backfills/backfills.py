"""All that can be asked of backfills: starting, showing, listing and stopping them."""

from __future__ import annotations

from basecamp.backfills.plans import PlanStore
from basecamp.backfills.reconciler import Reconciler
from basecamp.backfills.records import BackfillRecords, record
from basecamp.backfills.requests import BackfillRequest
from basecamp.backfills.start import BackfillStarter
from basecamp.backfills.steps import BackfillSteps
from basecamp.shared.clock import Clock
from basecamp.shared.cursors import decode_cursor, encode_cursor
from basecamp.shared.last_known import ListPage, ValueWithWarnings
from dataspec.errors import AirflowUnreachable, BackfillNotFound, InternalError, RunNotFound
from dataspec.models import Backfill, BackfillPreview, RunStatus
from dataspec.schedule.backfill_plan import BackfillPlan, StopOrder
from dataspec.schedule.run_ids import parse_run_id
from dataspec.spec.names import check_name

STOP_SECONDS = 100.0
"""How long a stop waits for the backfill to end; whatever happens, it will."""
LONGEST_PAUSE = 0.5
MAX_ID_LENGTH = 250


class Backfills:
    """Backfills. Each method raises what the part behind it does."""

    def __init__(
        self,
        *,
        plans: PlanStore,
        starting: BackfillStarter,
        steps: BackfillSteps,
        records: BackfillRecords,
        reconciler: Reconciler,
        clock: Clock,
    ) -> None:
        self._plans = plans
        self._starting = starting
        self.steps = steps
        self._records = records
        self._clock = clock
        self.reconciler = reconciler

    def start(
        self, request: BackfillRequest, *, requested_by: str, idempotency_key: str | None = None
    ) -> Backfill:
        """Start a backfill; see :meth:`~basecamp.backfills.start.BackfillStarter.start`."""
        plan = self._starting.start(request, requested_by=requested_by, idempotency_key=idempotency_key)
        self.reconciler.wake(plan.dataset)
        return record(plan, plan.outcome.status if plan.outcome else RunStatus.PENDING)

    def preview(self, request: BackfillRequest) -> BackfillPreview:
        """Return what a backfill would do; see :meth:`~basecamp.backfills.start.BackfillStarter.preview`."""
        return self._starting.preview(request)

    def get(self, backfill_id: str) -> ValueWithWarnings[Backfill]:
        """Return a backfill; while Airflow does not answer, what the store knows of it, with a warning.

        Raises:
            BackfillNotFound: When there is none of that id.
            StoreUnreachable: When the store does not answer.
        """
        return self._shown(self._find(backfill_id))

    def page(
        self, *, dataset: str | None = None, active: bool | None = None, limit: int, cursor: str | None = None
    ) -> ListPage[Backfill]:
        """Return backfills, newest first.

        Args:
            dataset: Those of one dataset; of all if not given.
            active: Those that go on, or those that have ended; both if not given.
            limit: How many at most.
            cursor: Where the page before ended.

        Raises:
            WrongCursor: For a cursor of another list.
            InvalidName: When the dataset's name can't be one.
            StoreUnreachable: When the store does not answer.
        """
        before = decode_cursor(cursor, parts=2) if cursor else None
        if dataset is not None:
            check_name(dataset)
        going_on = {} if active is False else self._active(dataset)
        ended = [] if active is True else [i for i in self._plans.ended_ids(dataset) if i not in going_on]
        placed = sorted(((_place(name), name) for name in (*going_on, *ended)), reverse=True)
        rest = [name for place, name in placed if before is None or [place, name] < before]
        names = rest[:limit]
        read = {plan.backfill_id: plan for plan in self._plans.read_ended(set(names) - going_on.keys())}
        plans = [going_on.get(name) or read.get(name) for name in names]
        shown = [self._shown(plan) for plan in plans if plan is not None]
        more = len(rest) > limit
        return ListPage(
            items=[known.value for known in shown],
            next_cursor=encode_cursor([_place(names[-1]), names[-1]]) if more else None,
            warnings=tuple(dict.fromkeys(text for known in shown for text in known.warnings)),
        )

    def stop(self, backfill_id: str, *, stopped_by: str, reason: str | None = None) -> Backfill:
        """Stop a backfill; return when it has ended and its run's query is cancelled.

        The order is written into the plan first, so that any replica carries it out if this one dies.
        One that has ended stays as it ended.

        Raises:
            BackfillNotFound: When there is none of that id.
            AirflowUnreachable: When Airflow does not answer; the order stands.
            StoreUnreachable: When the store does not answer.
        """
        plan = self._find(backfill_id)
        order = StopOrder(by=stopped_by, at=self._clock.now(), reason=reason)
        self._order(plan, order)
        deadline = self._clock.monotonic() + STOP_SECONDS
        while plan.outcome is None and self._clock.monotonic() < deadline:
            pause = self._carry_on(plan.dataset)
            plan = self._find(backfill_id)
            if plan.outcome is None:
                self._clock.wait(min(pause or 0.0, LONGEST_PAUSE))
        if plan.outcome is None:
            raise AirflowUnreachable(
                "The backfill has not ended yet.",
                detail=f"It was told to; it starts no further run. See: dli workflow status {backfill_id}",
            )
        return record(plan, plan.outcome.status, plan.outcome.note)

    def is_active_id(self, dataset: str, run_id: str) -> bool:
        """Say whether a run's id is that of the dataset's backfill, which no run may have."""
        try:
            held = self._plans.active(dataset)
        except InternalError:
            return False  # a plan that a later version wrote keeps nobody from running the dataset
        return held is not None and held.plan.backfill_id == run_id

    def _find(self, backfill_id: str) -> BackfillPlan:
        plan = self._plans.find(backfill_id) if len(backfill_id) <= MAX_ID_LENGTH else None
        if plan is None:
            raise BackfillNotFound(backfill_id[:MAX_ID_LENGTH])
        return plan

    def _active(self, dataset: str | None) -> dict[str, BackfillPlan]:
        datasets = [dataset] if dataset else self._plans.active_datasets()
        held = (self._plans.active(name) for name in datasets)
        return {one.plan.backfill_id: one.plan for one in held if one is not None}

    def _order(self, plan: BackfillPlan, order: StopOrder) -> None:
        """Write the order into the plan, unless it has ended or has one."""
        while True:
            held = self._plans.active(plan.dataset)
            if held is None or held.plan.backfill_id != plan.backfill_id:
                return
            if held.plan.outcome or held.plan.stop or self._plans.change(held, held.plan.stopping(order)):
                return

    def _carry_on(self, dataset: str) -> float | None:
        try:
            return self.steps.advance(dataset)
        except RunNotFound:
            return LONGEST_PAUSE  # somebody deleted it meanwhile
        except AirflowUnreachable as error:
            detail = f"{error.detail}\nThe backfill was told to stop; it does so as soon as Airflow answers."
            raise AirflowUnreachable(error.title, detail=detail) from error

    def _shown(self, plan: BackfillPlan) -> ValueWithWarnings[Backfill]:
        try:
            return ValueWithWarnings(self._records.of(plan))
        except AirflowUnreachable as error:
            status = RunStatus.RUNNING if plan.at or plan.asked_at else RunStatus.PENDING
            text = f"{error.title} The backfill continues when Airflow is available again."
            return ValueWithWarnings(record(plan, status, text), (text,))


def _place(backfill_id: str) -> str:
    """Return what a backfill is put in order by: its moment."""
    parsed = parse_run_id(backfill_id)
    return parsed.at.isoformat() if parsed else ""
