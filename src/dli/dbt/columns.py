"""Complete the columns that dbt describes by those that the queries yield."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dataspec.isolation import LimitExceeded, restart_clock
from dataspec.project.columns import UpstreamColumns
from dataspec.project.graph import DatasetGraph
from dataspec.sql.lineage.column_lineage import ColumnLineage, column_lineage_of
from dli.project.isolated import in_child

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dataspec.project.spec_checks import CheckedSpec
    from dli.dbt.outcome import Dataset, Outcome
    from dli.project.project import Project


def complete_columns(
    outcome: Outcome, project: Project, checked: Iterable[CheckedSpec], dialect: str | None
) -> None:
    """Give each dataset with described columns its ``schema``: all columns of its query, in their order.

    Args:
        outcome: The datasets.
        project: The project with their files, without ``schema``.
        checked: Their specs, valid.
        dialect: The dialect of the connection.
    """
    graph = DatasetGraph(spec.dataset for spec in checked if spec.dataset)
    try:
        yielded = in_child(partial(_yielded, project, graph, list(outcome.datasets), dialect))
    except LimitExceeded:
        yielded = {}
    by_table = {dataset.node.table.lower(): yielded.get(name) for name, dataset in outcome.datasets.items()}
    for name, dataset in outcome.datasets.items():
        for test in dataset.tests:
            _complete_rows(test["given"], by_table)
        if all(column.keys() == {"name"} for column in dataset.described):
            continue  # nothing is said of them
        columns = yielded.get(name)
        if columns is None:
            dataset.columns = [*dataset.described, *_others(dataset)]
            continue
        described = {column["name"].lower(): column for column in dataset.described}
        dataset.columns = [{**described.get(one.lower(), {}), "name": one} for one in columns]
        for unknown in described.keys() - {one.lower() for one in columns}:
            message = f"the column '{described[unknown]['name']}' was left out: the query does not yield it."
            outcome.problems.append(dataset.node.problem(message))


def _complete_rows(given: Mapping[str, Any], columns: Mapping[str, tuple[str, ...] | None]) -> None:
    """Add the columns that the rows of a unit test lack, as null: dbt does so, and we want them named in one row."""
    for table, rows in given.items():
        if isinstance(rows, list) and rows:
            named = {str(name).lower() for row in rows for name in row}
            missing = [name for name in columns.get(table.lower()) or () if name.lower() not in named]
            rows[0] |= dict.fromkeys(missing)


def _yielded(
    project: Project, graph: DatasetGraph, names: Sequence[str], dialect: str | None
) -> dict[str, tuple[str, ...]]:
    """Return the columns of each dataset's table, where they are certain."""
    found = {dataset.name: dataset for dataset in project.datasets()}

    def read(name: str, known: Mapping[str, tuple[str, ...]]) -> ColumnLineage:
        restart_clock()
        dataset = found[name]
        if dataset.spec is None:
            return ColumnLineage()
        return column_lineage_of(dataset.spec, dataset.sql, known, dialect=dialect)

    upstream = UpstreamColumns(graph, lambda name: found[name].spec, read)
    columns: dict[str, tuple[str, ...]] = {}
    for name in names:
        spec = found[name].spec
        table = spec.target if spec else None
        if table and (of_table := upstream.of_tables([table]).get(table.lower())):
            columns[name] = of_table
    return columns


def _others(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the columns that only the checks and the key of a merge name."""
    named = {column["name"].lower() for column in dataset.described}
    found: dict[str, str] = {}
    for check in dataset.checks:
        one = check.get("accepted_values") or check.get("relationships") or {}
        for column in (
            *check.get("not_null", ()),
            *check.get("unique", ()),
            *filter(None, [one.get("column")]),
        ):
            found.setdefault(column.lower(), column)
    if isinstance(dataset.materialization, dict):
        found |= {column.lower(): column for column in dataset.materialization.get("unique_key", ())}
    return [{"name": column} for key, column in found.items() if key not in named]
