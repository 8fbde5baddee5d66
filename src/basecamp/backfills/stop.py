"""Stop backfills (specification 14.9)."""

from __future__ import annotations

from functools import partial

from basecamp.backfills.lookup import BackfillLookup, record
from basecamp.backfills.plans import PlanStore
from basecamp.backfills.steps import BackfillSteps
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.shared.clock import Clock
from basecamp.shared.idempotency import KeyedRequest, Reservations
from basecamp.shared.request_facts import note_facts
from basecamp.shared.waiting import Steps
from dataspec.errors import AirflowUnreachable, RunNotFound
from dataspec.models import Backfill
from dataspec.schedule.backfill_plan import BackfillPlan, StopOrder

STOP_SECONDS = 100.0
"""How long a stop waits for the backfill to end; the backfill ends in any case."""
LONGEST_PAUSE = 0.5


class BackfillStopper:
    """Stops backfills."""

    def __init__(
        self,
        lookup: BackfillLookup,
        plans: PlanStore,
        steps: BackfillSteps,
        reservations: Reservations,
        clock: Clock,
    ) -> None:
        self._lookup = lookup
        self._reservations = reservations
        self._plans = plans
        self._steps = steps
        self._clock = clock

    def stop(
        self,
        backfill_id: str,
        permitted: PermittedDatasets = EVERY_DATASET,
        *,
        stopped_by: str,
        reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[Backfill]:
        """Stop a backfill; return when it has ended and its run's query is cancelled.

        The stop order is written into the plan first: another replica carries it out if this one dies.
        A backfill that has ended is left unchanged.

        Raises:
            BackfillNotFound: When there is none of that id whose datasets are all permitted.
            AirflowUnreachable: When Airflow does not answer; the stop order stays in the plan.
            StoreUnreachable: When the store does not answer.
        """
        values = ["stop backfill", backfill_id, reason]
        stop = partial(self._stop, backfill_id, permitted, stopped_by, reason)
        return self._reservations.once_in_steps(idempotency_key, values, Backfill, stop)

    def _stop(
        self,
        backfill_id: str,
        permitted: PermittedDatasets,
        stopped_by: str,
        reason: str | None,
        keyed: KeyedRequest,
    ) -> Steps[Backfill]:
        plan = self._lookup.find(backfill_id, permitted)
        keyed.reserve({})
        note_facts(dataset=plan.dataset)
        order = StopOrder(by=stopped_by, at=self._clock.now(), reason=reason)
        self._order(plan, order)
        deadline = self._clock.monotonic() + STOP_SECONDS
        while plan.outcome is None and self._clock.monotonic() < deadline:
            pause = yield from self._carry_on(plan.dataset)
            plan = self._lookup.find(backfill_id)
            if plan.outcome is None:
                yield min(pause or 0.0, LONGEST_PAUSE)
        if plan.outcome is None:
            raise AirflowUnreachable(
                "The backfill has not ended yet.",
                detail=f"The stop is stored: no further run starts. See: dli workflow status {backfill_id}",
            )
        return record(plan, plan.outcome.status, plan.outcome.note)

    def _order(self, plan: BackfillPlan, order: StopOrder) -> None:
        """Write the stop order into the plan, unless it has ended or has one."""
        while True:
            held = self._plans.active_or_free(plan.dataset)
            if held is None or held.plan.backfill_id != plan.backfill_id:
                return
            if held.plan.outcome or held.plan.stop or self._plans.change(held, held.plan.stopping(order)):
                return

    def _carry_on(self, dataset: str) -> Steps[float | None]:
        try:
            return (yield from self._steps.advance(dataset))
        except RunNotFound:
            return LONGEST_PAUSE  # it was deleted meanwhile
        except AirflowUnreachable as error:
            detail = f"{error.detail}\nThe stop is stored: the backfill stops as soon as Airflow answers."
            raise AirflowUnreachable(error.title, detail=detail) from error
