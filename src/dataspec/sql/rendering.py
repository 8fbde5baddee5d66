"""From a spec's SQL texts to the statements that one run sends to the engine.

SQL without a template needs no template engine, and SQL without a semicolon nobody who takes
it apart: neither is loaded then, which is half the time that a first run takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataspec.errors import InvalidTemplate
from dataspec.sql.session_settings import changes_strings
from dataspec.sql.sql_sources import sql_texts
from dataspec.sql.template.render import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dataspec.spec.model import DatasetSpec
    from dataspec.sql.sql_sources import Kind, SqlText

_COMMENTS = ("-", "/", "#")
"""How a text may begin that holds nothing but comments."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rendered statement comes from, so that a mistake in it is found in the user's file."""

    text: SqlText
    rendered: str
    """The whole text that the statement is a part of, rendered."""
    line: int
    """The line of that in which the statement begins, from 1 on."""


@dataclass(frozen=True, slots=True)
class RenderedStatement:
    """One SQL statement as it goes to the engine."""

    name: str
    sql: str
    kind: Kind
    continue_on_error: bool
    file: str | None
    origin: Origin | None = field(default=None, repr=False)
    """None for a statement that stands in no file."""


def render_statements(
    spec: DatasetSpec,
    files: Mapping[str, str],
    values: Mapping[str, Any],
    *,
    dialect: str | None,
    file: str,
    yaml: bytes | None = None,
    connected: str | None = None,
) -> list[RenderedStatement]:
    """Render a spec's SQL for one run, statement by statement.

    Args:
        spec: The spec.
        files: The text of each SQL file, by the path that the spec names it with.
        values: What the templates see: :func:`dataspec.sql.template.run_values.run_values`.
        dialect: The SQL dialect of the connection, by sqlglot's name; None for generic SQL.
        file: The YAML's name, for problems in SQL that stands within it.
        yaml: The YAML, where it is at hand, for the places of these problems.
        connected: The dialect of the connection itself, where the spec may name another.

    Raises:
        InvalidTemplate: With the place in the user's file.
    """
    rendered = []
    texts = [*sql_texts(spec, files)]
    unsettled = _differ(dialect, connected) or any(changes_strings(text.sql) for text in texts)
    for text in texts:
        try:
            sql = render(text.sql, values, dialect=dialect, file=text.file or file, unsettled=unsettled)
        except InvalidTemplate as error:
            if yaml is None:
                raise
            from dataspec.sql.source_map import SqlPlaces

            raise InvalidTemplate(SqlPlaces.of(yaml, file).placed(error.problem, text)) from None
        unsettled = unsettled or changes_strings(sql)
        parts = _split(sql, dialect)
        begin, seen, line = 0, 0, 1
        for number, part in enumerate(parts, start=1):
            name = text.name if len(parts) == 1 else f"{text.name} ({number} of {len(parts)})"
            begin = sql.index(part, begin)
            line += sql.count("\n", seen, begin)
            seen = begin
            origin = Origin(text, sql, line)
            begin += len(part)
            rendered.append(
                RenderedStatement(name, part, text.kind, text.continue_on_error, text.file, origin)
            )
    return rendered


def _differ(dialect: str | None, connected: str | None) -> bool:
    """Tell whether the dialect that the spec names reads strings by other rules than its connection's."""
    if connected is None or dialect in {None, connected}:
        return False
    from dataspec.sql.tokens import Quoting

    return not Quoting.of(dialect).reads_as(Quoting.of(connected))


def _split(sql: str, dialect: str | None) -> list[str]:
    text = sql.strip()
    if text and ";" not in text and not text.startswith(_COMMENTS):
        return [text]
    from dataspec.sql.tokens import split_statements

    return split_statements(sql, dialect)
