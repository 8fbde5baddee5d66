"""Load a seed that is too large for the SQL into a temporary table, which its session alone sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot.tokens import TokenType

from dataspec.sql.tokens import find_tokens
from dataspec.sql.values.quoting import Quoting
from dataspec.sql.values.seed_rows import TEMPORARY, quoted, seed_table
from dataspec.sql.values.seeds import read_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dataspec.sql.values.seeds import Seed, SeedColumn

_MAX_ROWS = 1_000
"""Maximum number of rows of one statement."""
_MAX_LETTERS = 64 * 1024
"""Number of letters after which a statement takes no further row."""
_WRITTEN = {"true": "TRUE", "false": "FALSE"}
_LITERALS = frozenset({TokenType.STRING, TokenType.NULL, TokenType.TRUE, TokenType.FALSE})
_BETWEEN = frozenset({TokenType.L_PAREN, TokenType.COMMA, TokenType.R_PAREN})


def loading_statements(path: str, text: str, dialect: str | None, *, unsettled: bool) -> Iterator[str]:
    """Yield the statements that make the table of a large seed, and fill it.

    Args:
        path: The path of the seed's file.
        text: The seed.
        dialect: The SQL dialect, by sqlglot's name.
        unsettled: Whether a session setting may change how the engine reads strings.

    Raises:
        LookupError: When the seed is invalid, the dialect has no temporary tables, or a field can't be written in it.
    """
    table = seed_table(path, text, dialect)
    seed, problems = read_seed(text)
    if seed is None:
        raise LookupError(f"{path} can't be used: {problems[0]}")
    types = TEMPORARY[dialect or ""]
    columns = (
        f"{quoted(column.name, dialect)} {types.get(column.type, column.type)}" for column in seed.columns
    )
    yield f"create temporary table {table} ({', '.join(columns)})"
    for rows in _batches(path, seed, Quoting.of(dialect, unsettled=unsettled)):
        values = ",\n".join(rows)
        _prove(path, values, len(rows) * len(seed.columns), dialect)
        yield f"insert into {table} values\n{values}"


def _batches(path: str, seed: Seed, quoting: Quoting) -> Iterator[list[str]]:
    """Yield the rows as SQL, so many at a time as one statement takes."""
    batch: list[str] = []
    letters = 0
    for line, row in seed.rows:
        batch.append(_row(f"{path}:{line}", row, seed.columns, quoting))
        letters += len(batch[-1])
        if len(batch) == _MAX_ROWS or letters >= _MAX_LETTERS:
            yield batch
            batch, letters = [], 0
    if batch:
        yield batch


def _row(place: str, row: Sequence[str | None], columns: Sequence[SeedColumn], quoting: Quoting) -> str:
    """Return a row as SQL. All fields are texts, which the engine reads as the columns' types."""
    try:
        cells = [
            _WRITTEN[value.lower()] if value and column.type == "boolean" else quoting.literal(value)
            for value, column in zip(row, columns, strict=True)
        ]
    except ValueError as error:
        raise LookupError(f"{place}: {error}") from None
    return f"({', '.join(cells)})"


def _prove(path: str, values: str, cells: int, dialect: str | None) -> None:
    """Prove that rows are literals alone, one for each field.

    Raises:
        LookupError: When they are not.
    """
    kinds = [token.token_type for token in find_tokens(values, dialect)]
    if sum(kind in _LITERALS for kind in kinds) != cells or not {*kinds} <= _LITERALS | _BETWEEN:
        raise LookupError(f"{path}: a field would change what statements the SQL holds")
