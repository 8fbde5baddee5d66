"""Translate a dataset's SQL into another dialect, to move it to another engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.errors import InvalidTemplate
from dataspec.problems import Problem
from dataspec.spec.sql_texts import SqlPlaces
from dataspec.sql.source_map import in_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.errors import SqlglotError

    from dataspec.sql.rendering import RenderedStatement


def transpile(
    statements: Sequence[RenderedStatement], *, read: str | None, write: str, yaml: bytes, file: str
) -> tuple[list[str], list[str]]:
    """Return each statement in another dialect, and a message for each construct that has no equivalent there.

    Args:
        statements: The rendered statements.
        read: Their dialect; None for generic SQL.
        write: The other dialect.
        yaml: The spec's YAML, for places of SQL in it.
        file: The YAML file's name.

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
    """Return one statement in another dialect, with sqlglot's messages."""
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.errors import ErrorLevel

    from dataspec.sql.parser import UnparsableError, parse

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
