"""The last run of each dataset, the one created last, however long ago that was (specification 22.37).

Airflow has no list of the last run of each DAG. The first pass reads the newest runs, then asks for the datasets that
have none among these, one by one. Each further pass reads only what has changed since: the runs created, the runs that
have ended, and the active ones. Its cost grows with these, not with the runs that Airflow has stored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import PAGE_LIMIT, DagRun, RunFilter
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_cache import PATIENCE_SECONDS, unanswered
from basecamp.datasets.takeovers import Takeovers
from basecamp.outages.request_budget import map_within_budget
from basecamp.runs.all_runs import all_runs
from basecamp.runs.records import RunRecords, run_status
from basecamp.shared.clock import Clock, earlier_now
from basecamp.shared.last_known import ValueWithWarnings
from basecamp.shared.refresh_cache import SHARED_SECONDS, Changes, RefreshCache
from dataspec.models import LastRun

MAX_AGE_SECONDS = 30.0
YOUNG_PATIENCE_SECONDS = 0.25
"""How long to wait for a pass while the last one is young enough."""
MAX_PAGES = 100
"""Maximum number of Airflow's pages of each list that a pass reads."""
PARALLEL_REQUESTS = 4
OVERLAP = timedelta(minutes=1)
"""How much earlier than the last pass a run may have ended that the pass did not see."""
LATE = "Airflow takes long to list the last runs; some may be missing."


@dataclass(frozen=True, slots=True)
class _Pass:
    """What is known after a pass."""

    runs: Mapping[str, LastRun] = field(default_factory=dict)
    """The last run by dataset."""
    names: frozenset[str] = frozenset()
    """The datasets whose last run was looked for."""
    newest: tuple[tuple[str, str], ...] = ()
    """The newest runs of all DAGs, newest first: the next pass stops at any of them."""
    began: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the list of the newest runs has shown."""

    runs: Mapping[str, DagRun]
    """The newest run by dataset."""
    newest: tuple[tuple[str, str], ...]
    """The newest runs of all DAGs, newest first."""
    unread: frozenset[str]
    """The datasets that have to be asked for one by one."""


class LastRuns:
    """Knows the last run of each dataset. Safe to share between threads."""

    def __init__(
        self,
        specs: CatalogCache,
        gateway: AirflowGateway,
        records: RunRecords,
        takeovers: Takeovers,
        clock: Clock,
        *,
        run_changes: Changes,
    ) -> None:
        self._specs = specs
        self._gateway = gateway
        self._records = records
        self._takeovers = takeovers
        self._clock = clock
        self._partial = _Pass()
        self._cache: RefreshCache[_Pass] = RefreshCache(
            "last-runs",
            self._fetch,
            clock,
            unanswered=unanswered,
            min_age=0.0,
            max_age=SHARED_SECONDS,
            changes=run_changes,
        )

    def known(self) -> ValueWithWarnings[Mapping[str, LastRun]]:
        """Return the last runs by dataset; the same object for as long as nothing changes.

        While the first pass takes long, what it has found so far is returned, with a warning.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
        """
        if (known := self._cache.usable()) is not None:
            return ValueWithWarnings(known.runs)
        age = self._cache.age()
        is_young = age is not None and age <= MAX_AGE_SECONDS
        patience, late = (YOUNG_PATIENCE_SECONDS, None) if is_young else (PATIENCE_SECONDS, LATE)
        found = self._cache.refreshed(patience, late=late, first=lambda: self._partial)
        return ValueWithWarnings(found.value.runs, found.warnings)

    def _fetch(self) -> _Pass:
        before, began = self._cache.last or _Pass(), earlier_now(self._gateway, self._clock)
        names = frozenset(self._specs.known().value.effective)
        seen = self._created(before, names)
        known = {name: run for name, run in before.runs.items() if name in names}
        changed = self._changed(known, before.began)
        # An active run that Airflow lists no more was deleted.
        gone = {name for name, run in known.items() if not run.status.finished} - changed.keys()
        runs = known | self._shown({**changed, **seen.runs})
        self._partial = _Pass(runs=runs)
        unread = (gone | seen.unread) - seen.runs.keys()
        runs = {name: run for name, run in runs.items() if name not in unread}
        runs |= self._shown(self._newest_of_each(unread))
        # The same object for as long as nothing changes: rows that were made from it stay.
        same = runs == before.runs
        return _Pass(before.runs if same else runs, names, seen.newest, began)

    def _created(self, before: _Pass, names: frozenset[str]) -> _Seen:
        """Read the runs that were created since the last pass, newest first."""
        runs: dict[str, DagRun] = {}
        newest: list[tuple[str, str]] = []

        def seen(unread: frozenset[str]) -> _Seen:
            return _Seen(runs, (*newest, *before.newest)[:PAGE_LIMIT], unread)

        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = self._gateway.list_runs(RunFilter(), limit=PAGE_LIMIT, cursor=cursor)
            for run in page.runs:
                if run.key in before.newest:
                    return seen(names - before.names - runs.keys())
                newest.append(run.key)
                if run.dag_id in names:
                    runs.setdefault(run.dag_id, run)
            cursor = page.next_cursor
            if cursor is None or runs.keys() >= names:
                return seen(frozenset())
        return seen(names - runs.keys())

    def _changed(self, known: Mapping[str, LastRun], since: datetime | None) -> dict[str, DagRun]:
        """Return the last runs that are active, or have ended since a time, also after a retry."""
        if since is None:
            return {}
        ended, active = RunFilter(ended_from=since - OVERLAP), RunFilter(states=("queued", "running"))
        return {
            run.dag_id: run
            for wanted in (active, ended)
            for run in all_runs(self._gateway, wanted, max_pages=MAX_PAGES)
            if (last := known.get(run.dag_id)) is not None and last.run_id == run.run_id
        }

    def _newest_of_each(self, names: Collection[str]) -> dict[str, DagRun]:
        """Ask for the last run of each of some datasets, with one request for each."""
        if not names:
            return {}

        def newest(name: str) -> tuple[DagRun, ...]:
            return self._gateway.list_runs(RunFilter(dag_id=name), limit=1).runs

        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            return {
                run.dag_id: run for runs in map_within_budget(pool, newest, sorted(names)) for run in runs
            }

    def _shown(self, runs: Mapping[str, DagRun]) -> dict[str, LastRun]:
        """Return runs as rows show them; ask Airflow for the attempts only where the status depends on them."""
        taken = self._takeovers.seen
        unsure = [run for name, run in runs.items() if run.state == "running" or name in taken]
        exact = {run.dataset_name: run.status for run in self._records.of(unsure)}
        return {
            name: LastRun(
                run_id=run.run_id,
                status=exact.get(name) or run_status(run, begun=False),
                created_at=run.run_after,
                finished_at=run.end_date if run.finished else None,
            )
            for name, run in runs.items()
        }
