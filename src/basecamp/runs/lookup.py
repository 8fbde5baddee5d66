"""Find a run by its id alone, also one that was started on Airflow's page (specification 3.7)."""

from __future__ import annotations

import re
from dataclasses import replace

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun, RunFilter
from basecamp.datasets.dataset_names import DatasetNames
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.runs.all_runs import all_runs
from basecamp.runs.failure_reasons import FailureReasons
from basecamp.runs.records import RunRecords
from basecamp.runs.waiting import WaitingRuns
from basecamp.shared.clock import Clock
from basecamp.shared.last_known import LastAnswers, ValueWithWarnings
from dataspec.errors import InvalidUsage, RunNotFound
from dataspec.models import RunStatus, WorkflowRun
from dataspec.schedule.run_ids import parse_run_id

MAX_LENGTH = 250
MAX_PAGES = 10
_ALLOWED = re.compile(r"[A-Za-z0-9_.~:+-]+")


class RunLookup:
    """Finds runs by their ids."""

    def __init__(
        self,
        *,
        names: DatasetNames,
        gateway: AirflowGateway,
        records: RunRecords,
        reasons: FailureReasons,
        waiting: WaitingRuns,
        clock: Clock,
    ) -> None:
        self._names = names
        self._gateway = gateway
        self._records = records
        self._reasons = reasons
        self._waiting = waiting
        self._last: LastAnswers[WorkflowRun] = LastAnswers(clock)

    def get(self, run_id: str, dataset: str | None = None) -> ValueWithWarnings[WorkflowRun]:
        """Return a run with its last error, what its checks found, and what it waits for; if Airflow does not answer, as it was, with a warning.

        Raises:
            RunNotFound, InvalidUsage: See :meth:`find`.
            AirflowUnreachable: When Airflow does not answer, and did not answer this before.
        """

        def ask() -> ValueWithWarnings[WorkflowRun]:
            run = self.find(run_id, dataset)
            record = self.record(run)
            if record.status is RunStatus.PENDING:
                record = replace(record, waiting_for=self._waiting.of([run])[0])
            elif record.status.finished and record.attempts and not record.other_code:
                record = replace(record, checks=self._gateway.check_results(*run.key))
            return ValueWithWarnings(record)

        return self._last.read((run_id, dataset), ask)

    def record(self, run: DagRun) -> WorkflowRun:
        """Return a run as the API shows it, with its last error.

        Raises:
            AirflowUnreachable: When Airflow does not answer.
        """
        return self._reasons.into(self._records.of([run])[0])

    def find(
        self, run_id: str, dataset: str | None = None, *, among: PermittedDatasets = EVERY_DATASET
    ) -> DagRun:
        """Return a run.

        Args:
            run_id: Its id.
            dataset: Its dataset, for ids that are not unique.
            among: The datasets whose runs count; others' are as if they did not exist.

        Raises:
            RunNotFound: When there is none.
            InvalidUsage: When several datasets have a run of this id, and none was named.
            AirflowUnreachable: When Airflow does not answer.
        """
        if not _ALLOWED.fullmatch(run_id) or len(run_id) > MAX_LENGTH or run_id in {".", ".."}:
            raise RunNotFound(run_id[:MAX_LENGTH])
        parsed = parse_run_id(run_id)
        likely = dataset or (parsed.dataset if parsed else None)
        if (
            likely is not None
            and likely in among
            and (run := self._gateway.get_run(likely, run_id))
            and self._is_ours(run)
        ):
            return run
        found = [] if dataset else [run for run in self._search(run_id) if run.dag_id in among]
        if len(found) > 1:
            raise InvalidUsage(
                f"Several datasets have a run '{run_id}'.",
                detail="Say which one with ?dataset=NAME: " + ", ".join(sorted(run.dag_id for run in found)),
            )
        if not found:
            raise RunNotFound(run_id)
        return found[0]

    def _search(self, run_id: str) -> list[DagRun]:
        runs = all_runs(self._gateway, RunFilter(run_id=run_id), max_pages=MAX_PAGES)
        return [run for run in runs if self._is_ours(run)]

    def _is_ours(self, run: DagRun) -> bool:
        return bool(self._names.among([run.dag_id]).value)
