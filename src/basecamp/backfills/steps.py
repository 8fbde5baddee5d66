"""The next step of a backfill, decided by the plan in the store and the run in Airflow.

Any replica may repeat a step, and a process may die after any step: every decision is a
compare-and-swap of the plan, and the run of a date has an id that can't
be created twice. A swap can't stop a call to Airflow that is already on its way.
So a run is requested only right after a swap that records the request, and a backfill
ends without a run of a date that is built now only when no such call can be on its way.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from basecamp.airflow.gateway import AirflowGateway, DagMissing, RunExists
from basecamp.airflow.models import DagRun
from basecamp.backfills.backfill_runs import (
    SHORTEST_PAUSE,
    BackfillEnd,
    BackfillRuns,
    SeenRuns,
    is_own,
)
from basecamp.backfills.plans import PlanStore, StoredPlan
from basecamp.datasets.catalog_cache import CatalogCache, find_spec
from basecamp.datasets.takeovers import Takeovers
from basecamp.notifications.outbox import Outbox
from basecamp.runs.failure_reasons import FailureReasons
from basecamp.runs.records import RunRecords
from basecamp.runs.stop import RunStopper
from basecamp.shared.clock import Clock, earlier_now
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
from dataspec.schedule.backfill_plan import BackfillPlan, Outcome, StopOrder
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.full_refresh import FullRefresh
from dataspec.spec.run_values import resolve_run

log = logging.getLogger(__name__)

AT_ONCE = 0.0
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
    runs: BackfillRuns = field(init=False)
    _asked: Unchanged = field(init=False)

    def __post_init__(self) -> None:
        self.runs = BackfillRuns(self.gateway, self.records, self.clock)
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
        for date, at in plan.requested.items():
            self._asked_seconds(plan, date, at)  # begins to measure
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
        seen = self.runs.see(plan)
        if seen.end is not None or plan.stop is not None:
            return (yield from self._wind_up(held, seen))
        if seen.plan.is_through:
            return self._end_through(held, seen.plan)
        return (yield from self._begin(held, seen))

    def _end_through(self, held: StoredPlan, plan: BackfillPlan) -> float:
        """End a plan of which nothing is left that can be built."""
        status = RunStatus.FAILED if plan.failed else RunStatus.COMPLETED
        return self._end(held, plan, BackfillEnd(status, error=self._error(plan)))

    def _wind_up(self, held: StoredPlan, seen: SeenRuns) -> Steps[float]:
        """Let no further run start, and end the backfill once none of its runs is under way."""
        plan, stop = seen.plan, held.plan.stop
        if stop is not None and seen.active:
            for run in seen.active:
                yield from self._stop_run(plan, stop, run)
            return AT_ONCE
        on_its_way = any(self._may_be_on_its_way(held.plan, date) for date in seen.missing)
        if seen.active or on_its_way:
            pauses = [*map(self.runs.pause, seen.active), *([SHORTEST_PAUSE] if on_its_way else [])]
            return min(pauses) if self._is_written(held, plan) else AT_ONCE
        if seen.end is not None:
            return self._end(held, plan, seen.end)
        if plan.is_through:
            return self._end_through(held, plan)
        return self._end(held, plan, BackfillEnd(RunStatus.KILLED, note=str(stop)))

    def _is_written(self, held: StoredPlan, plan: BackfillPlan) -> bool:
        """Write what has ended, if anything has; return whether the plan is in the store."""
        return plan is held.plan or self.plans.change(held, plan) is not None

    def _begin(self, held: StoredPlan, seen: SeenRuns) -> Steps[float]:
        """Start the runs that a plan has next, each if its dataset is ready, and write what has ended.

        Args:
            held: The plan in the store.
            seen: The same plan, moved on by the runs that have ended.
        """
        plan = seen.plan
        confs: dict[str, dict[str, Any]] = {}
        next_dates = [date for date in plan.current if date in seen.missing or date not in plan.requested]
        for date in next_dates:
            try:
                conf = self._conf(plan, date)
                if self._is_ready(plan.step_of(date).dataset):
                    confs[date] = conf
            except (DatasetNotFound, Forbidden, InvalidParameters, InvalidSpec, TakenOver) as error:
                seen.end = BackfillEnd(RunStatus.FAILED, error=_why(plan, date, error))
                return (yield from self._wind_up(held, seen))
        pauses = [*map(self.runs.pause, seen.active)]
        if len(confs) < len(next_dates):
            pauses.append(WAIT_SECONDS)
        if not confs:
            return min(pauses) if self._is_written(held, plan) else AT_ONCE
        for date, conf in confs.items():
            now = self.clock.now()
            asking = self.plans.change(held, plan.asking(date, now))
            if asking is None:
                return AT_ONCE
            self._asked.begin(_name(plan, date), now)
            self._trigger(asking.plan, date, conf)
            after = yield from self._look_again(asking, date)
            if after is None:
                return AT_ONCE
            held, plan = after, after.plan
            pauses.append(self.runs.pause_after(plan.step_of(date).dataset, 0.0))
        return min(pauses)

    def _trigger(self, plan: BackfillPlan, date: str, conf: dict[str, Any]) -> None:
        """Trigger the run; the next look handles an existing run and a missing DAG."""
        step = plan.step_of(date)
        try:
            self.gateway.trigger(
                step.dataset,
                plan.run_id_of(step),
                logical_date=earlier_now(self.gateway, self.clock),
                conf=conf,
            )
            log.info("Backfill %s: started %s", plan.backfill_id, date)
        except RunExists:
            return
        except DagMissing:
            return

    def _look_again(self, asking: StoredPlan, date: str) -> Steps[StoredPlan | None]:
        """Return the plan as it is after a run was triggered; stop that run if its backfill has ended meanwhile."""
        plan = asking.plan
        held = self.plans.active_or_free(plan.dataset)
        if held is not None and held.plan.backfill_id == plan.backfill_id and held.plan.outcome is None:
            return held if held.etag == asking.etag else None
        run = self.runs.run(plan, date)
        if run is not None and not run.finished and is_own(run, plan):
            yield from self.stopper.end(run, stopped_by=plan.requested_by, reason="its backfill had ended")
        return None

    def _may_be_on_its_way(self, plan: BackfillPlan, date: str) -> bool:
        at = plan.requested.get(date)
        return at is not None and self._asked_seconds(plan, date, at) < ON_ITS_WAY_SECONDS

    def _asked_seconds(self, plan: BackfillPlan, date: str, at: datetime) -> float:
        """Return how long ago a date's run was requested, without the clock of the replica that requested it."""
        return self._asked.seconds(_name(plan, date), at, partial(self.plans.age, plan.dataset))

    def _conf(self, plan: BackfillPlan, date: str) -> dict[str, Any]:
        """Return the conf of a date's run, by the effective spec.

        The cached catalog may miss the dataset or have an older version
        of it: an error is checked against a fresh one.
        """
        try:
            parameters = self._run_conf(self.specs.catalog(), plan, date)
        except DliError:
            parameters = self._run_conf(self.specs.catalog(fresh=True), plan, date)
        step = plan.step_of(date)
        own = {
            "run_type": "backfill",
            "backfill_id": plan.backfill_id,
            "requested_by": plan.requested_by,
            "idempotency_key": plan.run_id_of(step),
            **({WAIT_KEY: True} if plan.wait_for_upstream else {}),
            **({ADOPT_KEY: True} if plan.adopt and step.dataset == plan.dataset else {}),
            **({REFRESH_KEY: write_full_refresh(_part(plan))} if plan.full_refresh else {}),
        }
        return {**parameters, CONF_KEY: own}

    def _run_conf(self, catalog: Catalog, plan: BackfillPlan, date: str) -> dict[str, Any]:
        step = plan.step_of(date)
        spec = find_spec(catalog, step.dataset).spec
        assert spec is not None  # noqa: S101 - the catalog gives usable specs alone
        self.connections.check(spec)
        given = plan.parameters if step.dataset == plan.dataset else {}
        partition = {} if plan.is_built_once(step.dataset) else {EXECUTION_DATE: step.partition}
        return resolve_run(spec, {**given, **partition}).conf

    def _is_ready(self, dataset: str) -> bool:
        found = self.takeovers.check(dataset)
        return found is not None and not found.dag.is_stale and not found.dag.is_paused

    def _stop_run(self, plan: BackfillPlan, order: StopOrder, run: DagRun) -> Steps[None]:
        words = f"its backfill {plan.backfill_id} was stopped"
        reason = f"{words}: {order.reason}" if order.reason else words
        yield from self.stopper.end(run, stopped_by=order.by, reason=reason)

    def _end(self, held: StoredPlan, plan: BackfillPlan, end: BackfillEnd) -> float:
        """Write the outcome of the backfill; the next look moves its plan to the ended ones."""
        outcome = Outcome(status=end.status, at=self.clock.now(), error=end.error, note=end.note)
        self.runs.forget(plan)
        if end.failed is not None:
            plan = plan.after(end.failed, failed=True)
        if self.plans.change(held, plan.ended(outcome)):
            log.info("Backfill %s: %s %s", plan.backfill_id, end.status, end.error or end.note or "")
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
        left = [*plan.skipped, *plan.left] if plan.chain else []
        if not left:
            return failed
        more = f" and {len(left) - LEFT_NAMED} more" if len(left) > LEFT_NAMED else ""
        return f"{failed.removesuffix('.')}. Not built: {', '.join(left[:LEFT_NAMED])}{more}."

    def _reason(self, plan: BackfillPlan, failed: str) -> str:
        run = self.runs.run(plan, failed)
        error = self.reasons.last_error(run) if run else None
        return f": {error}" if error else "."


def _why(plan: BackfillPlan, date: str, error: DliError) -> str:
    """Return why no run of a date can be started."""
    if isinstance(error, DatasetNotFound):
        which = f"'{plan.step_of(date).dataset}'" if plan.chain else "The dataset"
        return f"{which} was removed while its backfill was under way."
    return f"{plan.label(date)}: {_line(error)}"


def _part(plan: BackfillPlan) -> FullRefresh:
    """Return the part of the current date's run in a full refresh."""
    backfill = plan.refreshed_by or plan.backfill_id
    return FullRefresh(backfill, begins=plan.begins_table, ends=plan.ends_table)


def _name(plan: BackfillPlan, date: str) -> str:
    return f"{plan.dataset} {date}"


def _line(error: DliError) -> str:
    return error.title.strip()
