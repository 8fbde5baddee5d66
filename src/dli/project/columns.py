"""Find the columns that a dataset of the project builds, and the columns that each comes from."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from dataspec.errors import DliError
from dataspec.isolation import LimitExceeded
from dataspec.models import DatasetLineage
from dataspec.project.columns import UpstreamColumns, described
from dataspec.project.graph import DatasetGraph
from dataspec.sql.lineage.column_lineage import ColumnLineage, column_lineage_of
from dataspec.sql.lineage.dataset_lineage import Lineage
from dli.project.check import check_datasets
from dli.project.isolated import in_child

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.spec.dialects import ConnectionDialect
    from dataspec.spec.model import DatasetSpec
    from dli.project.project import LocalDataset, Project


def lineage_in_project(
    project: Project, dialects: Mapping[str, ConnectionDialect], dataset: LocalDataset
) -> DatasetLineage:
    """Return the lineage of a dataset's columns, with what is known of the other datasets of the project.

    Args:
        project: The project.
        dialects: The SQL dialects of this machine's connections, by name.
        dataset: The dataset; one outside the project's folder is read too.

    Raises:
        InvalidSpec: When its spec is not valid.
    """
    spec = dataset.checked()
    checked = check_datasets(project, dialects, also=[dataset])
    nodes = {found.file: found.dataset for found in checked if found.dataset}
    lineage = nodes[dataset.file].lineage if dataset.file in nodes else Lineage()

    @cache
    def found(name: str) -> LocalDataset | None:
        try:
            return dataset if name == spec.name else project.find(name)
        except DliError:
            return None

    def spec_of(name: str) -> DatasetSpec | None:
        local = found(name)
        return local.spec if local else None

    def read(name: str, known: Mapping[str, tuple[str, ...]]) -> ColumnLineage:
        local = found(name)
        return _read(local, known, dialects) if local else ColumnLineage()

    upstream = UpstreamColumns(DatasetGraph(nodes.values()), spec_of, read)
    columns = _read(dataset, upstream.of_tables(use.name for use in lineage.reads), dialects)
    return DatasetLineage(
        name=spec.name,
        file=dataset.file,
        reads=[use.name for use in lineage.reads],
        writes=[use.name for use in lineage.writes],
        columns=described(spec, columns),
        unknown=columns.unknown,
        warnings=lineage.warnings,
    )


def _read(
    dataset: LocalDataset,
    known: Mapping[str, tuple[str, ...]],
    dialects: Mapping[str, ConnectionDialect],
) -> ColumnLineage:
    """Return a dataset's columns, read in a child process."""
    spec = dataset.checked()
    dialect = dialects.get(spec.execution.connection)
    name = dialect.name if dialect else None
    try:
        return in_child(partial(column_lineage_of, spec, dataset.sql, known, dialect=name))
    except LimitExceeded as exceeded:
        return ColumnLineage(unknown=exceeded.unknown)
