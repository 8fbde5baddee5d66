"""The last run and the last result of each dataset, however long ago that was (specification 22.37, 38.16).

Airflow has no list of the last run of each DAG. The first pass reads the newest runs, then asks for the datasets that
have none among these, one by one. Each further pass reads only what has changed since: the runs created, the runs that
have ended, and the active ones. Its cost grows with these, not with the runs that Airflow has stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import PAGE_LIMIT, DagRun, DagRunState, RunFilter
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_cache import PATIENCE_SECONDS, unanswered
from basecamp.datasets.takeovers import Takeovers
from basecamp.outages.request_budget import map_within_budget
from basecamp.runs.all_runs import all_runs
from basecamp.runs.records import RunRecords, is_killed, run_status
from basecamp.shared.clock import Clock, earlier_now
from basecamp.shared.last_known import ValueWithWarnings
from basecamp.shared.refresh_cache import SHARED_SECONDS, Changes, RefreshCache
from dataspec.models import LastResult, LastRun, RunStatus

T = TypeVar("T")

MAX_AGE_SECONDS = 30.0
YOUNG_PATIENCE_SECONDS = 0.25
"""How long to wait for a pass while the last one is young enough."""
MAX_PAGES = 100
"""Maximum number of Airflow's pages of each list that a pass reads."""
PARALLEL_REQUESTS = 4
OVERLAP = timedelta(minutes=1)
"""How much earlier than the last pass a run may have ended that the pass did not see."""
LATE = "Airflow takes long to list the last runs; some may be missing."


@dataclass(frozen=True)
class _Pass:
    """What is known after a pass."""

    runs: Mapping[str, LastRun] = field(default_factory=dict)
    """The last run by dataset."""
    results: Mapping[str, LastResult] = field(default_factory=dict)
    """The last result by dataset."""
    names: frozenset[str] = frozenset()
    """The datasets whose last run was looked for."""
    newest: tuple[tuple[str, str], ...] = ()
    """The newest runs of all DAGs, newest first: the next pass stops at any of them."""
    began: datetime | None = None

    @cached_property
    def last(self) -> LastOfEach:
        """What callers see of it."""
        return LastOfEach(self.runs, self.results)


@dataclass(frozen=True, slots=True)
class _Changed:
    """What has changed since the last pass."""

    runs: Mapping[str, DagRun] = field(default_factory=dict)
    """The last runs that are active, or have ended."""
    ended: Mapping[str, DagRun] = field(default_factory=dict)
    """Of each dataset the run that ended last."""


@dataclass(frozen=True, slots=True)
class LastOfEach:
    """The last run and the last result of each dataset that has one; the same object while nothing changes."""

    runs: Mapping[str, LastRun]
    results: Mapping[str, LastResult]


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

    def known(self) -> ValueWithWarnings[LastOfEach]:
        """Return the last runs and results by dataset.

        While the first pass takes long, what it has found so far is returned, with a warning.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
        """
        if (known := self._cache.usable()) is not None:
            return ValueWithWarnings(known.last)
        age = self._cache.age()
        is_young = age is not None and age <= MAX_AGE_SECONDS
        patience, late = (YOUNG_PATIENCE_SECONDS, None) if is_young else (PATIENCE_SECONDS, LATE)
        found = self._cache.refreshed(patience, late=late, first=lambda: self._partial)
        return ValueWithWarnings(found.value.last, found.warnings)

    def _fetch(self) -> _Pass:
        before, began = self._cache.last or _Pass(), earlier_now(self._gateway, self._clock)
        names = frozenset(self._specs.known().value.effective)
        seen = self._created(before, names)
        known = {name: run for name, run in before.runs.items() if name in names}
        changed = self._changed(known, before.began)
        # An active run that Airflow lists no more was deleted.
        gone = {name for name, run in known.items() if not run.status.finished} - changed.runs.keys()
        runs = known | self._shown({**changed.runs, **seen.runs})
        self._partial = _Pass(runs=runs)
        unread = (gone | seen.unread) - seen.runs.keys()
        runs = {name: run for name, run in runs.items() if name not in unread}
        newest = self._newest_of_each(unread)
        runs |= self._shown(newest)
        results = self._results(before, {**seen.runs, **newest}, changed.ended, names)
        # The same objects for as long as nothing changes: rows that were made from them stay.
        return _Pass(
            before.runs if runs == before.runs else runs,
            before.results if results == before.results else results,
            names,
            seen.newest,
            began,
        )

    def _results(
        self,
        before: _Pass,
        read: Mapping[str, DagRun],
        ended: Mapping[str, DagRun],
        names: frozenset[str],
    ) -> dict[str, LastResult]:
        """Return the last results; ask Airflow about datasets that are new here, and about those that fail."""
        new = {name: run for name, run in read.items() if name not in before.names}
        active = [name for name, run in new.items() if not run.finished]
        found = {
            **{name: run for name, run in new.items() if run.finished},
            **self._newest_of_each(active, states=("success", "failed")),
            **{name: run for name, run in ended.items() if name in names},
        }
        kept = {name: result for name, result in before.results.items() if name in names}
        fresh = {name: run for name, run in found.items() if not _is_of(kept.get(name), run)}
        failing = self._failures([name for name, run in fresh.items() if run.state == "failed"])
        statuses = {name: run.status for name, run in self._shown(fresh).items()}
        return kept | {
            name: _result(run, statuses[name], failing.get(name, ()))
            for name, run in fresh.items()
            if run.end_date is not None
        }

    def _failures(self, names: Sequence[str]) -> dict[str, tuple[DagRun, ...]]:
        """Return the runs that have failed since the last success, of each of some datasets, newest first."""
        successes = self._newest_of_each(names, states=("success",))

        def failures(name: str) -> tuple[str, tuple[DagRun, ...]]:
            last = successes.get(name)
            wanted = RunFilter(dag_id=name, states=("failed",), due_from=last.run_after if last else None)
            runs = self._gateway.list_runs(wanted, limit=PAGE_LIMIT).runs
            return name, tuple(run for run in runs if run.end_date is not None and not is_killed(run))

        return dict(self._of_each(failures, names))

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

    def _changed(self, known: Mapping[str, LastRun], since: datetime | None) -> _Changed:
        """Return the last runs that are active, or have ended since a time, also after a retry, and what has ended."""
        if since is None:
            return _Changed()
        active = all_runs(self._gateway, RunFilter(states=("queued", "running")), max_pages=MAX_PAGES)
        ended = list(all_runs(self._gateway, RunFilter(ended_from=since - OVERLAP), max_pages=MAX_PAGES))
        last = {
            run.dag_id: run
            for run in (*active, *ended)
            if (before := known.get(run.dag_id)) is not None and before.run_id == run.run_id
        }
        ordered = sorted(ended, key=lambda run: (run.end_date or run.run_after, run.run_id))
        return _Changed(last, {run.dag_id: run for run in ordered if run.finished})

    def _newest_of_each(
        self, names: Collection[str], states: tuple[DagRunState, ...] = ()
    ) -> dict[str, DagRun]:
        """Ask for the last run of each of some datasets, with one request for each."""

        def newest(name: str) -> tuple[DagRun, ...]:
            return self._gateway.list_runs(RunFilter(dag_id=name, states=states), limit=1).runs

        return {run.dag_id: run for runs in self._of_each(newest, names) for run in runs}

    def _of_each(self, ask: Callable[[str], T], names: Collection[str]) -> list[T]:
        """Ask Airflow about each of some datasets, several at a time."""
        if not names:
            return []
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            return list(map_within_budget(pool, ask, sorted(names)))

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


def _is_of(result: LastResult | None, run: DagRun) -> bool:
    """Return whether a result is that of a run, or of one that ended later."""
    if result is None or run.end_date is None:
        return result is not None
    return result.finished_at > run.end_date or (
        result.run_id == run.run_id and result.finished_at == run.end_date
    )


def _result(run: DagRun, status: RunStatus, failures: Sequence[DagRun]) -> LastResult:
    end = run.end_date or run.run_after
    ends = [one.end_date for one in failures if one.end_date is not None]
    is_failure = status is RunStatus.FAILED
    return LastResult(
        run_id=run.run_id,
        status=status,
        finished_at=end,
        since=min([end, *ends]) if is_failure else end,
        failures=max(len(failures), 1) if is_failure else 0,
    )
