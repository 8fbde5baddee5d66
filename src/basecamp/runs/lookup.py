"""A run's id alone finds its run, also one that somebody made on Airflow's page (specification 3.7)."""

from __future__ import annotations

import re

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import PAGE_LIMIT, DagRun, RunFilter
from basecamp.datasets.dataset_names import DatasetNames
from dataspec.errors import InvalidUsage, RunNotFound
from dataspec.schedule.run_ids import parse_run_id

MAX_LENGTH = 250
MAX_PAGES = 10
_ALLOWED = re.compile(r"[A-Za-z0-9_.~:+-]+")


class RunLookup:
    """Finds runs by their ids."""

    def __init__(self, names: DatasetNames, gateway: AirflowGateway) -> None:
        self._names = names
        self._gateway = gateway

    def find(self, run_id: str, dataset: str | None = None) -> DagRun:
        """Return a run.

        Args:
            run_id: Its id.
            dataset: Its dataset, for ids that are not unique.

        Raises:
            RunNotFound: When there is none.
            InvalidUsage: When several datasets have a run of this id, and none was named.
            AirflowUnreachable: When Airflow does not answer.
        """
        if not _ALLOWED.fullmatch(run_id) or len(run_id) > MAX_LENGTH or run_id in {".", ".."}:
            raise RunNotFound(run_id[:MAX_LENGTH])
        parsed = parse_run_id(run_id)
        likely = dataset or (parsed.dataset if parsed else None)
        if likely is not None and (run := self._gateway.get_run(likely, run_id)) and self._is_ours(run):
            return run
        found = [] if dataset else self._search(run_id)
        if len(found) > 1:
            raise InvalidUsage(
                f"Several datasets have a run '{run_id}'.",
                detail="Say which one with ?dataset=NAME: " + ", ".join(sorted(run.dag_id for run in found)),
            )
        if not found:
            raise RunNotFound(run_id)
        return found[0]

    def _search(self, run_id: str) -> list[DagRun]:
        found: list[DagRun] = []
        cursor = None
        for _ in range(MAX_PAGES):
            page = self._gateway.list_runs(RunFilter(run_id=run_id), limit=PAGE_LIMIT, cursor=cursor)
            found += [run for run in page.runs if self._is_ours(run)]
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    def _is_ours(self, run: DagRun) -> bool:
        return bool(self._names.among([run.dag_id]).value)
