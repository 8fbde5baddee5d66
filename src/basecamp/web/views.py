"""The data of each page, read from the services for its template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from basecamp.datasets.dataset_teams import PermittedDatasets
from basecamp.monitoring.readiness import NOT_YET
from basecamp.runs.history import HistoryFilter
from basecamp.runs.logs import RunLog
from basecamp.runs.waiting import shown_to
from basecamp.services import Services
from basecamp.shared.last_known import ListPage
from basecamp.web.queries import DatasetQuery, RunQuery, states_of
from basecamp.workflows.rows import WorkflowFilter
from dataspec.errors import NotFound, Unavailable
from dataspec.models import (
    Backfill,
    GraphNode,
    RegisteredDataset,
    SourceType,
    WorkflowGraph,
    WorkflowInfo,
    WorkflowRun,
    WorkflowStatus,
)
from dataspec.spec.model import DatasetSpec, Statement
from dataspec.spec.parse import parse_spec
from dataspec.spec.sql_texts import shared_files
from dataspec.sql.values.seeds import MAX_INLINE_BYTES

ALL_ROWS = 1_000_000
ROWS_PER_PAGE = 100
RUNS_PER_DATASET = 20
BACKFILLS_PER_DATASET = 5
RUNS_PER_BACKFILL = 50
LOG_LINES = 300
"""Number of last log lines on the page; the API and the command line return the full log."""
_SHOWN_LETTERS = 2_000
"""Number of letters that a page shows of a file that is too large for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetList:
    """The matching datasets."""

    query: DatasetQuery
    rows: Sequence[WorkflowInfo]
    counts: Mapping[str, int]
    """Number of datasets by status, without the status filter."""
    found: int
    total: int
    warnings: Sequence[str]

    @property
    def pages(self) -> int:
        """Number of pages."""
        return max(1, -(-self.found // ROWS_PER_PAGE))


def read_datasets(services: Services, query: DatasetQuery, permitted: PermittedDatasets) -> DatasetList:
    """Read the list of the permitted datasets.

    Raises:
        AirflowUnreachable: When Airflow does not answer, and no earlier response is cached.
        StoreUnreachable: When the store does not answer, and no earlier response is cached.
    """
    everything = services.workflows.page(WorkflowFilter(permitted=permitted), limit=ALL_ROWS)
    fitting = [row for row in everything.items if query.matches(row)]
    found = [row for row in fitting if query.matches_state(row)]
    start = (query.page - 1) * ROWS_PER_PAGE
    warnings = everything.warnings or _health(services, permitted)
    return DatasetList(
        query=query,
        rows=found[start : start + ROWS_PER_PAGE],
        counts=Counter(state for row in fitting for state in states_of(row)),
        found=len(found),
        total=len(everything.items),
        warnings=tuple(warnings),
    )


def _health(services: Services, permitted: PermittedDatasets) -> tuple[str, ...]:
    """Return warnings about unhealthy dependencies: without a scheduler, for example, runs wait.

    They can name datasets, so only those who see all of them get the warnings.
    """
    if not permitted.are_all:
        return ()
    checks = services.readiness.check().checks
    return tuple(
        f"{part.capitalize()}: {state}" for part, state in checks.items() if state not in {"ok", NOT_YET}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql:
    """A SQL statement of a spec."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A dataset that another one is built from, or that is built from it."""

    name: str
    node: GraphNode | None
    """Its state; None for a dataset that is not registered."""
    declared: bool = True
    """Whether ``depends_on`` names it."""

    @property
    def state(self) -> str:
        """Its state, as text."""
        if self.node is None:
            return "not registered"
        facts = [str(self.node.status), *filter(None, (self.node.last_result,))]
        facts += ["running"] if self.node.running_run_id else []
        facts += ["waits"] if self.node.waiting_run_id else []
        return ", ".join([*facts, *([] if self.declared else ["not in depends_on"])])


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetView:
    """One dataset, in one source."""

    info: WorkflowInfo
    registered: RegisteredDataset
    spec: DatasetSpec
    others: Sequence[WorkflowInfo]
    """Other rows of the same name."""
    runs: Sequence[WorkflowRun]
    runs_known: bool
    """Whether Airflow has listed the runs, now or earlier."""
    backfills: Sequence[Backfill]
    upstream: Sequence[Neighbour]
    downstream: Sequence[Neighbour]
    airflow_url: str
    warnings: Sequence[str]

    @property
    def overridden(self) -> bool:
        """Whether this is a manual spec that code overrides."""
        return self.info.status is WorkflowStatus.OVERRIDDEN

    @property
    def sql(self) -> list[Sql]:
        """The statements in the order of their execution, then the macro files and seeds."""
        return list(_sql(self.spec, self.registered.files))


def read_dataset(
    services: Services, name: str, source: SourceType | None, permitted: PermittedDatasets
) -> DatasetView:
    """Read a dataset's effective spec with its runs and its neighbours, or that of one source.

    Raises:
        DatasetNotFound: When there is none.
        InvalidSpec: When the dataset's only spec is invalid.
        AirflowUnreachable: When Airflow does not answer, and no earlier response is cached.
        StoreUnreachable: When the store does not answer, and no earlier response is cached.
    """
    known = services.workflows.get(name, source)
    registered = services.registered_specs.get(name, known.value.source_type)
    rows = services.workflows.page(WorkflowFilter(datasets=(name,)))
    runs, runs_known = _runs(services, HistoryFilter(datasets=(name,)), RUNS_PER_DATASET)
    backfills = _backfills_of(services, name, permitted)
    graph = services.graph.of(name, permitted)
    return DatasetView(
        info=known.value,
        registered=registered,
        spec=parse_spec(registered.yaml.encode(), file=registered.file),
        others=[row for row in rows.items if row.file != known.value.file or _is_broken(row)],
        runs=runs.items,
        runs_known=runs_known,
        backfills=backfills.items,
        upstream=_upstream(graph, name),
        downstream=_downstream(graph, name),
        airflow_url=services.run_records.dag_url(name),
        warnings=tuple(
            dict.fromkeys((*known.warnings, *registered.warnings, *runs.warnings, *backfills.warnings))
        ),
    )


def _upstream(graph: WorkflowGraph, name: str) -> list[Neighbour]:
    nodes = {node.name: node for node in graph.datasets}
    edges = (edge for edge in graph.edges if edge.downstream == name)
    found = [Neighbour(edge.upstream, nodes.get(edge.upstream), edge.declared) for edge in edges]
    missing = nodes[name].missing if name in nodes else ()
    return [*found, *(Neighbour(other, None) for other in missing)]


def _downstream(graph: WorkflowGraph, name: str) -> list[Neighbour]:
    nodes = {node.name: node for node in graph.datasets}
    edges = (edge for edge in graph.edges if edge.upstream == name)
    return [Neighbour(edge.downstream, nodes.get(edge.downstream), edge.declared) for edge in edges]


def _is_broken(row: WorkflowInfo) -> bool:
    """Say whether a row stands for an invalid file."""
    return row.error is not None and row.taken_over_by is None


def _runs(services: Services, wanted: HistoryFilter, limit: int) -> tuple[ListPage[WorkflowRun], bool]:
    """Read runs; return them, and whether they are known. An error becomes a warning."""
    try:
        return services.run_history.page(wanted, limit=limit), True
    except (NotFound, Unavailable) as error:
        return ListPage(items=(), warnings=(error.title,)), isinstance(error, NotFound)


def _backfills_of(services: Services, name: str, permitted: PermittedDatasets) -> ListPage[Backfill]:
    try:
        return services.backfill_lookup.page(dataset=name, permitted=permitted, limit=BACKFILLS_PER_DATASET)
    except Unavailable as error:
        return ListPage(items=(), warnings=(error.title,))


def _sql(spec: DatasetSpec, files: Mapping[str, str]) -> Iterator[Sql]:
    yield from _statements("before", spec.pre_statements, files)
    yield Sql(
        title=_titled("query", spec.query_file), text=_text(spec.query_file, spec.query_statement, files)
    )
    yield from _statements("after", spec.post_statements, files)
    for path, text in shared_files(spec, files).items():
        yield Sql(title=path, text=_beginning(text))


def _statements(when: str, statements: Sequence[Statement], files: Mapping[str, str]) -> Iterator[Sql]:
    for statement in statements:
        title = _titled(f"{when}: {statement.name}", statement.file)
        yield Sql(title=title, text=_text(statement.file, statement.sql, files))


def _beginning(text: str) -> str:
    """Return a file's text; of one as large as a seed may be, its first lines."""
    if len(text) <= MAX_INLINE_BYTES:
        return text
    first, _, _ = text[:_SHOWN_LETTERS].rpartition("\n")
    return f"{first}\n… {len(text.encode()) // 1024:,} KiB in all"


def _titled(title: str, file: str | None) -> str:
    return f"{title} · {file}" if file else title


def _text(file: str | None, inline: str | None, files: Mapping[str, str]) -> str:
    return files.get(file, "") if file else inline or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList:
    """The matching runs, newest first."""

    query: RunQuery
    runs: Sequence[WorkflowRun]
    next_cursor: str | None
    warnings: Sequence[str]


def read_runs(services: Services, query: RunQuery, permitted: PermittedDatasets) -> RunList:
    """Read the history of the permitted datasets.

    Raises:
        DatasetNotFound: When there is no such dataset, and no run of it.
        InvalidUsage: When the cursor does not belong to this list.
        AirflowUnreachable: When Airflow does not answer, and no earlier response is cached.
    """
    page = services.run_history.page(
        replace(query.wanted, permitted=permitted), limit=query.limit, cursor=query.cursor
    )
    return RunList(query=query, runs=page.items, next_cursor=page.next_cursor, warnings=page.warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillView:
    """One backfill, with its latest runs."""

    backfill: Backfill
    runs: Sequence[WorkflowRun]
    runs_known: bool
    """Whether Airflow has listed the runs, now or earlier."""
    more: bool
    """Whether it has earlier runs."""
    warnings: Sequence[str]


def read_backfill(services: Services, backfill_id: str, permitted: PermittedDatasets) -> BackfillView:
    """Read a backfill with its latest runs.

    Raises:
        BackfillNotFound: When there is none whose datasets are all permitted.
        StoreUnreachable: When the store does not answer.
    """
    known = services.backfill_lookup.get(backfill_id, permitted)
    backfill = known.value
    wanted = HistoryFilter(
        datasets=tuple(backfill.datasets),
        run_types=("backfill",),
        since=backfill.created_at,
        until=backfill.finished_at,
    )
    page, runs_known = _runs(services, wanted, RUNS_PER_BACKFILL)
    return BackfillView(
        backfill=backfill,
        runs=[run for run in page.items if run.backfill_id == backfill_id],
        runs_known=runs_known,
        more=page.next_cursor is not None,
        warnings=tuple(dict.fromkeys((*known.warnings, *page.warnings))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run, with the end of a log."""

    run: WorkflowRun
    log: RunLog | None
    lines: Sequence[str]
    omitted: int
    """Number of earlier lines."""
    log_problem: str | None
    """Why the log can't be shown."""
    warnings: Sequence[str]


def read_run(
    services: Services, run_id: str, dataset: str | None, attempt: int | None, permitted: PermittedDatasets
) -> RunView:
    """Read a run with the log of an attempt, by default the last, and what it waits for as far as it may be seen.

    Raises:
        RunNotFound: When there is none.
        InvalidUsage: When several datasets have a run of this id, and the dataset is not given.
        AirflowUnreachable: When Airflow does not answer, and no earlier response is cached.
    """
    known = services.run_lookup.get(run_id, dataset)
    log, problem = None, None
    try:
        log = services.run_logs.read(run_id, attempt=attempt, dataset=dataset)
    except (NotFound, Unavailable) as error:
        problem = error.title
    lines = log.lines if log else []
    return RunView(
        run=replace(known.value, waiting_for=shown_to(known.value.waiting_for, permitted)),
        log=log,
        lines=lines[-LOG_LINES:],
        omitted=max(0, len(lines) - LOG_LINES),
        log_problem=problem,
        warnings=known.warnings,
    )
