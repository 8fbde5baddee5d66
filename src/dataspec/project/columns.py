"""Find the columns of tables that datasets read: from the queries that build them, or the specs' ``schema``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.models import LineageColumn
from dataspec.sql.lineage.dataset_lineage import may_be_same, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dataspec.project.graph import DatasetGraph
    from dataspec.spec.model import DatasetSpec
    from dataspec.sql.lineage.column_lineage import ColumnLineage

    Columns = tuple[str, ...]
    Read = Callable[[str, Mapping[str, Columns]], ColumnLineage]

MAX_DEPTH = 20
"""Maximum number of datasets in a row whose ``select *`` is followed to the next one."""


class UpstreamColumns:
    """Finds the columns of the tables that datasets of a project or store build.

    Args:
        graph: The datasets.
        spec_of: Returns the spec of a dataset; None for one whose columns must not be told.
        read: Returns a dataset's columns, given those of the tables that it reads.
    """

    def __init__(self, graph: DatasetGraph, spec_of: Callable[[str], DatasetSpec | None], read: Read) -> None:
        self._graph = graph
        self._spec_of = spec_of
        self._read = read
        self._found: dict[str, ColumnLineage] = {}
        self._path: list[str] = []

    def of_tables(self, tables: Iterable[str]) -> dict[str, Columns]:
        """Return the columns of tables, by their names in lower case, as far as they are known."""
        found = ((table.lower(), self._of_table(table)) for table in tables)
        return {table: columns for table, columns in found if columns}

    def _of_table(self, table: str) -> Columns | None:
        builders = self._graph.builders(table)
        spec = self._spec_of(builders[0]) if len(builders) == 1 else None
        if spec is None:
            return None
        name, declared = spec.name, tuple(column.name for column in spec.columns)
        if name in self._path or len(self._path) >= MAX_DEPTH:
            return declared
        lineage = self._lineage(name)
        if lineage.table is not None and not may_be_same(parts_of(lineage.table), parts_of(table)):
            return None  # another table of the dataset
        return lineage.names or declared

    def _lineage(self, name: str) -> ColumnLineage:
        """Return a dataset's columns; those upstream of it are read where its own SQL does not tell them."""
        if name not in self._found:
            lineage = self._read(name, {})
            if lineage.unknown is not None:
                self._path.append(name)
                known = self.of_tables(use.name for use in self._graph.datasets[name].lineage.reads)
                self._path.pop()
                lineage = self._read(name, known) if known else lineage
            self._found[name] = lineage
        return self._found[name]


def described(spec: DatasetSpec, lineage: ColumnLineage) -> list[LineageColumn]:
    """Return a dataset's columns with what its ``schema`` tells of them, and further columns of an unknown query."""
    declared = {column.name.lower(): column for column in spec.columns}
    found = []
    for column in lineage.columns:
        told = declared.pop(column.name.lower(), None)
        found.append(
            LineageColumn(
                name=column.name,
                type=told.type if told else None,
                description=told.description if told else None,
                sources=list(column.sources),
                unknown=column.unknown,
            )
        )
    if lineage.unknown is not None:
        found += [
            LineageColumn(name=one.name, type=one.type, description=one.description, unknown=lineage.unknown)
            for one in declared.values()
        ]
    return found
