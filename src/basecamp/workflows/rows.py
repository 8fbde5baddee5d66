"""Workflows: one row for each dataset and source, with its status and next run (specification 22.6)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from basecamp.airflow.gateway import AirflowGateway
from basecamp.airflow.models import AirflowDag, TaskAttempt
from basecamp.datasets.catalog_cache import CatalogCache, find_spec
from basecamp.datasets.dag_cache import PATIENCE_SECONDS, SLOW, DagCache, unanswered
from basecamp.datasets.dataset_names import matches_any
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.datasets.takeovers import Takeover, Takeovers
from basecamp.lateness.late_datasets import LateDatasets, LateNow
from basecamp.lateness.pause_records import PauseRecords, with_pause
from basecamp.runs.last_runs import LastOfEach, LastRuns
from basecamp.runs.waiting import WaitingRuns
from basecamp.shared.clock import Clock
from basecamp.shared.cursors import decode_cursor, encode_cursor
from basecamp.shared.last_known import ListPage, ValueWithWarnings
from basecamp.shared.refresh_cache import SHARED_SECONDS, Changes, RefreshCache
from basecamp.workflows.waiting_datasets import WaitingAttempts, WaitingDatasets
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.errors import AirflowUnreachable, DatasetNotFound, InvalidSpec, TakenOver
from dataspec.models import LastResult, LastRun, RunStatus, SourceType, WorkflowInfo, WorkflowStatus
from dataspec.problems import nearest, unexpected
from dataspec.project.dependents import unknown_upstream
from dataspec.project.graph import DatasetGraph, GraphDataset, as_path
from dataspec.schedule import upstream_clock
from dataspec.schedule.cron import is_tick, next_tick
from dataspec.spec.connection_teams import ConnectionTeams
from dataspec.spec.model import DatasetSpec

log = logging.getLogger(__name__)

RUNNING_AGE_SECONDS = 30.0
RUNNING_PATIENCE_SECONDS = 0.25
"""How long to wait for the running attempts while the last ones are young enough: among ten thousand DAGs, and while
it lists them, Airflow takes seconds."""

NOT_LOADED_NOTE = "Airflow has not loaded it yet."
IMPORT_ERROR_NOTE = "Airflow reports an import error for it; an earlier version may still run."
SCHEDULE_OFF_NOTE = "Schedule off: the spec has 'enabled: false'."
RUNS_BY_HAND = "Runs by hand and backfills work."
ALSO_PAUSED = "It is paused as well: no run starts."


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFilter:
    """The filter of a list of workflows."""

    source: SourceType | None = None
    datasets: tuple[str, ...] = ()
    """Names of datasets, or patterns with ``*``; all datasets if empty."""
    running: bool = False
    waiting: bool = False
    enabled_only: bool = False
    result: RunStatus | None = None
    """Only datasets whose last result is this."""
    late: bool = False
    permitted: PermittedDatasets = EVERY_DATASET
    """The datasets that the caller may see."""

    def check(self, rows: Iterable[WorkflowInfo]) -> None:
        """Check that each named dataset is registered.

        Raises:
            DatasetNotFound: When one is not, with the nearest name.
        """
        exact = [name for name in self.datasets if "*" not in name]
        if not exact:
            return
        known = {row.dataset_name for row in rows if row.dataset_name in self.permitted}
        for name in exact:
            if name not in known:
                raise DatasetNotFound(name, hint=nearest(name, known), is_suggestion=True)

    def matches(self, row: WorkflowInfo) -> bool:
        """Return whether the filter selects a row."""
        return (
            row.dataset_name in self.permitted
            and self.source in {None, row.source_type}
            and matches_any(row.dataset_name, self.datasets)
            and (not self.running or row.running_run_id is not None)
            and (not self.waiting or row.waiting_run_id is not None)
            and (
                self.result is None or (row.last_result is not None and row.last_result.status is self.result)
            )
            and (not self.late or row.late is not None)
            and (not self.enabled_only or (row.status is WorkflowStatus.ACTIVE and row.cron is not None))
        )


class _InAirflow(NamedTuple):
    """What Airflow says of one dataset."""

    dag: AirflowDag | None
    attempt: TaskAttempt | None
    """The attempt that executes now."""
    last_run: LastRun | None
    last_result: LastResult | None


@dataclass(frozen=True, slots=True, eq=False)
class _AirflowState:
    """What Airflow says of all datasets, by name."""

    dags: Mapping[str, AirflowDag]
    running: Mapping[str, TaskAttempt]
    last: LastOfEach

    def of(self, name: str) -> _InAirflow:
        """Return what Airflow says of one dataset."""
        return _InAirflow(
            self.dags.get(name), self.running.get(name), self.last.runs.get(name), self.last.results.get(name)
        )

    def is_same(self, other: _AirflowState) -> bool:
        """Return whether it consists of the same objects, which each cache keeps for as long as nothing changes."""
        same = self.dags is other.dags and self.running is other.running
        last, before = self.last, other.last
        return same and last.runs is before.runs and last.results is before.results


@dataclass(frozen=True, slots=True)
class _MadeRow:
    """A row, and the spec that it was made from."""

    file: SpecFile
    row: WorkflowInfo
    is_lasting: bool
    """Whether it changes only with its inputs; others also depend on the time."""

    @classmethod
    def of(cls, file: SpecFile, row: WorkflowInfo, dag: AirflowDag | None) -> _MadeRow:
        """Return a row that was just made. Only a next run that is not Airflow's was computed from the time."""
        is_airflows = row.next_run is None or (dag is not None and row.next_run == dag.next_run)
        return cls(file, row, is_lasting=row.error is None and is_airflows)


@dataclass(frozen=True, slots=True)
class _Made:
    """The rows, and the inputs that they were made from."""

    catalog: Catalog
    airflow: _AirflowState
    taken: Mapping[str, Takeover]
    lost: Mapping[str, str]
    """What is wrong with ``depends_on``, by dataset."""
    lasting: Mapping[str, _MadeRow]
    """The lasting rows by their spec's key."""
    rows: list[WorkflowInfo]

    def row_of(self, file: SpecFile, known: _InAirflow, *, overridden: bool) -> _MadeRow | None:
        """Return the lasting row of these inputs; None if it was made from others."""
        name, made = file.name or "", self.lasting.get(file.key)
        if made is None or made.file is not file:
            return None
        is_same = (made.row.status is WorkflowStatus.OVERRIDDEN) == overridden and self.airflow.of(
            name
        ) == known
        return made if is_same else None

    def is_of(self, catalog: Catalog, airflow: _AirflowState, taken: Mapping[str, Takeover]) -> bool:
        """Return whether the rows were made from these inputs."""
        return self.catalog is catalog and self.airflow.is_same(airflow) and self.taken == taken


@dataclass(frozen=True, slots=True)
class _Marks:
    """What changes with the time, and not with the inputs of a row."""

    waiting: WaitingAttempts
    late: LateNow | None

    def marked(self, row: WorkflowInfo) -> WorkflowInfo:
        """Return a row with its waiting run and its late partitions; the same row if it has none."""
        row = self.waiting.marked(row)
        late = self.late.datasets.get(row.dataset_name) if self.late else None
        is_effective = row.status in {WorkflowStatus.ACTIVE, WorkflowStatus.PAUSED}
        return replace(row, late=late.shown) if late and is_effective else row


class RunningAttempts:
    """The attempts that execute now, by dataset. Safe to share between threads."""

    def __init__(
        self,
        gateway: AirflowGateway,
        clock: Clock,
        *,
        changes: Changes | None = None,
        patience_seconds: float = RUNNING_PATIENCE_SECONDS,
    ) -> None:
        self._gateway = gateway
        self._patience = patience_seconds
        self._cache: RefreshCache[Mapping[str, TaskAttempt]] = RefreshCache(
            "running",
            self._fetch,
            clock,
            unanswered=unanswered,
            min_age=0.0,
            max_age=SHARED_SECONDS,
            changes=changes,
        )

    def known(self) -> ValueWithWarnings[Mapping[str, TaskAttempt]]:
        """Return the attempts by dataset; the same object for as long as nothing changes.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
        """
        if (running := self._cache.usable()) is not None:
            return ValueWithWarnings(running)
        age = self._cache.age()
        is_young = age is not None and age <= RUNNING_AGE_SECONDS
        if is_young:
            return self._cache.refreshed(self._patience)
        return self._cache.refreshed(PATIENCE_SECONDS, late=SLOW)

    def _fetch(self) -> Mapping[str, TaskAttempt]:
        running = self._gateway.running_attempts()
        attempts = {attempt.dag_id: attempt for attempt in running if attempt.is_dataset}
        last = self._cache.last
        return last if last is not None and last == attempts else attempts


class Workflows:
    """Reads workflows from the store and from Airflow."""

    def __init__(
        self,
        specs: CatalogCache,
        dags: DagCache,
        gateway: AirflowGateway,
        clock: Clock,
        takeovers: Takeovers,
        *,
        connections: ConnectionTeams,
        pauses: PauseRecords,
        last_runs: LastRuns,
        waiting: WaitingRuns,
        run_changes: Changes,
        late: LateDatasets,
    ) -> None:
        self._late = late
        self._last_runs = last_runs
        self._connections = connections
        self._pauses = pauses
        self._takeovers = takeovers
        self._specs = specs
        self._dags = dags
        self._clock = clock
        self._running = RunningAttempts(gateway, clock, changes=run_changes)
        self._waiting = WaitingDatasets(gateway, waiting, clock, run_changes)
        self._made: _Made | None = None
        self._lost: tuple[Catalog, Mapping[str, str]] | None = None

    def page(
        self, wanted: WorkflowFilter | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> ListPage[WorkflowInfo]:
        """Return the selected rows by dataset name, overridden ones last.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
            StoreUnreachable: When the store does not answer, and never did.
            InvalidUsage: For a cursor of another list.
            DatasetNotFound: When a named dataset is not registered.
        """
        wanted = wanted or WorkflowFilter()
        after = decode_cursor(cursor, parts=4) if cursor else None
        everything, marks = self._rows(), self._marks()
        wanted.check(everything.value)
        selected = (
            row
            for row in map(marks.value.marked, everything.value)
            if wanted.matches(row) and (after is None or _place(row) > after)
        )
        rows = list(islice(selected, limit + 1))
        more = encode_cursor(_place(rows[limit - 1])) if len(rows) > limit else None
        pauses = self._pauses.known()
        page = [with_pause(row, pauses.get(row.dataset_name)) for row in rows[:limit]]
        if wanted.waiting:
            page = self._waiting.with_reasons(page, wanted.permitted)
        return ListPage(items=page, next_cursor=more, warnings=_merged(everything, marks))

    def get(self, name: str, source: SourceType | None = None) -> ValueWithWarnings[WorkflowInfo]:
        """Return a dataset's effective row, or that of one source.

        Raises:
            DatasetNotFound: When there is none.
            InvalidSpec: When the dataset's only spec can't be used.
            AirflowUnreachable: When Airflow does not answer, and never did.
            StoreUnreachable: When the store does not answer, and never did.
        """
        catalog = self._specs.known()
        file = find_spec(catalog.value, name, source)
        airflow = self._airflow()
        row = self._row(file, catalog.value, airflow.value.of(name), self._clock.now())
        row = _taken_over(row, self._takeovers.lately().get(name))
        marks = self._marks()
        row = with_pause(marks.value.marked(row), self._pauses.known().get(name))
        return ValueWithWarnings(row, _merged(catalog, airflow, marks))

    def effective(self) -> ValueWithWarnings[Mapping[str, WorkflowInfo]]:
        """Return the row of each dataset by name: the effective one, or of an invalid spec without another.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
            StoreUnreachable: When the store does not answer, and never did.
        """
        rows, marks = self._rows(), self._marks()
        # Of several rows the last one counts: that of the effective spec.
        order = sorted(
            rows.value, key=lambda row: row.status not in {WorkflowStatus.OVERRIDDEN, WorkflowStatus.INVALID}
        )
        found = {row.dataset_name: marks.value.marked(row) for row in order}
        return ValueWithWarnings(found, _merged(rows, marks))

    def with_reasons(self, rows: Sequence[WorkflowInfo], permitted: PermittedDatasets) -> list[WorkflowInfo]:
        """Return rows, those with a waiting run with what it waits for, if Airflow answers."""
        if any(row.waiting_run_id for row in rows):
            with suppress(AirflowUnreachable):
                return self._waiting.with_reasons(rows, permitted)
        return list(rows)

    def broken(self, permitted: PermittedDatasets) -> tuple[int, list[WorkflowInfo]]:
        """Return the number of specs of the permitted datasets, and the rows of the invalid ones.

        Raises:
            StoreUnreachable: When the store does not answer.
        """
        catalog = self._specs.catalog()
        if permitted.are_all:
            return len(catalog.files), [_invalid_row(file) for file in catalog.invalid]
        files = [file for file in catalog.files if file.name in permitted]
        return len(files), [_invalid_row(file) for file in files if file.error is not None]

    def taken_over(self, permitted: PermittedDatasets) -> list[WorkflowInfo]:
        """Return the rows of the permitted datasets whose id another DAG has.

        Raises:
            AirflowUnreachable: When Airflow does not answer, and never did.
            StoreUnreachable: When the store does not answer, and never did.
        """
        return [
            row
            for row in self._rows().value
            if row.taken_over_by is not None and row.dataset_name in permitted
        ]

    def _marks(self) -> ValueWithWarnings[_Marks]:
        """Return what waits and what is late; nothing is late while that can't be found out."""
        waiting = self._waiting.known()
        try:
            late = self._late.known()
        except AirflowUnreachable as error:
            warning = f"Which datasets are late is not known. {error.title}"
            return ValueWithWarnings(_Marks(waiting.value, None), (*waiting.warnings, warning))
        return ValueWithWarnings(_Marks(waiting.value, late.value), _merged(waiting, late))

    def _rows(self) -> ValueWithWarnings[list[WorkflowInfo]]:
        """Return every row by dataset name, overridden ones last; make only those again of which an input changed."""
        catalog, airflow = self._specs.known(), self._airflow()
        made, taken = self._made, self._takeovers.lately()
        if made is None or not made.is_of(catalog.value, airflow.value, taken):
            made = self._made_of(made, catalog.value, airflow.value, taken)
            self._made = made
        return ValueWithWarnings(made.rows, _merged(catalog, airflow))

    def _airflow(self) -> ValueWithWarnings[_AirflowState]:
        dags, running, last = self._dags.known(), self._running.known(), self._last_runs.known()
        state = _AirflowState(dags.value, running.value, last.value)
        return ValueWithWarnings(state, _merged(dags, running, last))

    def _made_of(
        self,
        before: _Made | None,
        catalog: Catalog,
        airflow: _AirflowState,
        taken: Mapping[str, Takeover],
    ) -> _Made:
        """Return the rows of these inputs."""
        now, lost, rows = self._clock.now(), self._lost_in(catalog), []
        for file in _listed(catalog):
            name = file.name or ""
            known = airflow.of(name)
            overridden = catalog.effective.get(name) is not file
            made = before.row_of(file, known, overridden=overridden) if before else None
            if made is None or name in taken or (before and before.lost.get(name) != lost.get(name)):
                row = _taken_over(self._row(file, catalog, known, now), taken.get(name))
                made = _MadeRow.of(file, row, known.dag)
            rows.append(made)
        lasting = {made.file.key: made for made in rows if made.is_lasting}
        return _Made(catalog, airflow, taken, lost, lasting, sorted((made.row for made in rows), key=_place))

    def _row(self, file: SpecFile, catalog: Catalog, known: _InAirflow, now: datetime) -> WorkflowInfo:
        row = _row(file, catalog, known, now)
        if catalog.effective.get(row.dataset_name) is file and (
            lost := self._lost_in(catalog).get(row.dataset_name)
        ):
            row = replace(row, note=" ".join(filter(None, (lost, row.note))))
        reason = self._connections.why_not(file.spec) if file.spec is not None else None
        if reason is None or row.status is WorkflowStatus.OVERRIDDEN:
            return row
        return replace(row, note=f"Its runs are refused. {reason}")

    def _lost_in(self, catalog: Catalog) -> Mapping[str, str]:
        """Return what is wrong with ``depends_on`` among the effective specs, by dataset."""
        made = self._lost
        if made is None or made[0] is not catalog:
            made = self._lost = catalog, _lost_dependencies(catalog)
        return made[1]


def _lost_dependencies(catalog: Catalog) -> dict[str, str]:
    specs = {name: spec for name, spec in catalog.specs.items() if spec.depends_on}
    graph = DatasetGraph(GraphDataset(name, spec.upstream) for name, spec in specs.items())
    lost = {
        name: f"'depends_on' names {', '.join(unknown)}, which the server does not have."
        for name, spec in specs.items()
        if catalog.effective[name].no_clock is None and (unknown := unknown_upstream(spec, catalog.effective))
    }
    for cycle in graph.cycles():
        told = f"These datasets depend on each other: {as_path(cycle)}. No scheduled run of them can start."
        lost |= dict.fromkeys(cycle, told)
    return lost


def _listed(catalog: Catalog) -> Iterator[SpecFile]:
    yield from catalog.effective.values()
    yield from catalog.overridden.values()
    yield from catalog.invalid


def _place(row: WorkflowInfo) -> list[str]:
    overridden = row.status is WorkflowStatus.OVERRIDDEN
    return [str(int(overridden)), row.dataset_name, row.source_type, row.file]


def _merged(*parts: ValueWithWarnings[object]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for part in parts for text in part.warnings))


def _row(file: SpecFile, catalog: Catalog, known: _InAirflow, now: datetime) -> WorkflowInfo:
    """Return a dataset's row. An unexpected error makes this row invalid and leaves the others."""
    if file.spec is None or file.name is None:
        return _invalid_row(file)
    try:
        return _usable_row(file, file.spec, file.name, catalog, known, now)
    except Exception as error:
        log.exception("The row of %s can't be made", file.key)
        return _invalid_row(replace(file, error=InvalidSpec([unexpected(error, file.key)])))


def _usable_row(  # noqa: PLR0917 - the inputs of a row
    file: SpecFile,
    spec: DatasetSpec,
    name: str,
    catalog: Catalog,
    known: _InAirflow,
    now: datetime,
) -> WorkflowInfo:
    dag, attempt, last_run, last_result = known
    overridden = catalog.effective.get(name) is not file
    status = _status(file, dag, overridden=overridden)
    schedule = spec.schedule
    clock = schedule.clock if schedule else None
    return WorkflowInfo(
        dataset_name=name,
        source_type=file.source,
        status=status,
        cron=schedule.cron if schedule else None,
        timezone=clock.zone if clock else None,
        follows_upstream=spec.follows_upstream,
        next_run=_next_run(dag, clock, now) if clock and status is WorkflowStatus.ACTIVE else None,
        overridden_by=SourceType.CODE if overridden else None,
        enabled=schedule.enabled if schedule else True,
        paused=dag.is_paused if dag else False,
        registered_by=file.authors.registered_by,
        registered_at=file.authors.registered_at,
        updated_by=file.authors.updated_by,
        updated_at=file.authors.updated_at,
        owner=spec.owner,
        team=spec.team,
        description=spec.description,
        tags=list(spec.tags),
        spec_hash=file.spec_hash,
        file=file.key,
        note=None if overridden else _note(file, dag),
        running_run_id=attempt.run_id if attempt and not overridden else None,
        running_since=attempt.start_date if attempt and not overridden else None,
        last_run=None if overridden else last_run,
        last_result=None if overridden else last_result,
    )


def _taken_over(row: WorkflowInfo, takeover: Takeover | None) -> WorkflowInfo:
    """Mark a row with the DAG that took its dataset over; that DAG's state is not the dataset's."""
    if takeover is None or row.status not in {WorkflowStatus.ACTIVE, WorkflowStatus.PAUSED}:
        return row
    error = TakenOver(row.dataset_name, takeover.place, lately=takeover.lately())
    return replace(
        row,
        error=f"{error.title}\n{error.detail}",
        taken_over_by=takeover.place,
        note=None,
        next_run=None,
    )


def _invalid_row(file: SpecFile) -> WorkflowInfo:
    return WorkflowInfo(
        dataset_name=file.name or file.key,
        source_type=file.source,
        status=WorkflowStatus.INVALID,
        file=file.key,
        error=file.error.detail if file.error else None,
    )


def _status(file: SpecFile, dag: AirflowDag | None, *, overridden: bool) -> WorkflowStatus:
    if overridden:
        return WorkflowStatus.OVERRIDDEN
    return (
        WorkflowStatus.PAUSED if is_switched_off(file) or (dag and dag.is_paused) else WorkflowStatus.ACTIVE
    )


def is_switched_off(file: SpecFile) -> bool:
    """Return whether a spec has its schedule off, by ``schedule.enabled: false``."""
    return file.spec is not None and file.spec.schedule is not None and not file.spec.schedule.enabled


def _next_run(dag: AirflowDag | None, clock: upstream_clock.Clock, now: datetime) -> datetime | None:
    """Return Airflow's next run; the next tick while Airflow still has another schedule."""
    if dag is None or dag.is_stale or dag.next_run is None:
        return None
    due = dag.next_run
    if due > now and not is_tick(*clock, due):
        due = next_tick(*clock, now)
    return due.astimezone(ZoneInfo(clock.zone))


def _note(file: SpecFile, dag: AirflowDag | None) -> str | None:
    if file.no_clock is not None:
        return f"No scheduled run is due: {file.no_clock}."
    if dag is None or dag.is_stale:
        loading: str | None = NOT_LOADED_NOTE
    else:
        loading = IMPORT_ERROR_NOTE if dag.has_import_errors else None
    return " ".join(filter(None, (loading, _schedule_off(file, dag)))) or None


def _schedule_off(file: SpecFile, dag: AirflowDag | None) -> str | None:
    """Return the note of a spec whose schedule is off; a person's pause is another thing."""
    if not is_switched_off(file):
        return None
    return f"{SCHEDULE_OFF_NOTE} {ALSO_PAUSED if dag and dag.is_paused else RUNS_BY_HAND}"
