"""What the pages show: read from the services, put together for a template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from basecamp.runs.history import HistoryFilter
from basecamp.runs.logs import RunLog
from basecamp.services import Services
from basecamp.shared.last_known import ListPage
from basecamp.web.queries import DatasetQuery, RunQuery, states_of
from basecamp.workflows.rows import WorkflowFilter
from dataspec.errors import NotFound, Unavailable
from dataspec.models import Backfill, RegisteredDataset, SourceType, WorkflowInfo, WorkflowRun, WorkflowStatus
from dataspec.schedule.backfill_plan import backfill_run_id
from dataspec.spec.model import DatasetSpec, Statement
from dataspec.spec.parse import parse_spec

EVERYTHING = 1_000_000
ROWS_A_PAGE = 100
LATEST_RUNS = 50
"""How many runs the list of datasets looks through for each one's last; they cost one page of Airflow's."""
RUNS_OF_A_DATASET = 20
BACKFILLS_OF_A_DATASET = 5
RUNS_OF_A_BACKFILL = 50
LOG_LINES = 300
"""How much of a log's end the page shows; the API and the command line give all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetList:
    """The datasets that are wanted."""

    query: DatasetQuery
    rows: Sequence[WorkflowInfo]
    last_runs: Mapping[str, WorkflowRun]
    """The last run by dataset, where it is among the latest ones."""
    counts: Mapping[str, int]
    """How many there are by state, were it not for the state that is asked for."""
    found: int
    total: int
    warnings: Sequence[str]

    @property
    def pages(self) -> int:
        """How many pages the rows that were found fill."""
        return max(1, -(-self.found // ROWS_A_PAGE))


def read_datasets(services: Services, query: DatasetQuery) -> DatasetList:
    """Read the list of datasets.

    Raises:
        AirflowUnreachable: When Airflow does not answer, and never did.
        StoreUnreachable: When the store does not answer, and never did.
    """
    everything = services.workflows.page(limit=EVERYTHING)
    fitting = [row for row in everything.items if query.fits(row)]
    found = [row for row in fitting if query.is_in_state(row)]
    start = (query.page - 1) * ROWS_A_PAGE
    last_runs, problem = _last_runs(services)
    warnings = dict.fromkeys((*everything.warnings, *problem)) or _health(services)
    return DatasetList(
        query=query,
        rows=found[start : start + ROWS_A_PAGE],
        last_runs=last_runs,
        counts=Counter(state for row in fitting for state in states_of(row)),
        found=len(found),
        total=len(everything.items),
        warnings=tuple(warnings),
    )


def _last_runs(services: Services) -> tuple[dict[str, WorkflowRun], tuple[str, ...]]:
    try:
        page = services.run_history.page(HistoryFilter(), limit=LATEST_RUNS)
    except Unavailable as error:
        return {}, (error.title,)
    return {run.dataset_name: run for run in reversed(page.items)}, tuple(page.warnings)


def _health(services: Services) -> tuple[str, ...]:
    """Say what is unwell, although it answers: a run may wait for a scheduler that is gone."""
    checks = services.readiness.check().checks
    return tuple(f"{part.capitalize()}: {state}" for part, state in checks.items() if state != "ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql:
    """One SQL text of a spec."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetView:
    """One dataset, in one source."""

    info: WorkflowInfo
    registered: RegisteredDataset
    spec: DatasetSpec
    others: Sequence[WorkflowInfo]
    """The rows that the same name has beside this one."""
    runs: Sequence[WorkflowRun]
    backfills: Sequence[Backfill]
    airflow_url: str
    warnings: Sequence[str]

    @property
    def overridden(self) -> bool:
        """Whether code has a dataset of this name, and this is the manual one."""
        return self.info.status is WorkflowStatus.OVERRIDDEN

    @property
    def sql(self) -> list[Sql]:
        """The SQL in the order in which it runs."""
        return list(_sql(self.spec, self.registered.files))


def read_dataset(services: Services, name: str, source: SourceType | None) -> DatasetView:
    """Read a dataset's effective spec with its runs, or that of one source.

    Raises:
        DatasetNotFound: When there is none.
        InvalidSpec: When the dataset's only spec can't be used.
        AirflowUnreachable: When Airflow does not answer, and never did.
        StoreUnreachable: When the store does not answer, and never did.
    """
    known = services.workflows.get(name, source)
    registered = services.registered_specs.get(name, known.value.source_type)
    rows = services.workflows.page(WorkflowFilter(dataset=name))
    runs = _runs(services, HistoryFilter(dataset=name), RUNS_OF_A_DATASET)
    backfills = _backfills_of(services, name)
    return DatasetView(
        info=known.value,
        registered=registered,
        spec=parse_spec(registered.yaml.encode(), file=registered.file),
        others=[row for row in rows.items if row.file != known.value.file or _is_broken(row)],
        runs=runs.items,
        backfills=backfills.items,
        airflow_url=services.run_records.dag_url(name),
        warnings=tuple(
            dict.fromkeys((*known.warnings, *registered.warnings, *runs.warnings, *backfills.warnings))
        ),
    )


def _is_broken(row: WorkflowInfo) -> bool:
    """Say whether a row is that of a file that can't be used."""
    return row.error is not None and row.taken_over_by is None


def _runs(services: Services, wanted: HistoryFilter, limit: int) -> ListPage[WorkflowRun]:
    """Read runs beside something else; where they can't be read, there is a warning instead."""
    try:
        return services.run_history.page(wanted, limit=limit)
    except (NotFound, Unavailable) as error:
        return ListPage(items=(), warnings=(error.title,))


def _backfills_of(services: Services, name: str) -> ListPage[Backfill]:
    try:
        return services.backfill_lookup.page(dataset=name, limit=BACKFILLS_OF_A_DATASET)
    except Unavailable as error:
        return ListPage(items=(), warnings=(error.title,))


def _sql(spec: DatasetSpec, files: Mapping[str, str]) -> Iterator[Sql]:
    yield from _statements("before", spec.pre_statements, files)
    yield Sql(
        title=_titled("query", spec.query_file), text=_text(spec.query_file, spec.query_statement, files)
    )
    yield from _statements("after", spec.post_statements, files)


def _statements(when: str, statements: Sequence[Statement], files: Mapping[str, str]) -> Iterator[Sql]:
    for statement in statements:
        title = _titled(f"{when}: {statement.name}", statement.file)
        yield Sql(title=title, text=_text(statement.file, statement.sql, files))


def _titled(title: str, file: str | None) -> str:
    return f"{title} · {file}" if file else title


def _text(file: str | None, inline: str | None, files: Mapping[str, str]) -> str:
    return files.get(file, "") if file else inline or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList:
    """The runs that are wanted, newest first."""

    query: RunQuery
    runs: Sequence[WorkflowRun]
    next_cursor: str | None
    warnings: Sequence[str]


def read_runs(services: Services, query: RunQuery) -> RunList:
    """Read the history.

    Raises:
        DatasetNotFound: When no dataset of that name is known, nor was.
        InvalidUsage: For a cursor of another list.
        AirflowUnreachable: When Airflow does not answer, and did not answer this before.
    """
    page = services.run_history.page(query.wanted, limit=query.limit, cursor=query.cursor)
    return RunList(query=query, runs=page.items, next_cursor=page.next_cursor, warnings=page.warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillView:
    """One backfill, with its latest runs."""

    backfill: Backfill
    runs: Sequence[WorkflowRun]
    more: bool
    """Whether it has runs before these."""
    warnings: Sequence[str]

    @property
    def run_ids(self) -> dict[str, str]:
        """The ids of the runs of the dates that failed."""
        return {day: backfill_run_id(self.backfill.backfill_id, day) for day in self.backfill.failed_dates}


def read_backfill(services: Services, backfill_id: str) -> BackfillView:
    """Read a backfill with its latest runs.

    Raises:
        BackfillNotFound: When there is none.
        StoreUnreachable: When the store does not answer.
    """
    known = services.backfill_lookup.get(backfill_id)
    backfill = known.value
    wanted = HistoryFilter(
        dataset=backfill.dataset_name,
        run_type="backfill",
        since=backfill.created_at,
        until=backfill.finished_at,
    )
    page = _runs(services, wanted, RUNS_OF_A_BACKFILL)
    return BackfillView(
        backfill=backfill,
        runs=[run for run in page.items if run.run_id.startswith(f"{backfill_id}_")],
        more=page.next_cursor is not None,
        warnings=tuple(dict.fromkeys((*known.warnings, *page.warnings))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run, with the end of a log."""

    run: WorkflowRun
    log: RunLog | None
    lines: Sequence[str]
    left_out: int
    """How many lines the log has before these."""
    log_problem: str | None
    """Why there is no log to show."""
    warnings: Sequence[str]


def read_run(services: Services, run_id: str, dataset: str | None, attempt: int | None) -> RunView:
    """Read a run with the log of one attempt, the last unless another is named.

    Raises:
        RunNotFound: When there is none.
        InvalidUsage: When several datasets have a run of this id, and none was named.
        AirflowUnreachable: When Airflow does not answer, and did not answer this before.
    """
    known = services.run_lookup.get(run_id, dataset)
    log, problem = None, None
    try:
        log = services.run_logs.read(run_id, attempt=attempt, dataset=dataset)
    except (NotFound, Unavailable) as error:
        problem = error.title
    lines = log.lines if log else []
    return RunView(
        run=known.value,
        log=log,
        lines=lines[-LOG_LINES:],
        left_out=max(0, len(lines) - LOG_LINES),
        log_problem=problem,
        warnings=known.warnings,
    )
