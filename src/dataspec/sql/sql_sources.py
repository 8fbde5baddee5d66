"""A spec's SQL texts, as they are written, in the order in which they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.yaml_reader import Path

MAX_SQL = 1024 * 1024
"""Characters of one SQL text as it is rendered."""

Kind = Literal["pre", "query", "post"]


@dataclass(frozen=True, slots=True)
class SqlText:
    """One of a spec's SQL texts, unrendered."""

    name: str
    sql: str
    kind: Kind
    continue_on_error: bool
    file: str | None
    """The file that it stands in; None for SQL within the YAML."""
    path: Path
    """Where the YAML names it or holds it."""


def sql_texts(spec: DatasetSpec, files: Mapping[str, str]) -> Iterator[SqlText]:
    """Yield a spec's SQL texts in the order in which they run; a file that is missing is passed over."""
    for index, statement in enumerate(spec.pre_statements):
        yield from _text(statement, files, "pre", ("pre_statements", index))
    if spec.query_statement is not None:
        yield SqlText("query", spec.query_statement, "query", False, None, ("query_statement",))
    elif spec.query_file is not None and spec.query_file in files:
        yield SqlText("query", files[spec.query_file], "query", False, spec.query_file, ("query_file",))
    for index, statement in enumerate(spec.post_statements):
        yield from _text(statement, files, "post", ("post_statements", index))


def _text(statement: Any, files: Mapping[str, str], kind: Kind, path: Path) -> Iterator[SqlText]:
    name, on_error = statement.name, statement.continue_on_error
    if statement.sql is not None:
        yield SqlText(name, statement.sql, kind, on_error, None, (*path, "sql"))
    elif statement.file in files:
        yield SqlText(name, files[statement.file], kind, on_error, statement.file, (*path, "file"))
