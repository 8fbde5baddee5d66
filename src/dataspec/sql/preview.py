"""Preview a run's SQL: its rendered statements, and the tables that they read and write (specification 12.21)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from dataspec.errors import InvalidTemplate
from dataspec.spec.sql_texts import SqlPlaces, sql_texts
from dataspec.spec.yaml_reader import read_document
from dataspec.sql.lineage.statement_tables import read_and_written
from dataspec.sql.lineage.tree_size import is_too_large
from dataspec.sql.parser import engine_problem, parse_sql, told_in_macro
from dataspec.sql.rendering import STRING_SETTINGS, target_values
from dataspec.sql.template.render import render
from dataspec.sql.tokens import split_statements
from dataspec.sql.values.seed_rows import SEED_TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from dataspec.spec.model import DatasetSpec
    from dataspec.spec.sql_texts import SqlText
    from dataspec.sql.parser import ParsedSql

UNCHECKED = "{} It was read as generic SQL: name the engine's under 'execution.dialect' to have it checked."


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlPreview:
    """The SQL of one run."""

    statements: list[str]
    """The statements, in the order in which they would run."""
    reads: list[str]
    """The tables that the statements read, sorted."""
    writes: list[str]
    """The tables that the statements create, change or drop, sorted."""
    warnings: list[str]
    """SQL that could not be checked, since its dialect is unknown."""
    columns: tuple[str, ...] = ()
    """The columns of the query, as far as its SQL names them; none if it does not name all of them."""
    publishing: list[str] = field(default_factory=list)
    """The statements that stage, check and publish the rows, of a dataset with a materialization."""


def preview_sql(
    spec: DatasetSpec,
    files: Mapping[str, str],
    values: Mapping[str, Any],
    *,
    yaml: bytes,
    file: str,
    dialect: str | None = None,
) -> SqlPreview:
    """Render a spec's SQL for one run, and parse it in the spec's dialect, or else the connection's.

    Args:
        spec: The spec.
        files: The text of each SQL file, by its path in the spec.
        values: The template values of :func:`dataspec.spec.run_values.resolve_run`.
        yaml: The spec's YAML, for places of SQL in it.
        file: The YAML file's name.
        dialect: The connection's dialect, where it is known.

    Raises:
        InvalidTemplate: When the SQL can't be rendered or parsed, with the place in the user's file.
    """
    dialect = spec.execution.dialect or dialect
    known = {**target_values(spec), **values}
    places = SqlPlaces(read_document(yaml, file))
    statements: list[str] = []
    warnings: list[str] = []
    reads: set[str] = set()
    writes: set[str] = set() if spec.target is None else {spec.target}
    columns: tuple[str, ...] = ()
    texts = [*sql_texts(spec, files)]
    unsettled = any(STRING_SETTINGS.search(text.sql) for text in texts)
    for text in texts:
        try:
            parsed = _parsed(text, known, dialect, unsettled=unsettled)
        except InvalidTemplate as error:
            raise InvalidTemplate(places.placed(error.problem, text), error.title) from None
        statements += split_statements(parsed.sql, dialect)
        if parsed.problem is not None:
            warnings.append(UNCHECKED.format(places.placed(parsed.problem, text)))
        if text.kind == "query" and parsed.trees:
            columns = _columns(parsed.trees[-1])
        for tree in parsed.trees:
            read, written = read_and_written(tree)
            reads |= {table for table in read if not table.startswith(SEED_TABLE)}
            writes |= written
    return SqlPreview(
        statements=statements, reads=sorted(reads), writes=sorted(writes), warnings=warnings, columns=columns
    )


def _columns(query: exp.Expr) -> tuple[str, ...]:
    names = query.named_selects if isinstance(query, exp.Query) and not is_too_large(query) else []
    return () if "*" in names or "" in names else tuple(names)


def _parsed(text: SqlText, values: Mapping[str, Any], dialect: str | None, *, unsettled: bool) -> ParsedSql:
    """Return a text rendered and parsed; a syntax error raises only where the dialect is known."""
    rendered = render(text.sql, values, dialect=dialect, file="", unsettled=unsettled, shared=text.shared)
    parsed = parse_sql(text.sql, rendered.sql, dialect, rendered.tokens)
    problem = parsed.problem or engine_problem(text.sql, parsed.sql, parsed.trees, dialect)
    if problem is not None and dialect is not None:
        raise InvalidTemplate(told_in_macro(problem, text.shared), f"The SQL is not valid {dialect}.")
    return parsed
