"""From plans to the backfills that the API shows."""

from __future__ import annotations

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun
from dataspec.models import Backfill, RunStatus
from dataspec.schedule.backfill_plan import BackfillPlan

GOING_DOWN = "Stopping."


class BackfillRecords:
    """Puts together what the store and Airflow say of a backfill."""

    def __init__(self, gateway: AirflowGateway) -> None:
        self._gateway = gateway

    def of(self, plan: BackfillPlan) -> Backfill:
        """Return a backfill as it is now.

        Raises:
            AirflowUnreachable: When it goes on, and Airflow does not answer.
        """
        if plan.outcome is not None:
            return record(plan, plan.outcome.status, plan.outcome.note)
        return record(plan, self._status(plan), self._note(plan))

    def _status(self, plan: BackfillPlan) -> RunStatus:
        """Return PENDING until an attempt has started, as for a run."""
        if plan.at > 0:
            return RunStatus.RUNNING
        run = self._gateway.get_run(plan.dataset, plan.run_id)
        return RunStatus.RUNNING if run is not None and self._has_started(run) else RunStatus.PENDING

    def _has_started(self, run: DagRun) -> bool:
        return run.finished or any(attempt.started for attempt in self._gateway.attempts([run]))

    def _note(self, plan: BackfillPlan) -> str | None:
        """Return what it waits for, where it is not for the run of its present date alone."""
        if plan.stop is not None:
            return GOING_DOWN
        found = self._gateway.get_dag(plan.dataset)
        if found is None or found.dag.is_stale:
            return f"Waiting until Airflow has loaded the dataset, to build {plan.date}."
        if found.dag.is_paused:
            return f"Waiting: the dataset is paused. Resume it with: dli workflow unpause {plan.dataset}"
        return None


def record(plan: BackfillPlan, status: RunStatus, note: str | None = None) -> Backfill:
    """Return a backfill of a status."""
    outcome = plan.outcome
    is_on = outcome is None and not plan.is_through
    return Backfill(
        backfill_id=plan.backfill_id,
        dataset_name=plan.dataset,
        status=status,
        start=plan.start,
        end=plan.end,
        every=plan.every,
        dates_total=len(plan.dates),
        dates_done=len(plan.built),
        current_date=plan.date if is_on else None,
        current_run_id=plan.run_id if is_on else None,
        failed_dates=list(plan.failed),
        parameters=dict(plan.parameters),
        reverse=plan.reverse,
        keep_going=plan.keep_going,
        requested_by=plan.requested_by,
        created_at=plan.created_at,
        finished_at=outcome.at if outcome else None,
        error=outcome.error if outcome else None,
        note=note,
    )
