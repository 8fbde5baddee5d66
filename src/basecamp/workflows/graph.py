"""The graph of the registered datasets, each with its state (specification 32.1 to 32.5)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

from basecamp.datasets.catalog_cache import CatalogCache, find_spec
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.datasets.spec_sql import SpecSql
from basecamp.shared.clock import Clock
from basecamp.workflows.rows import Workflows
from dataspec.catalog.effective import Catalog, SpecFile
from dataspec.errors import DatasetNotFound, ServerBusy
from dataspec.models import GraphEdge, GraphNode, WorkflowGraph, WorkflowInfo
from dataspec.problems import nearest
from dataspec.project.graph import DatasetGraph, Edge, GraphDataset
from dataspec.sql.lineage.dataset_lineage import Lineage

PATIENCE_SECONDS = 0.5
"""How long one request waits for SQL that no request has read before."""
READ_AT_ONCE = 500
"""Maximum number of specs whose SQL is read after one request."""

_UNREAD = (
    "The SQL of {} has not been read yet: dependencies that 'depends_on' lacks may be missing. Ask again."
)


class LineageReader:
    """Reads the lineage of specs in the background, for graphs of many. Safe to share between threads."""

    def __init__(self, sql: SpecSql, clock: Clock) -> None:
        self._sql = sql
        self._clock = clock
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="lineage")
        self._lock = threading.Lock()
        self._reading: Future[None] | None = None

    def known(self, files: Sequence[SpecFile]) -> tuple[dict[str, Lineage], int]:
        """Return the lineage of usable specs by dataset, and how many were not read within a moment."""
        known = self._known(files)
        unread = [file for file in files if file.name not in known]
        if unread:
            wait([self._begin(unread)], timeout=self._clock.patience(PATIENCE_SECONDS))
            known |= self._known(unread)
        return known, len(files) - len(known)

    def _known(self, files: Sequence[SpecFile]) -> dict[str, Lineage]:
        return {
            file.name: lineage
            for file in files
            if file.name and file.spec and (lineage := self._sql.known_lineage(file.spec, file)) is not None
        }

    def _begin(self, files: Sequence[SpecFile]) -> Future[None]:
        with self._lock:
            if self._reading is None or self._reading.done():
                self._reading = self._threads.submit(self._read, files[:READ_AT_ONCE])
            return self._reading

    def _read(self, files: Sequence[SpecFile]) -> None:
        for file in files:
            if file.spec is not None:
                with suppress(ServerBusy):  # the next request tries again
                    self._sql.lineage(file.spec, file)


class RegisteredGraph:
    """Shows what depends on what among the registered datasets."""

    def __init__(self, specs: CatalogCache, workflows: Workflows, sql: SpecSql, clock: Clock) -> None:
        self._specs = specs
        self._workflows = workflows
        self._lineages = LineageReader(sql, clock)
        self._made: tuple[Catalog, int, DatasetGraph] | None = None

    def of(self, name: str | None = None, permitted: PermittedDatasets = EVERY_DATASET) -> WorkflowGraph:
        """Return the graph of all permitted datasets, or of one with all up- and downstream of it.

        Raises:
            DatasetNotFound: When there is no such dataset.
            InvalidSpec: When its only spec can't be used.
            AirflowUnreachable: When Airflow does not answer, and never did.
            StoreUnreachable: When the store does not answer, and never did.
        """
        catalog, rows = self._specs.known(), self._workflows.effective()
        graph, unread = self.known(catalog.value)
        names = _names(catalog.value, graph, name, permitted)
        shown = {one for one in names if one in permitted}
        edges = [edge for edge in graph.edges if edge.upstream in shown and edge.downstream in shown]
        invalid = (
            [] if name else [one for one in rows.value if one not in graph.datasets and one in permitted]
        )
        told = (*catalog.warnings, *rows.warnings, *_warnings(edges, unread))
        listed = [rows.value[one] for one in (*names, *invalid) if one in permitted and one in rows.value]
        nodes = self._workflows.with_reasons(listed, permitted)
        return WorkflowGraph(
            datasets=[_node(row, _missing(graph, row.dataset_name)) for row in nodes],
            edges=[_edge(edge) for edge in edges],
            cycles=[list(cycle) for cycle in graph.cycles() if shown.issuperset(cycle)],
            warnings=list(dict.fromkeys(told)),
        )

    def known(self, catalog: Catalog) -> tuple[DatasetGraph, int]:
        """Return the graph of the effective specs, and the number of those whose SQL is not known yet."""
        files = list(catalog.effective.values())
        lineages, unread = self._lineages.known(files)
        made = self._made
        if made is None or made[0] is not catalog or made[1] != unread:
            datasets = (
                GraphDataset(name, file.spec.upstream, lineages.get(name, Lineage()))
                for name, file in catalog.effective.items()
                if file.spec
            )
            made = self._made = catalog, unread, DatasetGraph(datasets)
        return made[2], unread


def _names(
    catalog: Catalog, graph: DatasetGraph, name: str | None, permitted: PermittedDatasets
) -> tuple[str, ...]:
    if name is None:
        return graph.sequence
    if name not in permitted:
        raise DatasetNotFound(name, hint=nearest(name, permitted.among(graph.datasets)), is_suggestion=True)
    find_spec(catalog, name)
    return graph.around(name)


def _missing(graph: DatasetGraph, name: str) -> tuple[str, ...]:
    return graph.missing(name) if name in graph.datasets else ()


def _node(row: WorkflowInfo, missing: Sequence[str]) -> GraphNode:
    return GraphNode(
        name=row.dataset_name,
        source_type=row.source_type,
        status=row.status,
        cron=row.cron,
        next_run=row.next_run,
        last_result=row.last_run.status if row.last_run else None,
        waiting_run_id=row.waiting_run_id,
        waiting_for=row.waiting_for,
        running_run_id=row.running_run_id,
        missing=list(missing),
        note=row.error or row.note,
    )


def _edge(edge: Edge) -> GraphEdge:
    return GraphEdge(
        upstream=edge.upstream, downstream=edge.downstream, declared=edge.declared, tables=list(edge.tables)
    )


def _warnings(edges: Sequence[Edge], unread: int) -> Iterator[str]:
    for edge in edges:
        if not edge.declared:
            yield (
                f"{edge.downstream}: its SQL reads {', '.join(edge.tables)}, which '{edge.upstream}' builds, and "
                "'depends_on' does not say so: no run waits for it."
            )
    if unread:
        yield _UNREAD.format("a dataset" if unread == 1 else f"{unread:,} datasets")
