"""A dataset's SQL in another dialect, for an engine to move to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.errors import InvalidTemplate, InvalidUsage
from dataspec.problems import Problem, nearest
from dataspec.sql.source_map import SqlPlaces, in_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.errors import SqlglotError

    from dataspec.sql.rendering import RenderedStatement


def check_dialect(name: str) -> str:
    """Return a dialect's name as sqlglot has it.

    Raises:
        InvalidUsage: When it is not known; names the nearest.
    """
    from sqlglot.dialects.dialect import Dialects

    known = [dialect.value for dialect in Dialects if dialect.value]
    if name.lower() in known:
        return name.lower()
    hint = nearest(name, known) or f"Known: {', '.join(known)}."
    raise InvalidUsage(f"'{name}' is not a SQL dialect that is known here.", detail=hint)


def transpile(
    statements: Sequence[RenderedStatement], *, read: str | None, write: str, yaml: bytes, file: str
) -> tuple[list[str], list[str]]:
    """Return each statement in another dialect, and what could not be carried over.

    Args:
        statements: The SQL as rendered.
        read: Its dialect; None for generic SQL.
        write: The other dialect.
        yaml: The spec's YAML, for places in SQL that stands within it.
        file: The YAML's name.

    Raises:
        InvalidTemplate: When the SQL can't be parsed, with the place in the user's file.
    """
    from sqlglot.errors import SqlglotError

    written, losses = [], []
    for statement in statements:
        try:
            sql, lost = _translated(statement.sql, read, write)
        except SqlglotError as error:
            raise _unreadable(statement, error, read, yaml, file) from None
        written.append(sql)
        losses += [f"'{statement.name}': {message}" for message in lost]
    return written, list(dict.fromkeys(losses))


def _translated(sql: str, read: str | None, write: str) -> tuple[str, list[str]]:
    """Return one statement in another dialect, and what could not be carried over."""
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.errors import ErrorLevel

    from dataspec.sql.tokens import UnparsableError, parse

    generator = Dialect.get_or_raise(write).generator(pretty=True, unsupported_level=ErrorLevel.IGNORE)
    try:
        sql = ";\n".join(generator.generate(tree) for tree in parse(sql, read))
    except RecursionError:
        raise UnparsableError("It is nested too deep.") from None
    return sql, generator.unsupported_messages


def _unreadable(
    statement: RenderedStatement, error: SqlglotError, read: str | None, yaml: bytes, file: str
) -> InvalidTemplate:
    from sqlglot.errors import ParseError

    title = f"The SQL is not valid {read}." if read else "The SQL can't be parsed."
    if not isinstance(error, ParseError) or not error.errors:
        reason = str(error).splitlines()[0].rstrip(".")
        return InvalidTemplate(Problem(f"'{statement.name}': {reason}.", statement.file or file), title)
    found = error.errors[0]
    word = str(found["highlight"])
    problem = Problem(f"{str(found['description']).rstrip('.')}, at '{word}'.", file)
    if statement.origin is not None:
        origin, line = statement.origin, statement.origin.line - 1 + int(str(found["line"]))
        line, column = in_template(origin.text.sql, origin.rendered, line, int(str(found["col"])), word)
        problem = SqlPlaces.of(yaml, file).placed(Problem(problem.message, "", line, column), origin.text)
    return InvalidTemplate(problem, title)
