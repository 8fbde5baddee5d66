"""Render a spec's SQL texts into the statements that one run sends to the engine.

Jinja is loaded only for SQL that needs it, and sqlglot only for SQL with values or semicolons: this
halves the time of a first run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dataspec.errors import InvalidTemplate
from dataspec.problems import Problem
from dataspec.spec.sql_texts import check_texts, condition_texts, sql_texts
from dataspec.sql.template.render import render, uses_files
from dataspec.sql.values.marked_text import SqlName, TableName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dataspec.spec.model import DatasetSpec, SqlDependency
    from dataspec.spec.sql_texts import Kind, SqlText
    from dataspec.spec.yaml_reader import Path

CHECKED_ROWS = SqlName("dli_checked_rows")
"""The name of ``{{ this }}`` in rendered checks, for which each run puts the table of the rows."""

_COMMENTS = ("-", "/", "#")
"""The first characters of a text that may contain nothing but comments."""
_CHANGE = re.compile(
    r"(?:\s|--[^\n]*+\n|/\*(?>.*?\*/))*+(insert|update|delete|merge|create|drop|alter|truncate|copy|call)\b",
    re.IGNORECASE | re.DOTALL,
)
"""The begin of a statement that changes something; it goes back over no comment, so it is linear."""

STRING_SETTINGS = re.compile(
    r"standard_conforming_strings|backslash_quote"  # PostgreSQL
    r"|sql_mode|\bset\s+(?:names|charset|character\s+set)\b|character_set_client"  # MySQL, MariaDB
    r"|escapedstringliterals|doublequotedidentifiers"  # Spark
    r"|quoted_identifier|quoting_identifiers",  # SQL Server, Drill
    re.IGNORECASE,
)
"""The session settings that change how an engine reads strings."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a rendered statement, to find a mistake in the user's file."""

    text: SqlText
    rendered: str
    """The whole rendered text that contains the statement."""
    line: int
    """The first line of the statement in that text, from 1."""
    before: int = 0
    """How many lines of other SQL precede the statement in what is sent."""


@dataclass(frozen=True, slots=True)
class RunTable:
    """The table of a materialization as the SQL of one run sees it."""

    exists: bool = True
    """Whether it is there when the run begins: ``table_exists``."""
    name: str | None = None
    """``this``; None for the spec's own table."""
    published: str | None = None
    """``this`` in ``post_statements``; None for the spec's own table."""


THERE = RunTable()
"""The spec's own table, which is there."""


@dataclass(frozen=True, slots=True)
class RenderedStatement:
    """One SQL statement for the engine."""

    name: str
    sql: str
    kind: Kind
    continue_on_error: bool
    file: str | None
    origin: Origin | None = field(default=None, repr=False)
    """None for a statement that no spec contains."""

    @property
    def shown(self) -> str:
        """The SQL as logs show it: that of a seed without its rows."""
        head, _, rows = self.sql.partition("\n")
        return f"{head} …" if self.kind == "seed" and rows else self.sql


def render_statements(
    spec: DatasetSpec,
    files: Mapping[str, str],
    values: Mapping[str, Any],
    *,
    dialect: str | None,
    file: str,
    yaml: bytes | None = None,
    connected: str | None = None,
    table: RunTable = THERE,
) -> list[RenderedStatement]:
    """Render a spec's SQL for one run, and split it into statements; large seeds are loaded first.

    Args:
        spec: The spec.
        files: The text of each SQL file, by its path in the spec.
        values: The template values of :func:`dataspec.spec.run_values.resolve_run`.
        dialect: The SQL dialect of the connection, by sqlglot's name; None for generic SQL.
        file: The YAML file's name, for problems of SQL in it.
        yaml: The YAML, where available, for the places of these problems.
        connected: The dialect of the connection itself; the spec may name another.
        table: The table of the spec's materialization; see :func:`uses_table_exists`.

    Raises:
        InvalidTemplate: With the place in the user's file.
    """
    rendered: list[RenderedStatement] = []
    texts = [*sql_texts(spec, files)]
    unsettled = _differ(dialect, connected) or any(STRING_SETTINGS.search(text.sql) for text in texts)
    rendered += _loaded_seeds([*texts, *check_texts(spec, files)], dialect, file, unsettled=unsettled)
    for text in texts:
        known = {**target_values(spec, table, text.kind), **values}
        sql = _rendered(text, known, dialect, file, yaml, unsettled=unsettled)
        unsettled = unsettled or STRING_SETTINGS.search(sql) is not None
        parts = _split(sql, dialect)
        if spec.materialization and (problem := why_not_materialized(text, parts, dialect, spec.target)):
            raise InvalidTemplate(_at(replace(problem, file=text.file or file), text, file, yaml))
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


def _loaded_seeds(
    texts: Sequence[SqlText], dialect: str | None, file: str, *, unsettled: bool
) -> Iterator[RenderedStatement]:
    """Yield the statements that load the seeds of texts that are too large for the SQL."""
    using = [text for text in texts if text.shared and uses_files(text.sql)]
    if not using:
        return
    from dataspec.sql.template.macro_files import used_shared_files
    from dataspec.sql.values.seed_loading import loading_statements
    from dataspec.sql.values.seeds import is_large, is_seed

    found = used_shared_files([text.sql for text in using], using[0].shared.get)
    for path, seed in found.items():
        if seed is None or not is_seed(path) or not is_large(seed):
            continue
        try:
            for sql in loading_statements(path, seed, dialect, unsettled=unsettled):
                yield RenderedStatement(path, sql, "seed", continue_on_error=False, file=None)
        except LookupError as error:
            raise InvalidTemplate(Problem(f"{error}.", file)) from None


def target_values(spec: DatasetSpec, table: RunTable = THERE, kind: Kind = "query") -> dict[str, Any]:
    """Return the template values that a spec with a materialization has; a parameter of such a name hides one.

    Args:
        spec: The spec.
        table: Its table, as the run sees it.
        kind: The kind of the text that uses them.
    """
    if spec.target is None:
        return {}
    name = table.published if kind == "post" else table.name
    return {"this": TableName(name or spec.target), "table_exists": table.exists}


def uses_table_exists(spec: DatasetSpec, files: Mapping[str, str]) -> bool:
    """Return whether the SQL of a spec may ask whether its table is there."""
    return spec.target is not None and any("table_exists" in text.sql for text in sql_texts(spec, files))


def render_condition(
    spec: DatasetSpec,
    entry: SqlDependency,
    files: Mapping[str, str],
    values: Mapping[str, Any],
    *,
    dialect: str | None,
    file: str,
    yaml: bytes | None = None,
    connected: str | None = None,
) -> str:
    """Render the query of an entry of ``depends_on`` for one run.

    Args:
        spec: The spec.
        entry: One of its :attr:`~dataspec.spec.model.DatasetSpec.conditions`.
        files: The files, as for :func:`render_statements`.
        values: The template values of :func:`dataspec.spec.run_values.resolve_run`.
        dialect: The SQL dialect, as for :func:`render_statements`.
        file: The YAML file's name, for problems.
        yaml: The YAML, where available, for the places of these problems.
        connected: The dialect of the entry's connection; the spec may name another.

    Raises:
        InvalidTemplate: With the place in the user's file; also when it is not exactly one statement.
    """
    text = next(
        text for text, own in zip(condition_texts(spec, files), spec.conditions, strict=True) if own == entry
    )
    unsettled = _differ(dialect, connected) or STRING_SETTINGS.search(text.sql) is not None
    statements = _split(_rendered(text, values, dialect, file, yaml, unsettled=unsettled), dialect)
    if len(statements) != 1:
        problem = Problem(f"the condition holds {len(statements)} statements; write one query.", file)
        raise InvalidTemplate(_at(problem, text, file, yaml))
    return statements[0]


def render_checks(
    spec: DatasetSpec,
    files: Mapping[str, str],
    values: Mapping[str, Any],
    *,
    dialect: str | None,
    file: str,
    yaml: bytes | None = None,
    connected: str | None = None,
) -> tuple[dict[Path, str], bool]:
    """Render the SQL in a spec's ``checks`` for one run.

    Args:
        spec: The spec.
        files: The files, as for :func:`render_statements`.
        values: The template values of :func:`dataspec.spec.run_values.resolve_run`.
        dialect: The SQL dialect, as for :func:`render_statements`.
        file: The YAML file's name, for problems.
        yaml: The YAML, where available, for the places of these problems.
        connected: The dialect of the connection itself; the spec may name another.

    Returns:
        Each text by its YAML path, with :data:`CHECKED_ROWS` for ``{{ this }}``; and whether a session setting
        may change how the engine reads strings.

    Raises:
        InvalidTemplate: With the place in the user's file; also for a text that is not exactly one statement.
    """
    rendered = {}
    texts = [*check_texts(spec, files)]
    all_sql = (text.sql for text in (*sql_texts(spec, files), *texts))
    unsettled = _differ(dialect, connected) or any(STRING_SETTINGS.search(sql) for sql in all_sql)
    for text in texts:
        sql = _rendered(text, {**values, "this": CHECKED_ROWS}, dialect, file, yaml, unsettled=unsettled)
        statements = _split(sql, dialect)
        if len(statements) != 1:
            problem = Problem(f"the check holds {len(statements)} statements; write one.", file)
            raise InvalidTemplate(_at(problem, text, file, yaml))
        rendered[text.path] = statements[0]
    return rendered, unsettled


def _rendered(
    text: SqlText,
    values: Mapping[str, Any],
    dialect: str | None,
    file: str,
    yaml: bytes | None,
    *,
    unsettled: bool,
) -> str:
    try:
        named = text.file or file
        return render(
            text.sql, values, dialect=dialect, file=named, unsettled=unsettled, shared=text.shared
        ).sql
    except InvalidTemplate as error:
        raise InvalidTemplate(_at(error.problem, text, file, yaml)) from None


def _at(problem: Problem, text: SqlText, file: str, yaml: bytes | None) -> Problem:
    """Return a problem of a text at its place in the YAML or the SQL file, if the YAML is available."""
    if yaml is None:
        return problem
    from dataspec.spec.sql_texts import SqlPlaces

    return SqlPlaces.of(yaml, file).placed(problem, text)


def _differ(dialect: str | None, connected: str | None) -> bool:
    """Return whether the spec's dialect reads strings by other rules than the connection's."""
    if connected is None or dialect in {None, connected}:
        return False
    from dataspec.sql.values.quoting import Quoting

    return not Quoting.of(dialect).reads_as(Quoting.of(connected))


def why_not_materialized(
    text: SqlText, parts: Sequence[str], dialect: str | None, target: str | None
) -> Problem | None:
    """Return the problem of a rendered text of a spec whose rows a run stores in a target, in a transaction."""
    if text.kind == "query":
        if len(parts) != 1:
            message = f"with 'materialization' the query is one SELECT, and it holds {len(parts)} statements."
            return Problem(message, "", 1, 1, "Put the others under 'pre_statements' or 'post_statements'.")
        return no_select(found[1], target) if (found := _CHANGE.match(parts[0])) else None
    from dataspec.sql.tokens import controls_transaction

    for word in filter(None, (controls_transaction(part, dialect) for part in parts)):
        message = f"'{word}' is refused with 'materialization': a run publishes in a transaction of its own."
        return Problem(message, "", 1, 1, "Remove the statement.")
    return None


def no_select(kind: str, target: str | None) -> Problem:
    """Return the problem of a query that is another statement, where a run stores rows in a target."""
    message = f"with 'materialization' the query is one SELECT, and it is {kind.upper()}."
    return Problem(message, "", 1, 1, f"Write the SELECT alone: a run stores its rows in {target}.")


def _split(sql: str, dialect: str | None) -> list[str]:
    text = sql.strip()
    if text and ";" not in text and not text.startswith(_COMMENTS):
        return [text]
    from dataspec.sql.tokens import split_statements

    return split_statements(sql, dialect)
