"""Read a seed: a CSV file of the project, with names for its columns and types by strict inference (36)."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from dataspec.keys import SEED_FOLDER
from dataspec.problems import Problem, first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SEED = "seed"
MAX_INLINE_BYTES = 64 * 1024
"""Maximum size of a seed that is written into the SQL; a larger one is loaded into a table of the session."""
MAX_SEED_BYTES = 10 * 1024 * 1024
"""Maximum size of a seed."""
TOO_LARGE = "Load it into a table of its own: a dataset can read it with the engine's CSV functions."
_SAMPLED_ROWS, _SAMPLED_LETTERS = 10, 100
"""Maximum number of rows, and of letters of a field, of the sample of a large seed."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?")
_INT64 = range(-(2**63), 2**63)
_MAX_DIGITS = 38
"""Maximum number of digits of a decimal number that the engines share."""


@dataclass(frozen=True, slots=True)
class SeedColumn:
    """A column of a seed."""

    name: str
    type: str
    """``bigint``, ``decimal(5, 2)``, ``boolean``, ``date``, ``timestamp`` or ``text``."""


@dataclass(frozen=True, slots=True)
class Seed:
    """The content of a seed."""

    columns: tuple[SeedColumn, ...]
    rows: tuple[tuple[int, tuple[str | None, ...]], ...]
    """The rows with their lines; None for an empty field."""


def seed_path(name: str) -> str:
    """Return the path of a seed's file in the project."""
    return f"{SEED_FOLDER}{name}.csv"


def is_seed(path: str) -> bool:
    """Return whether a file of the project is a seed, by its path."""
    return path.startswith(SEED_FOLDER)


def is_large(text: str) -> bool:
    """Return whether a seed is loaded into a table, because it is too large for the SQL."""
    return len(text) > MAX_INLINE_BYTES or len(text.encode()) > MAX_INLINE_BYTES


@lru_cache(maxsize=8)
def problems_in_seed(text: str, kind: str = SEED) -> tuple[Problem, ...]:
    """Return the problems of a seed, without a file name.

    Args:
        text: The text of the CSV file.
        kind: What it is, for problems; nothing but a seed needs rows.
    """
    if (size := len(text.encode())) > MAX_SEED_BYTES:
        message = f"the seed has {size / 1024:,.0f} KiB; at most {MAX_SEED_BYTES // 1024:,} are allowed."
        return (Problem(message, "", 1, 1, TOO_LARGE),)
    return tuple(first_of(_problems(text, kind)))


@lru_cache(maxsize=8)
def read_seed(text: str, kind: str = SEED) -> tuple[Seed | None, tuple[Problem, ...]]:
    """Return a seed, or else its problems, without a file name.

    An empty field is null, and blank lines are skipped.

    Args:
        text: The text of the CSV file.
        kind: What it is, for problems.
    """
    if problems := problems_in_seed(text, kind):
        return None, problems
    (_, header), *rows = _lines(text)
    cells = tuple((line, tuple(field or None for field in fields)) for line, fields in rows)
    types = (type_of([value for _, row in cells if (value := row[at])]) for at in range(len(header)))
    return Seed(tuple(map(SeedColumn, header, types)), cells), ()


@lru_cache(maxsize=8)
def sample_of_seed(text: str) -> str:
    """Return the first rows of a large seed, which stand for it where SQL is only checked; another seed as it is."""
    if not is_large(text) or problems_in_seed(text):
        return text
    sample = io.StringIO()
    rows = (fields for _, fields in islice(_lines(text), _SAMPLED_ROWS + 1))
    csv.writer(sample).writerows([field[:_SAMPLED_LETTERS] for field in fields] for fields in rows)
    return sample.getvalue()


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each line that is not blank, with its number.

    Raises:
        _NoCsvError: For a line that is not CSV.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    try:
        for fields in reader:
            if fields:
                yield begin, fields
            begin = reader.line_num + 1
    except csv.Error as error:
        raise _NoCsvError(begin, error) from None


class _NoCsvError(Exception):
    """A line is not CSV."""

    def __init__(self, line: int, error: csv.Error) -> None:
        super().__init__(f"the line is not CSV: {error}.")
        self.line = line


def _problems(text: str, kind: str) -> Iterator[Problem]:
    lines = _lines(text)
    try:
        first, header = next(lines, (0, []))
        if not header:
            yield Problem(f"the {kind} is empty; its first line has the names of the columns.", "", 1, 1)
            return
        yield from _header_problems(first, header)
        rows = 0
        for rows, (line, fields) in enumerate(lines, start=1):  # noqa: B007 - their number
            if len(fields) != len(header):
                message = f"the line has {_counted(len(fields))}, and the header has {_counted(len(header))}."
                yield Problem(message, "", line, 1)
            elif any("\0" in field for field in fields):
                yield Problem("the line holds U+0000, which SQL can't hold.", "", line, 1)
        if not rows and kind == SEED:
            yield Problem("the seed has no rows.", "", first, 1)
    except _NoCsvError as error:
        yield Problem(str(error), "", error.line, 1)


def _header_problems(line: int, header: Sequence[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, name in enumerate(header, start=1):
        if not _NAME.fullmatch(name):
            message = f"the name of column {number}, {name!r}, is not made of letters, digits and '_'."
            yield Problem(message, "", line, 1, "The first line has the names of the columns.")
        elif name.lower() in seen:
            yield Problem(f"two columns are called '{name}'.", "", line, 1)
        seen.add(name.lower())


def _counted(number: int) -> str:
    return f"{number:,} field{'' if number == 1 else 's'}"


def type_of(values: Sequence[str]) -> str:
    """Return the strictest type that every value of a column has, as :attr:`SeedColumn.type`."""
    if not values:
        return "text"
    for name, fits in _TYPES.items():
        if all(map(fits, values)):
            return name
    return _decimal(values) or "text"


def _decimal(values: Sequence[str]) -> str | None:
    found = [_DECIMAL.fullmatch(value) for value in values]
    scales = [len(match[1] or "") for match in found if match]
    whole = max(len(value.lstrip("-").partition(".")[0]) for value in values)
    if len(scales) < len(values) or whole + max(scales) > _MAX_DIGITS:
        return None
    return f"decimal({whole + max(scales)}, {max(scales)})"


def _is_integer(value: str) -> bool:
    return _INTEGER.fullmatch(value) is not None and len(value) <= len(str(2**63)) and int(value) in _INT64


def _reads(pattern: re.Pattern[str], read: Callable[[str], object]) -> Callable[[str], bool]:
    def fits(value: str) -> bool:
        if not pattern.fullmatch(value):
            return False
        try:
            read(value)
        except ValueError:
            return False
        return True

    return fits


_TYPES: dict[str, Callable[[str], bool]] = {
    "bigint": _is_integer,
    "boolean": lambda value: value in {"true", "false", "True", "False", "TRUE", "FALSE"},
    "date": _reads(_DATE, date.fromisoformat),
    "timestamp": _reads(_TIMESTAMP, datetime.fromisoformat),
}
