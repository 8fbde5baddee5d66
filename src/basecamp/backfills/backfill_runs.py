"""Look at the runs of a backfill in Airflow: which are under way, and what those that have ended mean for its plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun
from basecamp.runs.records import RunRecords, is_killed
from basecamp.shared.clock import Clock, airflow_now
from dataspec.contract import CONF_KEY
from dataspec.models import RunStatus
from dataspec.schedule.backfill_plan import BackfillPlan

SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
PAUSE_SHARE = 0.01
"""The pause between two looks at a run, as a share of the time that it has taken."""
EXPECTED_SHARE = 0.8
"""Share of the previous date's duration before which a run is not expected to end."""


@dataclass(frozen=True, slots=True)
class BackfillEnd:
    """How a backfill ends."""

    status: RunStatus
    error: str | None = None
    note: str | None = None
    failed: str | None = None
    """The date whose run ends it, if that counts as failed."""


@dataclass(slots=True)
class SeenRuns:
    """A plan that the runs which have ended have moved on, and its other runs."""

    plan: BackfillPlan
    missing: list[str] = field(default_factory=list)
    """The dates whose runs Airflow does not have."""
    active: list[DagRun] = field(default_factory=list)
    end: BackfillEnd | None = None
    """How it ends, whatever is left of it, as soon as none of its runs is under way."""


class BackfillRuns:
    """Looks at the runs of backfills. Safe to share between threads."""

    def __init__(self, gateway: AirflowGateway, records: RunRecords, clock: Clock) -> None:
        self._gateway = gateway
        self._records = records
        self._clock = clock
        self._took: dict[str, float] = {}
        """Seconds that the last date of each dataset took, as far as this replica knows."""

    def run(self, plan: BackfillPlan, date: str) -> DagRun | None:
        """Return the run of a date.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
        """
        step = plan.step_of(date)
        return self._gateway.get_run(step.dataset, plan.run_id_of(step))

    def see(self, plan: BackfillPlan) -> SeenRuns:
        """Look at the run of the first date, and at all that were requested and have not ended, as far as the plan knows.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
        """
        seen = SeenRuns(plan)
        for date in dict.fromkeys((plan.date, *plan.requested)):
            run = self.run(plan, date)
            if run is None:
                seen.missing.append(date)
            elif not is_own(run, plan):
                error = f"Airflow has a run '{run.run_id}' that is not of this backfill."
                seen.end = BackfillEnd(RunStatus.FAILED, error=error)
            elif run.finished:
                self._take_over(seen, date, run)
            else:
                seen.active.append(run)
        return seen

    def _take_over(self, seen: SeenRuns, date: str, run: DagRun) -> None:
        """Move a plan on by a run that has ended; a stopped one, and one of other code, end the backfill.

        Those stay requested until the end, so that each look at the plan finds them.
        """
        if is_killed(run):
            seen.end = BackfillEnd(RunStatus.KILLED, note=str(seen.plan.stop or run.note))
            return
        if run.end_date is not None:
            self._took[run.dag_id] = (run.end_date - _began(run)).total_seconds()
        if self._records.ran_other_code(run):
            error = f"{seen.plan.label(date)}: {self._records.why_other(run)}"
            seen.end = BackfillEnd(RunStatus.FAILED, error=error, failed=date)
            return
        seen.plan = seen.plan.after(date, failed=run.state == "failed")

    def pause(self, run: DagRun) -> float:
        """Return the seconds until the next look at a run."""
        taken = airflow_now(self._gateway, self._clock) - _began(run)
        return self.pause_after(run.dag_id, taken.total_seconds())

    def pause_after(self, dataset: str, taken: float) -> float:
        """Return the seconds until the next look at a run of a dataset that has taken so many seconds."""
        until_expected = EXPECTED_SHARE * self._took.get(dataset, 0.0) - taken
        return min(max(until_expected, taken * PAUSE_SHARE, SHORTEST_PAUSE), LONGEST_PAUSE)

    def forget(self, plan: BackfillPlan) -> None:
        """Forget how long the dates of a backfill that has ended took."""
        for dataset in plan.datasets:
            self._took.pop(dataset, None)


def is_own(run: DagRun, plan: BackfillPlan) -> bool:
    """Return whether a run was started by this backfill, not by a user with an id of its form."""
    own = run.conf.get(CONF_KEY)
    return isinstance(own, dict) and own.get("backfill_id") == plan.backfill_id


def _began(run: DagRun) -> datetime:
    return run.start_date or run.queued_at or run.run_after
