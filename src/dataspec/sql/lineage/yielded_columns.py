"""The columns that a spec's query yields, and names that are not among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from dataspec.problems import Problem, nearest
from dataspec.sql.lineage.query_columns import query_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dataspec.sql.samples import SampledText


def yielded_columns(texts: Sequence[SampledText], dialect: str | None) -> list[str]:
    """Return the columns that the query yields; none where they are not known."""
    query = next((text for text in texts if text.text.kind == "query"), None)
    names: dict[str, str] = {}
    for way in query.all_ways if query else ():
        if way.unrendered or len(way.parsed.trees) != 1 or not isinstance(way.parsed.trees[0], exp.Query):
            return []
        found = query_columns(way.parsed.trees[0], {}, dialect)
        if found.unknown or not all(column.named for column in found.columns):
            return []
        names |= {column.name.lower(): column.name for column in found.columns}
    return list(names.values())


def unknown_in_query(column: str, columns: Sequence[str]) -> Problem | None:
    """Return the problem of a column that is not one of the query's; None if it is."""
    if column.lower() in {name.lower() for name in columns}:
        return None
    hint = nearest(column, columns) or f"It has: {', '.join(columns)}."
    return Problem(f"the query has no column '{column}'.", "", 1, 1, hint)
