"""Metrics of runs: those that are active, and each one that has ended since this replica looked first."""

from __future__ import annotations

from collections import Counter as Tally
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, product
from typing import get_args

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import DagRun, RunFilter, RunVersion
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dag_cache import unanswered
from basecamp.datasets.takeovers import Takeovers
from basecamp.monitoring.observation import Observation
from basecamp.outages.request_budget import map_within_budget
from basecamp.runs.all_runs import all_runs
from basecamp.runs.records import RunRecords, run_status, run_type
from basecamp.shared.clock import Clock, earlier_now
from dataspec.catalog.effective import Catalog
from dataspec.models import CheckResult, RunStatus, RunType

MAX_PAGES = 100
"""Maximum number of Airflow's pages of each list that a look reads."""
OVERLAP = timedelta(minutes=1)
"""How much earlier than the last look a run may have ended that the look did not see."""
MAX_UNREAD = 10_000
"""Maximum number of ended runs whose rows and checks are still to be read; beyond it the oldest are left out."""
READ_AT_ONCE = 100
"""The rows and checks of so many runs are read in one look, with a request for the checks of each."""
PARALLEL_REQUESTS = 4

TYPES: tuple[str, ...] = get_args(RunType)
STATES = ("queued", "running", "waiting")
RESULTS = tuple(status.lower() for status in RunStatus if status.finished)
CHECKS = (("error", "passed"), ("error", "failed"), ("warn", "passed"), ("warn", "warned"))
"""What a check of each severity may have found."""
_DURATIONS = (1, 5, 15, 60, 300, 900, 1800, 3600, 2 * 3600, 6 * 3600, 24 * 3600)

_End = tuple[str, str, datetime]
"""One end of a run: a retried run ends again."""


class _EndedRuns:
    """Counts what has ended, with every combination of labels from the beginning: a rate sees the first one too."""

    def __init__(self) -> None:
        labels = ("type", "result")
        self.runs = Counter("basecamp_runs_ended", "Runs that have ended.", labels, registry=None)
        self.durations = Histogram(
            "basecamp_run_duration_seconds",
            "Duration of a run that has ended, from its start; what it waited for other datasets counts.",
            labels,
            buckets=_DURATIONS,
            registry=None,
        )
        self.checks = Counter(
            "basecamp_run_checks",
            "Checks of runs that have ended, by what they found.",
            ("severity", "result"),
            registry=None,
        )
        self.rows = Counter(
            "basecamp_run_rows", "Rows that completed runs have written.", ("type",), registry=None
        )
        for of_type in TYPES:
            self.rows.labels(of_type)
        for of_run in product(TYPES, RESULTS):
            self.runs.labels(*of_run)
            self.durations.labels(*of_run)
        for of_check in CHECKS:
            self.checks.labels(*of_check)

    def add(self, run: DagRun, status: RunStatus) -> None:
        """Count a run."""
        labels = run_type(run), status.lower()
        self.runs.labels(*labels).inc()
        if run.start_date and run.end_date:
            self.durations.labels(*labels).observe((run.end_date - run.start_date).total_seconds())

    def add_rows(self, run: DagRun, rows: int) -> None:
        """Count the rows that a run has written."""
        self.rows.labels(run_type(run)).inc(rows)

    def add_checks(self, results: Iterable[CheckResult]) -> None:
        """Count what the checks of a run have found."""
        for result in results:
            self.checks.labels(result.severity, result.status).inc()

    def families(self) -> Iterator[Metric]:
        """Return the metrics."""
        for metric in (self.runs, self.durations, self.rows, self.checks):
            yield from metric.collect()


@dataclass(frozen=True, slots=True)
class _Position:
    """Until when the ended runs are counted."""

    first: datetime
    """When this replica looked first; what ended earlier is not counted."""
    since: datetime
    counted: frozenset[_End] = frozenset()
    """The ends that are counted already, of those that the next look may find."""


class RunMetrics(Collector):
    """Shows what was last seen of the runs; a scrape begins the next look and does not wait for it.

    Each replica counts all runs that have ended since its first look, whoever started them.
    """

    def __init__(
        self,
        gateway: AirflowGateway,
        specs: CatalogCache,
        records: RunRecords,
        takeovers: Takeovers,
        clock: Clock,
    ) -> None:
        self._gateway = gateway
        self._specs = specs
        self._records = records
        self._takeovers = takeovers
        self._clock = clock
        self._ended = _EndedRuns()
        self._position: _Position | None = None
        self._unread: deque[DagRun] = deque(maxlen=MAX_UNREAD)
        """The ended runs whose rows and checks are still to be read, oldest first."""
        self._seen: Observation[Mapping[tuple[str, str], int]] = Observation(
            "runs", self._look, clock, unanswered=unanswered
        )

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; none before the first look has ended."""
        active = self._seen.latest()
        if active is None:
            return
        family = GaugeMetricFamily(
            "basecamp_runs_active", "Runs that have not ended.", labels=("state", "type")
        )
        for labels in product(STATES, TYPES):
            family.add_metric(labels, active.get(labels, 0))
        yield family
        yield from self._ended.families()
        yield self._seen.age_family()

    def _look(self) -> tuple[Mapping[tuple[str, str], int], bool]:
        catalog = self._specs.known()
        names = catalog.value.effective.keys() | catalog.value.retired.keys()
        self._count_ended(catalog.value, names)
        waiting = {(attempt.dag_id, attempt.run_id) for attempt in self._gateway.waiting_attempts()}
        active = all_runs(self._gateway, RunFilter(states=("queued", "running")), max_pages=MAX_PAGES)
        return (
            Tally(
                ("waiting" if run.key in waiting else run.state, run_type(run))
                for run in active
                if run.dag_id in names
            ),
            not catalog.warnings,
        )

    def _count_ended(self, catalog: Catalog, names: Container[str]) -> None:
        began = earlier_now(self._gateway, self._clock)
        position = self._position or _Position(began, began)
        wanted = RunFilter(states=("success", "failed"), ended_from=position.since - OVERLAP)
        found: dict[_End, DagRun] = {
            (*run.key, run.end_date): run
            for run in all_runs(self._gateway, wanted, max_pages=MAX_PAGES)
            if run.dag_id in names and run.end_date is not None and run.end_date >= position.first
        }
        new = [run for end, run in found.items() if end not in position.counted]
        for run, status in zip(new, self._statuses(new), strict=True):
            self._ended.add(run, status)
        counted = frozenset(end for end in found if end[2] >= began - OVERLAP)
        self._position = _Position(position.first, began, counted)
        self._unread.extend(reversed(new))
        self._read_results(catalog)

    def _statuses(self, runs: Sequence[DagRun]) -> list[RunStatus]:
        """Return the status of ended runs; ask Airflow only where another DAG's code may have run."""
        taken = self._takeovers.seen
        unsure = [run for run in runs if run.dag_id in taken]
        exact = {(one.dataset_name, one.run_id): one.status for one in self._records.of(unsure)}
        return [exact.get(run.key) or run_status(run, begun=False) for run in runs]

    def _read_results(self, catalog: Catalog) -> None:
        """Count the rows and the checks of the runs that ended first."""
        runs = list(islice(self._unread, READ_AT_ONCE))
        if not runs:
            return
        last: dict[tuple[str, str], RunVersion] = {}
        for version in sorted(self._gateway.versions(runs), key=lambda one: one.try_number):
            last[version.dag_id, version.run_id] = version

        def read(run: DagRun) -> list[CheckResult]:
            return self._gateway.check_results(*run.key) if _has_checks(run, catalog) else []

        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            for run, results in zip(runs, map_within_budget(pool, read, runs), strict=True):
                self._ended.add_checks(results)
                rows = last[run.key].rows if run.key in last else None
                if rows is not None and run.state == "success":
                    self._ended.add_rows(run, rows)
                self._unread.popleft()


def _has_checks(run: DagRun, catalog: Catalog) -> bool:
    file = catalog.effective.get(run.dag_id)
    return file is not None and file.spec is not None and bool(file.spec.checks)
