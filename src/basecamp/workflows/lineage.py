"""The lineage of registered datasets: tables, and where each column comes from."""

from __future__ import annotations

from collections.abc import Mapping

from basecamp.datasets.catalog_cache import CatalogCache, find_spec
from basecamp.datasets.dataset_teams import EVERY_DATASET, PermittedDatasets
from basecamp.datasets.spec_sql import SpecSql
from basecamp.workflows.graph import RegisteredGraph
from dataspec.catalog.effective import Catalog
from dataspec.models import DatasetLineage, SourceType
from dataspec.project.columns import UpstreamColumns, described
from dataspec.spec.model import DatasetSpec
from dataspec.sql.lineage.column_lineage import ColumnLineage

_UNREAD = "The SQL of other datasets has not been read yet: columns that they tell may be missing. Ask again."


class RegisteredLineage:
    """Shows where the columns of registered datasets come from. Safe to share between threads."""

    def __init__(self, specs: CatalogCache, graph: RegisteredGraph, sql: SpecSql) -> None:
        self._specs = specs
        self._graph = graph
        self._sql = sql

    def of(
        self, name: str, source: SourceType | None = None, permitted: PermittedDatasets = EVERY_DATASET
    ) -> DatasetLineage:
        """Return the lineage of a dataset's effective spec, or of that of one source.

        Args:
            name: The dataset.
            source: The source of the spec; None for the effective one.
            permitted: The datasets whose columns may be told.

        Raises:
            DatasetNotFound: When there is none.
            InvalidSpec: When the dataset's only spec can't be used.
            ServerBusy: When too many calls are waiting.
            StoreUnreachable: When the store does not answer, and never did.
        """
        catalog = self._specs.known()
        file = find_spec(catalog.value, name, source)
        assert file.spec is not None  # noqa: S101 - find_spec returns usable specs alone
        tables = self._sql.lineage(file.spec, file)
        upstream, unread = self._upstream(catalog.value, permitted)
        known = upstream.of_tables(use.name for use in tables.reads)
        columns = self._sql.columns(file.spec, file, known)
        warnings = [*catalog.warnings, *tables.warnings, *([_UNREAD] if unread else [])]
        return DatasetLineage(
            name=name,
            source_type=file.source,
            file=file.key,
            reads=[use.name for use in tables.reads],
            writes=[use.name for use in tables.writes],
            columns=described(file.spec, columns),
            unknown=columns.unknown,
            warnings=warnings,
        )

    def _upstream(self, catalog: Catalog, permitted: PermittedDatasets) -> tuple[UpstreamColumns, int]:
        """Return the columns of the effective specs, and the number of those whose SQL is not known yet."""
        graph, unread = self._graph.known(catalog)

        def spec_of(name: str) -> DatasetSpec | None:
            file = catalog.effective.get(name)
            return file.spec if file and name in permitted else None

        def read(name: str, known: Mapping[str, tuple[str, ...]]) -> ColumnLineage:
            file = catalog.effective[name]
            return self._sql.columns(file.spec, file, known) if file.spec else ColumnLineage()

        return UpstreamColumns(graph, spec_of, read), unread
