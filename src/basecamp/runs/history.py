"""The history of runs, newest first, a page at a time (specification 12.18).

Airflow filters by state, dataset and time. It knows no sources, no ``KILLED`` and no backfills
of Basecamp, so the listed rows are filtered by these here. A cursor is Airflow's
own, plus the last run that was returned if a page of rows was left halfway.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import TypeVar

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import PAGE_LIMIT, DagRun, DagRunState, RunFilter
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.datasets.dataset_names import DatasetNames, matches_any
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.datasets.takeovers import Takeovers
from basecamp.runs.failure_reasons import FailureReasons
from basecamp.runs.records import RunRecords, run_status, run_type
from basecamp.shared.clock import Clock
from basecamp.shared.cursors import decode_cursor, encode_cursor
from basecamp.shared.last_known import LastAnswers, ListPage, ValueWithWarnings
from dataspec.contract import TIMETABLE_RUN_TYPES
from dataspec.errors import InvalidUsage
from dataspec.models import RunPartition, RunStatus, RunType, SourceType, WorkflowRun
from dataspec.parameters import EXECUTION_DATE, ParameterValueError
from dataspec.schedule.partitions import read_moment
from dataspec.schedule.stored_start import date_of, turn_of

V = TypeVar("V")

_DAY = timedelta(days=1)

MAX_SCANNED_PAGES = 10
"""Maximum number of Airflow's pages that one request reads; then it returns what it found, and a cursor."""

LATE_ERRORS = (
    "Airflow is slow to show logs: the errors of {} failed runs are not known yet. Ask again in a moment."
)

_STATES: dict[RunStatus, tuple[DagRunState, ...]] = {
    RunStatus.PENDING: ("queued", "running"),
    RunStatus.RUNNING: ("running",),
    RunStatus.COMPLETED: ("success",),
    RunStatus.FAILED: ("failed",),
    RunStatus.KILLED: ("failed",),
}

_RUN_TYPES: dict[RunType, tuple[str, ...]] = {
    "scheduled": ("scheduled",),
    "backfill": ("backfill", "manual"),
    "adhoc": ("manual", "operator_triggered", "asset_triggered", "asset_materialization"),
}
"""Airflow's run types: to it the runs of Basecamp's backfills are manual."""


@dataclass(frozen=True, slots=True)
class PartitionFilter:
    """A date or a time that the partition of a run covers, by the clock of the run's zone."""

    text: str
    moment: date | datetime

    @classmethod
    def of(cls, text: str) -> PartitionFilter:
        """Read a date or a time, with or without offset.

        Raises:
            InvalidUsage: For any other text.
        """
        try:
            return cls(text, read_moment(text))
        except ParameterValueError as error:
            raise InvalidUsage(
                f"'{text}' is no partition: {error}",
                detail="Give a date, such as 2024-01-15, or a time, such as 2024-01-15T13:00.",
            ) from None

    def may_match(self, run: DagRun) -> bool:
        """Return whether the partition of a run may cover it, by Airflow's row alone."""
        given, start, end = run.conf.get(EXECUTION_DATE), run.data_interval_start, run.data_interval_end
        day = self.moment.date() if isinstance(self.moment, datetime) else self.moment
        last = (day + _DAY).isoformat()
        if given is not None:
            return str(given)[: len(last)] <= last
        if run.run_type not in TIMETABLE_RUN_TYPES or start is None or end is None:
            return True
        ended = not turn_of(start) and end.date() + 2 * _DAY < day
        return date_of(start) <= last and not ended

    def matches(self, partition: RunPartition | None) -> bool:
        """Return whether a partition covers it."""
        if partition is None:
            return False
        start, end = partition.start, partition.end
        if not isinstance(self.moment, datetime):
            first, last = (datetime.combine(self.moment, time(), zone.tzinfo) for zone in (end, start))
            return start < last + _DAY and first < end
        zones = (self.moment.tzinfo,) if self.moment.tzinfo else (start.tzinfo, end.tzinfo)
        return any(start <= self.moment.replace(tzinfo=zone) < end for zone in zones)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """The filter of a list of runs."""

    datasets: tuple[str, ...] = ()
    """Names of datasets, or patterns with ``*``; all datasets if empty."""
    source: SourceType | None = None
    statuses: tuple[RunStatus, ...] = ()
    run_types: tuple[RunType, ...] = ()
    since: datetime | None = None
    """Only runs due, or requested, at this time or later."""
    until: datetime | None = None
    """Only runs due, or requested, before this time."""
    partition: PartitionFilter | None = None
    permitted: PermittedDatasets = EVERY_DATASET
    """The datasets whose runs the caller may see."""

    def check(self) -> None:
        """Check that the first time is before the second.

        Raises:
            InvalidUsage: When the first is not before the second.
        """
        if self.since and self.until and self.since >= self.until:
            since, until = (moment.isoformat(timespec="minutes") for moment in (self.since, self.until))
            raise InvalidUsage(
                f"The start {since} is not before the end {until}.",
                detail="Give the earlier time with --since, and the later one with --until.",
            )

    def may_match(self, run: DagRun) -> bool:
        """Return whether the filter may select a run, by Airflow's row alone: the rest costs more requests."""
        return (
            run.dag_id in self.permitted
            and matches_any(run.dag_id, self.datasets)
            and (not self.run_types or run_type(run) in self.run_types)
            and (self.partition is None or self.partition.may_match(run))
            and (not run.finished or not self.statuses or not _ended(run).isdisjoint(self.statuses))
        )

    def matches(self, run: WorkflowRun) -> bool:
        """Return whether the filter selects a run; a run that has not started has no source."""
        return (
            matches_any(run.dataset_name, self.datasets)
            and self.source in {None, run.source_type}
            and (not self.statuses or run.status in self.statuses)
            and (not self.run_types or run.run_type in self.run_types)
            and (self.partition is None or self.partition.matches(run.partition))
        )

    @property
    def exact_names(self) -> tuple[str, ...]:
        """The names of datasets that are no patterns."""
        return tuple(name for name in self.datasets if "*" not in name)

    @property
    def is_airflows_alone(self) -> bool:
        """Whether Airflow's list has only runs that the filter selects: those of one dataset, or of all."""
        exact = self.for_airflow.dag_id
        permitted = self.permitted if exact else EVERY_DATASET
        return self == HistoryFilter(datasets=(exact,) if exact else (), permitted=permitted)

    @property
    def for_airflow(self) -> RunFilter:
        """The part of the filter that Airflow applies."""
        exact = self.exact_names
        return RunFilter(
            dag_id=exact[0] if len(self.datasets) == len(exact) == 1 else None,
            states=_union(_STATES[status] for status in self.statuses),
            run_types=_union(_RUN_TYPES[kind] for kind in self.run_types),
            due_from=self.since,
            due_before=self.until,
        )


@dataclass(slots=True)
class _Scan:
    """The position in Airflow's pages."""

    cursor: str | None
    after: tuple[str, str]
    """The last run of this page that was returned."""

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page; None at the end."""
        at_end = self.cursor is None and not any(self.after)
        return None if at_end else encode_cursor([self.cursor or "", *self.after])


class RunHistory:
    """Lists runs."""

    def __init__(
        self,
        *,
        specs: CatalogCache,
        names: DatasetNames,
        gateway: AirflowGateway,
        records: RunRecords,
        reasons: FailureReasons,
        clock: Clock,
        takeovers: Takeovers,
    ) -> None:
        self._takeovers = takeovers
        self._specs = specs
        self._names = names
        self._gateway = gateway
        self._records = records
        self._reasons = reasons
        self._last: LastAnswers[ListPage[WorkflowRun]] = LastAnswers(clock)

    def page(
        self, wanted: HistoryFilter, *, limit: int = 20, cursor: str | None = None
    ) -> ListPage[WorkflowRun]:
        """Return runs, newest first; failed ones with their error if Airflow returns it quickly.

        Raises:
            DatasetNotFound: When no dataset of that name is or was registered.
            InvalidUsage: For a cursor of another list, or times in the wrong order.
            AirflowUnreachable: When Airflow does not answer, and did not answer this before.
        """
        wanted.check()
        place = decode_cursor(cursor, parts=3) if cursor else ["", "", ""]
        catalog = self._specs.known()
        for exact in wanted.exact_names:
            self._names.check(exact, wanted.permitted)

        def ask() -> ValueWithWarnings[ListPage[WorkflowRun]]:
            scan = _Scan(place[0] or None, (place[1], place[2]))
            return self._with_errors(self._scan(wanted, limit, scan))

        read = self._last.read((wanted, limit, cursor), ask)
        warnings = tuple(dict.fromkeys((*catalog.warnings, *read.value.warnings, *read.warnings)))
        # An earlier answer may have runs of a dataset that has changed its team since.
        items = [run for run in read.value.items if run.dataset_name in wanted.permitted]
        return ListPage(items=items, next_cursor=read.value.next_cursor, warnings=warnings)

    def _for_airflow(self, wanted: HistoryFilter) -> RunFilter:
        """Return Airflow's filter; with successful runs as well for ``FAILED`` runs of a dataset that was taken over."""
        asked = wanted.for_airflow
        taken = RunStatus.FAILED in wanted.statuses and any(
            matches_any(name, wanted.datasets) for name in self._takeovers.seen
        )
        return replace(asked, states=(*asked.states, "success")) if taken else asked

    def _with_errors(
        self, known: ValueWithWarnings[ListPage[WorkflowRun]]
    ) -> ValueWithWarnings[ListPage[WorkflowRun]]:
        runs, late = self._reasons.into_all(known.value.items)
        warnings = (LATE_ERRORS.format(late),) if late else ()
        return replace(known, value=replace(known.value, items=runs, warnings=warnings))

    def _scan(
        self, wanted: HistoryFilter, limit: int, scan: _Scan
    ) -> ValueWithWarnings[ListPage[WorkflowRun]]:
        found: list[WorkflowRun] = []
        warnings: dict[str, None] = {}
        size = limit if wanted.is_airflows_alone else PAGE_LIMIT
        for_airflow = self._for_airflow(wanted)
        for _ in range(MAX_SCANNED_PAGES):
            page = self._gateway.list_runs(for_airflow, limit=size, cursor=scan.cursor)
            after = _after(page.runs, scan.after)
            ours = self._names.among({run.dag_id for run in after})
            warnings |= dict.fromkeys(ours.warnings)
            rows = [run for run in after if run.dag_id in ours.value and wanted.may_match(run)]
            kept = [run for run in self._records.of(rows) if wanted.matches(run)]
            room = limit - len(found)
            found += kept[:room]
            if len(kept) > room:
                scan = _Scan(scan.cursor, (found[-1].dataset_name, found[-1].run_id))
                break
            scan = _Scan(page.next_cursor, ("", ""))
            if scan.cursor is None or len(found) == limit:
                break
        return ValueWithWarnings(ListPage(items=found, next_cursor=scan.next_cursor), tuple(warnings))


def _union(values: Iterable[tuple[V, ...]]) -> tuple[V, ...]:
    return tuple(dict.fromkeys(value for some in values for value in some))


def _ended(run: DagRun) -> set[RunStatus]:
    """Return the possible statuses of an ended run: a successful one may have run another DAG's code."""
    return {run_status(run, begun=True, other_code=other) for other in (False, True)}


def _after(runs: Iterable[DagRun], key: tuple[str, str]) -> list[DagRun]:
    """Return the runs after a run; all if that run is gone from the page."""
    runs = list(runs)
    keys = [run.key for run in runs]
    return runs[keys.index(key) + 1 :] if key in keys else runs
