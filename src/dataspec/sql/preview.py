"""What a run's SQL would do: each statement as rendered and parsed, the tables read and written (specification 12.21)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataspec.errors import InvalidTemplate
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.engine_parsers import engine_problem
from dataspec.sql.lineage.tables import read_and_written
from dataspec.sql.parse import parse_sql
from dataspec.sql.session_settings import changes_strings
from dataspec.sql.source_map import SqlPlaces
from dataspec.sql.sql_sources import sql_texts
from dataspec.sql.template.render import render
from dataspec.sql.tokens import split_statements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from dataspec.spec.model import DatasetSpec
    from dataspec.sql.parse import ParsedSql
    from dataspec.sql.sql_sources import SqlText

UNCHECKED = "{} It was read as generic SQL: name the engine's under 'execution.dialect' to have it checked."


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlPreview:
    """The SQL of one run."""

    statements: list[str]
    """In the order in which they would run."""
    reads: list[str]
    """The tables that they read, sorted."""
    writes: list[str]
    """The tables that they make, change or drop, sorted."""
    warnings: list[str]
    """What could not be checked, since the spec names no dialect."""


def preview_sql(
    spec: DatasetSpec,
    files: Mapping[str, str],
    values: Mapping[str, Any],
    *,
    yaml: bytes,
    file: str,
    dialect: str | None = None,
) -> SqlPreview:
    """Render a spec's SQL for one run, and parse it in the spec's dialect, else in that of its connection.

    Args:
        spec: The spec.
        files: The text of each SQL file, by the path that the spec names it with.
        values: What the templates see: :func:`dataspec.sql.template.run_values.run_values`.
        yaml: The spec's YAML, for places in SQL that stands within it.
        file: The YAML's name.
        dialect: That of the connection, where it is known.

    Raises:
        InvalidTemplate: When it can't be rendered or parsed, with the place in the user's file.
    """
    dialect = spec.execution.dialect or dialect
    places = SqlPlaces(read_document(yaml, file))
    statements: list[str] = []
    warnings: list[str] = []
    reads: set[str] = set()
    writes: set[str] = set()
    texts = [*sql_texts(spec, files)]
    unsettled = any(changes_strings(text.sql) for text in texts)
    for text in texts:
        try:
            parsed = _parsed(text, values, dialect, unsettled=unsettled)
        except InvalidTemplate as error:
            raise InvalidTemplate(places.placed(error.problem, text), error.title) from None
        statements += split_statements(parsed.sql, dialect)
        if parsed.problem is not None:
            warnings.append(UNCHECKED.format(places.placed(parsed.problem, text)))
        for tree in parsed.trees:
            read, written = read_and_written(tree)
            reads |= read
            writes |= written
    return SqlPreview(statements=statements, reads=sorted(reads), writes=sorted(writes), warnings=warnings)


def _parsed(text: SqlText, values: Mapping[str, Any], dialect: str | None, *, unsettled: bool) -> ParsedSql:
    """Return a text as rendered and parsed; what generic SQL does not know in it is no error."""
    sql = render(text.sql, values, dialect=dialect, file="", unsettled=unsettled)
    parsed = parse_sql(text.sql, sql, dialect)
    problem = parsed.problem or engine_problem(text.sql, parsed.sql, parsed.trees, dialect)
    if problem is not None and dialect is not None:
        raise InvalidTemplate(problem, f"The SQL is not valid {dialect}.")
    return parsed
