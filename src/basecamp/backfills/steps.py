"""The next step of a backfill, decided by the plan in the store and the run in Airflow.

Any replica may repeat a step, and a process may die after any step: every decision is a
compare-and-swap of the plan, and the run of a date has an id that can't
be created twice. A swap can't stop a call to Airflow that is already on its way.
So a run is requested only right after a swap that records the request, and a backfill
ends without a run of its present date only when no such call can be on its way.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from basecamp.airflow.gateway import AirflowGateway, DagMissing, RunExists
from basecamp.airflow.models import DagRun
from basecamp.backfills.plans import PlanStore, StoredPlan
from basecamp.datasets.catalog_cache import CatalogCache, find_spec
from basecamp.datasets.takeovers import Takeovers
from basecamp.notifications.outbox import Outbox
from basecamp.runs.failure_reasons import FailureReasons
from basecamp.runs.records import RunRecords, is_killed
from basecamp.runs.stop import RunStopper
from basecamp.shared.clock import Clock, airflow_now, earlier_now
from basecamp.shared.unchanged import Unchanged
from basecamp.shared.waiting import Steps
from dataspec.catalog.effective import Catalog
from dataspec.contract import ADOPT_KEY, CONF_KEY, REFRESH_KEY, WAIT_KEY, write_full_refresh
from dataspec.errors import (
    DatasetNotFound,
    DliError,
    Forbidden,
    InvalidParameters,
    InvalidSpec,
    TakenOver,
)
from dataspec.models import RunStatus
from dataspec.parameters import EXECUTION_DATE
from dataspec.schedule.backfill_plan import BackfillPlan, Outcome
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.full_refresh import FullRefresh
from dataspec.spec.run_values import resolve_run

log = logging.getLogger(__name__)

AT_ONCE = 0.0
SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
PAUSE_SHARE = 0.01
"""The pause between two looks at a run, as a share of the time that it has taken."""
EXPECTED_SHARE = 0.8
"""Share of the previous date's duration before which a run is not expected to end."""
WAIT_SECONDS = 2.0
"""Seconds until the next look when a change is needed first, such as the end of a pause."""
ON_ITS_WAY_SECONDS = 45.0
"""How long after a request a run may still appear: longer than a call to Airflow with its retries."""
LEFT_NAMED = 20
"""Maximum number of partitions that were not built that an error names."""


@dataclass(slots=True, kw_only=True)
class BackfillSteps:
    """Advances backfills, a step at a time. Safe to share between threads.

    Args:
        plans: The plans in the store.
        specs: The specs in the store.
        connections: The teams whose specs may use each connection.
        gateway: The Airflow that runs them.
        stopper: Stops a run and its query.
        takeovers: The datasets that other DAGs have taken over.
        records: Knows whether another DAG's code ran.
        reasons: Reads why a run failed.
        outbox: Takes the message about its end.
        clock: The clock.
    """

    plans: PlanStore
    specs: CatalogCache
    connections: ConnectionTeams
    gateway: AirflowGateway
    stopper: RunStopper
    takeovers: Takeovers
    records: RunRecords
    reasons: FailureReasons
    outbox: Outbox
    clock: Clock
    _took: dict[str, float] = field(default_factory=dict)
    """Seconds that the last date of each backfill took, as far as this replica knows."""
    _asked: Unchanged = field(init=False)

    def __post_init__(self) -> None:
        self._asked = Unchanged(self.clock)

    def advance(self, dataset: str) -> Steps[float | None]:
        """Advance a dataset's backfill until it has to wait.

        Returns:
            The seconds until the next look; None when it has ended, or there is none.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer.
            NewerFormat: When a newer version of Basecamp wrote the plan.
        """
        pause: float | None = AT_ONCE
        while pause == AT_ONCE:
            held = self.plans.active_or_free(dataset)
            pause = (yield from self._step(held)) if held else None
        return pause

    def _step(self, held: StoredPlan) -> Steps[float | None]:
        plan = held.plan
        self._asked_seconds(plan)  # begins to measure
        if plan.outcome is not None:
            self._announce_end(plan)
            self.plans.put_away(held)
            return None
        if not plan.has_begun:
            if self.plans.discard_if_id_is_used(held):
                return None
            if not plan.is_admitted:
                self.plans.admit(held)
                return AT_ONCE
        run = self.gateway.get_run(plan.step.dataset, plan.run_id)
        if run is None:
            if plan.stop:
                return self._end_stopped(held, plan)
            return (yield from self._begin(held, plan))
        if not is_own(run, plan):
            error = f"Airflow has a run '{run.run_id}' that is not of this backfill."
            return self._end(held, plan, RunStatus.FAILED, error=error)
        if not run.finished:
            return (yield from self._stop_run(plan, run)) if plan.stop else self._pause(run)
        return (yield from self._after(held, plan, run))

    def _after(self, held: StoredPlan, plan: BackfillPlan, run: DagRun) -> Steps[float]:
        """Continue after the run of the present date has ended."""
        if is_killed(run):
            return self._end(held, plan, RunStatus.KILLED, note=str(plan.stop or run.note))
        if run.end_date is not None:
            self._took[run.dag_id] = (run.end_date - _began(run)).total_seconds()
        if self.records.ran_other_code(run):
            error = f"{plan.date_label}: {self.records.why_other(run)}"
            return self._end(held, plan.after(failed=True), RunStatus.FAILED, error=error)
        following = plan.after(failed=run.state == "failed")
        if following.is_through:
            ended = RunStatus.FAILED if following.failed else RunStatus.COMPLETED
            return self._end(held, following, ended, error=self._error(following))
        if plan.stop:
            return self._end(held, following, RunStatus.KILLED, note=str(plan.stop))
        return (yield from self._begin(held, following))

    def _begin(self, held: StoredPlan, plan: BackfillPlan) -> Steps[float]:
        """Start the run of the plan's present date, if the dataset is ready.

        Args:
            held: The plan in the store.
            plan: The same plan, or advanced to the next date.
        """
        try:
            conf = self._conf(plan)
            is_ready = self._is_ready(plan.step.dataset)
        except (DatasetNotFound, Forbidden, InvalidParameters, InvalidSpec, TakenOver) as error:
            if self._may_be_on_its_way(plan):
                return SHORTEST_PAUSE
            why = (
                _removed(plan) if isinstance(error, DatasetNotFound) else f"{plan.date_label}: {_line(error)}"
            )
            return self._end(held, plan, RunStatus.FAILED, error=why)
        if not is_ready:
            moved = plan is held.plan or self.plans.change(held, plan)
            return WAIT_SECONDS if moved else AT_ONCE
        now = self.clock.now()
        asking = self.plans.change(held, plan.asking(now))
        if asking is not None:
            self._trigger(asking.plan, conf)
        return AT_ONCE if asking is None else (yield from self._look_again(asking))

    def _trigger(self, plan: BackfillPlan, conf: dict[str, Any]) -> None:
        """Trigger the run; the next look handles an existing run and a missing DAG."""
        try:
            self.gateway.trigger(
                plan.step.dataset, plan.run_id, logical_date=earlier_now(self.gateway, self.clock), conf=conf
            )
            log.info("Backfill %s: started %s", plan.backfill_id, plan.date)
        except RunExists:
            return
        except DagMissing:
            return

    def _look_again(self, asking: StoredPlan) -> Steps[float]:
        """Stop the run that was just triggered if its backfill has ended meanwhile."""
        plan = asking.plan
        held = self.plans.active_or_free(plan.dataset)
        is_on = held is not None and held.plan.backfill_id == plan.backfill_id and held.plan.outcome is None
        if is_on:
            return self._pause_after(plan.step.dataset, 0.0)
        run = self.gateway.get_run(plan.step.dataset, plan.run_id)
        if run is not None and not run.finished and is_own(run, plan):
            yield from self.stopper.end(run, stopped_by=plan.requested_by, reason="its backfill had ended")
        return AT_ONCE

    def _may_be_on_its_way(self, plan: BackfillPlan) -> bool:
        return plan.asked_at is not None and self._asked_seconds(plan) < ON_ITS_WAY_SECONDS

    def _asked_seconds(self, plan: BackfillPlan) -> float:
        """Return how long ago the plan's run was requested, without the clock of the replica that requested it."""
        if plan.asked_at is None:
            return self._asked.seconds(plan.dataset, None)
        return self._asked.seconds(plan.dataset, plan.asked_at, partial(self.plans.age, plan.dataset))

    def _conf(self, plan: BackfillPlan) -> dict[str, Any]:
        """Return the conf of the present date's run, by the effective spec.

        The cached catalog may miss the dataset or have an older version
        of it: an error is checked against a fresh one.
        """
        try:
            parameters = self._run_conf(self.specs.catalog(), plan)
        except DliError:
            parameters = self._run_conf(self.specs.catalog(fresh=True), plan)
        own = {
            "run_type": "backfill",
            "backfill_id": plan.backfill_id,
            "requested_by": plan.requested_by,
            "idempotency_key": plan.run_id,
            **({WAIT_KEY: True} if plan.wait_for_upstream else {}),
            **({ADOPT_KEY: True} if plan.adopt and plan.step.dataset == plan.dataset else {}),
            **({REFRESH_KEY: write_full_refresh(_part(plan))} if plan.full_refresh else {}),
        }
        return {**parameters, CONF_KEY: own}

    def _run_conf(self, catalog: Catalog, plan: BackfillPlan) -> dict[str, Any]:
        spec = find_spec(catalog, plan.step.dataset).spec
        assert spec is not None  # noqa: S101 - the catalog gives usable specs alone
        self.connections.check(spec)
        given = plan.parameters if plan.step.dataset == plan.dataset else {}
        partition = {} if plan.is_built_once else {EXECUTION_DATE: plan.step.partition}
        return resolve_run(spec, {**given, **partition}).conf

    def _is_ready(self, dataset: str) -> bool:
        found = self.takeovers.check(dataset)
        return found is not None and not found.dag.is_stale and not found.dag.is_paused

    def _pause(self, run: DagRun) -> float:
        taken = airflow_now(self.gateway, self.clock) - _began(run)
        return self._pause_after(run.dag_id, taken.total_seconds())

    def _pause_after(self, dataset: str, taken: float) -> float:
        """Return the seconds until the next look at a run that has taken this long."""
        until_expected = EXPECTED_SHARE * self._took.get(dataset, 0.0) - taken
        return min(max(until_expected, taken * PAUSE_SHARE, SHORTEST_PAUSE), LONGEST_PAUSE)

    def _stop_run(self, plan: BackfillPlan, run: DagRun) -> Steps[float]:
        order = plan.stop
        assert order is not None  # noqa: S101 - it is what this is for
        words = f"its backfill {plan.backfill_id} was stopped"
        reason = f"{words}: {order.reason}" if order.reason else words
        yield from self.stopper.end(run, stopped_by=order.by, reason=reason)
        return AT_ONCE

    def _end_stopped(self, held: StoredPlan, plan: BackfillPlan) -> float:
        if self._may_be_on_its_way(plan):
            return SHORTEST_PAUSE
        return self._end(held, plan, RunStatus.KILLED, note=str(plan.stop))

    def _end(
        self,
        held: StoredPlan,
        plan: BackfillPlan,
        status: RunStatus,
        *,
        error: str | None = None,
        note: str | None = None,
    ) -> float:
        """Write the outcome of the backfill; the next look moves its plan to the ended ones."""
        outcome = Outcome(status=status, at=self.clock.now(), error=error, note=note)
        for dataset in plan.datasets:
            self._took.pop(dataset, None)
        if self.plans.change(held, plan.ended(outcome)):
            log.info("Backfill %s: %s %s", plan.backfill_id, status, error or note or "")
        return AT_ONCE

    def _announce_end(self, plan: BackfillPlan) -> None:
        """Put a message into the outbox, for the channels of the dataset whose backfill it is; once."""
        file = self.specs.catalog().effective.get(plan.dataset)
        targets = file.spec.notifications.on_backfill_end if file and file.spec else []
        if targets:
            message = self.outbox.messages.of_backfill(plan)
            self.outbox.put_message(message, [f"backfill/{plan.backfill_id}"], targets)

    def _error(self, plan: BackfillPlan) -> str | None:
        """Return why a plan that is through has failed: what failed, and in a chain what was not built for it."""
        if not plan.failed:
            return None
        if plan.keep_going or len(plan.failed) > 1:
            failed = f"{len(plan.failed)} of {len(plan.dates)} dates failed: {', '.join(plan.failed)}"
        else:
            failed = f"{plan.failed[0]} failed{self._reason(plan, plan.failed[0])}"
        if plan.full_refresh:
            return f"{failed.removesuffix('.')}. The old table is still in place; --resume goes on with the new one."
        left = [*plan.skipped, *plan.dates[plan.at :]] if plan.chain else []
        if not left:
            return failed
        more = f" and {len(left) - LEFT_NAMED} more" if len(left) > LEFT_NAMED else ""
        return f"{failed.removesuffix('.')}. Not built: {', '.join(left[:LEFT_NAMED])}{more}."

    def _reason(self, plan: BackfillPlan, failed: str) -> str:
        step = plan.step_of(failed)
        run = self.gateway.get_run(step.dataset, plan.run_id_of(step))
        error = self.reasons.last_error(run) if run else None
        return f": {error}" if error else "."


def is_own(run: DagRun, plan: BackfillPlan) -> bool:
    """Return whether a run was started by this backfill, not by a user with an id of its form."""
    own = run.conf.get(CONF_KEY)
    return isinstance(own, dict) and own.get("backfill_id") == plan.backfill_id


def _part(plan: BackfillPlan) -> FullRefresh:
    """Return the part of the current date's run in a full refresh."""
    backfill = plan.refreshed_by or plan.backfill_id
    return FullRefresh(backfill, begins=plan.begins_table, ends=plan.ends_table)


def _began(run: DagRun) -> datetime:
    return run.start_date or run.queued_at or run.run_after


def _removed(plan: BackfillPlan) -> str:
    which = f"'{plan.step.dataset}'" if plan.chain else "The dataset"
    return f"{which} was removed while its backfill was under way."


def _line(error: DliError) -> str:
    return error.title.strip()
