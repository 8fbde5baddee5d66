"""The datasets with a run that waits for other datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import RunFilter, TaskAttempt
from basecamp.datasets.dag_cache import PATIENCE_SECONDS, SLOW, unanswered
from basecamp.datasets.dataset_teams import PermittedDatasets
from basecamp.runs.all_runs import all_runs
from basecamp.runs.waiting import WaitingRuns, shown_to
from basecamp.shared.clock import Clock
from basecamp.shared.last_known import ValueWithWarnings
from basecamp.shared.refresh_cache import SHARED_SECONDS, Changes, RefreshCache
from dataspec.models import WorkflowInfo, WorkflowStatus


@dataclass(frozen=True, slots=True)
class WaitingAttempts:
    """The oldest waiting attempt of each dataset that has one."""

    by_dataset: Mapping[str, TaskAttempt] = field(default_factory=dict)

    def marked(self, row: WorkflowInfo) -> WorkflowInfo:
        """Return a row with the run that waits; the same row if none does."""
        attempt = self.by_dataset.get(row.dataset_name)
        if attempt is None or row.status not in {WorkflowStatus.ACTIVE, WorkflowStatus.PAUSED}:
            return row
        return replace(row, waiting_run_id=attempt.run_id, waiting_since=attempt.start_date)


class WaitingDatasets:
    """Knows the datasets with a waiting run. Safe to share between threads.

    Args:
        gateway: The Airflow that runs the datasets.
        waiting: Finds out what runs wait for.
        clock: The clock.
        run_changes: What this replica has done to runs.
    """

    def __init__(
        self, gateway: AirflowGateway, waiting: WaitingRuns, clock: Clock, run_changes: Changes
    ) -> None:
        self._gateway = gateway
        self._waiting = waiting
        self._cache: RefreshCache[WaitingAttempts] = RefreshCache(
            "waiting",
            self._fetch,
            clock,
            unanswered=unanswered,
            min_age=0.0,
            max_age=SHARED_SECONDS,
            changes=run_changes,
        )

    def known(self) -> ValueWithWarnings[WaitingAttempts]:
        """Return the waiting attempts, as they were some seconds ago.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
        """
        waiting = self._cache.usable()
        if waiting is not None:
            return ValueWithWarnings(waiting)
        return self._cache.refreshed(PATIENCE_SECONDS, late=SLOW)

    def with_reasons(self, rows: Sequence[WorkflowInfo], permitted: PermittedDatasets) -> list[WorkflowInfo]:
        """Return rows with what their waiting runs wait for, as far as the caller may see it.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
            StoreUnreachable: When the store does not answer, and never did.
        """
        wanted = {(row.dataset_name, row.waiting_run_id) for row in rows}
        runs = [run for run in all_runs(self._gateway, RunFilter(states=("running",))) if run.key in wanted]
        found = {run.key: one for run, one in zip(runs, self._waiting.of(runs), strict=True)}
        return [
            replace(
                row,
                waiting_for=shown_to(found.get((row.dataset_name, row.waiting_run_id or ""), []), permitted),
            )
            for row in rows
        ]

    def _fetch(self) -> WaitingAttempts:
        oldest: dict[str, TaskAttempt] = {}
        for attempt in self._gateway.waiting_attempts():
            before = oldest.get(attempt.dag_id)
            if before is None or _since(attempt) < _since(before):
                oldest[attempt.dag_id] = attempt
        return WaitingAttempts(oldest)


def _since(attempt: TaskAttempt) -> tuple[str, str]:
    return attempt.start_date.isoformat() if attempt.start_date else "", attempt.run_id
