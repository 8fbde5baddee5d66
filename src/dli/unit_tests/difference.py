"""Compare the rows of a unit test with those that were expected, in any order."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from dataspec.engines.results import Result
    from dli.unit_tests.fixtures import Rows

Kind = Literal["differs", "missing", "not expected"]
_MAX_PAIRED = 200
"""Maximum number of rows that are compared with each other, to tell which one was meant."""
_DIGITS = 12
"""Number of digits to which floats are compared."""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that differs from an expected one, or that was expected, or found, alone."""

    kind: Kind
    expected: Row | None
    found: Row | None
    cells: tuple[bool, ...]
    """Of a row that differs: which of its values do."""


@dataclass(frozen=True, slots=True)
class Difference:
    """All rows that differ; at least one."""

    columns: tuple[str, ...]
    rows: tuple[RowDifference, ...]

    @property
    def summary(self) -> str:
        """How many rows differ, in words."""
        counts = Counter[str](row.kind for row in self.rows)
        words = (
            ("differs", f"{counts['differs']:,} row{' differs' if counts['differs'] == 1 else 's differ'}"),
            ("missing", f"{counts['missing']:,} missing"),
            ("not expected", f"{counts['not expected']:,} not expected"),
        )
        return f"{', '.join(text for kind, text in words if counts[kind])}."


def compare(expect: Rows, found: Result) -> Difference | None:
    """Return the difference between expected and found rows; None if there is none.

    Args:
        expect: The expected rows; their columns are compared, or all if there are none.
        found: The rows that were found, which have these columns.
    """
    columns = expect.columns or found.columns
    lowered = [name.lower() for name in found.columns]
    at = [lowered.index(name.lower()) for name in columns]
    rows = [tuple(row[index] for index in at) for row in found.first_rows]
    keys = _Keys([*zip(*expect.rows, strict=True)], [*zip(*rows, strict=True)], len(columns))
    wanted, there = [(keys.of(row), row) for row in expect.rows], [(keys.of(row), row) for row in rows]
    missing, extra = _left(wanted, there), _left(there, wanted)
    if not missing and not extra:
        return None
    return Difference(columns, tuple(_paired(missing, extra)))


Keyed = tuple[tuple["Hashable", ...], Row]


def _left(rows: Sequence[Keyed], others: Sequence[Keyed]) -> list[Keyed]:
    """Return the rows that have no equal among others; of equal ones as many as there are more."""
    counts = Counter(key for key, _ in others)
    left = []
    for key, row in rows:
        if counts[key]:
            counts[key] -= 1
        else:
            left.append((key, row))
    return left


def _paired(missing: list[Keyed], extra: list[Keyed]) -> list[RowDifference]:
    """Return the differences; a missing row stands with the unexpected one that has most of its values."""
    pairs, alone = [], []
    for number, (key, row) in enumerate(missing):
        near = extra if number < _MAX_PAIRED else []
        equal = [sum(map(_is_same, key, other)) for other, _ in near[:_MAX_PAIRED]]
        if equal and (most := max(equal)) > 0:
            other, found = extra.pop(equal.index(most))
            cells = tuple(not _is_same(*values) for values in zip(key, other, strict=True))
            pairs.append(RowDifference("differs", row, found, cells))
        else:
            alone.append(RowDifference("missing", row, None, ()))
    return [*pairs, *alone, *(RowDifference("not expected", None, row, ()) for _, row in extra)]


def _is_same(one: object, other: object) -> bool:
    return one == other


class _Keys:
    """Turns rows into keys that are equal where the rows are: each value is read as those found in its column.

    Args:
        expected: The expected values of each column.
        found: The found values of each column.
        count: The number of columns.
    """

    def __init__(self, expected: Sequence[Row], found: Sequence[Row], count: int) -> None:
        self._readers = [
            _reader(expected[index] if expected else (), found[index] if found else ())
            for index in range(count)
        ]

    def of(self, row: Row) -> tuple[Hashable, ...]:
        """Return the key of a row."""
        return tuple(
            None if value is None else _read(reader, value)
            for reader, value in zip(self._readers, row, strict=True)
        )


def _read(reader: Callable[[Any], Hashable], value: Any) -> Hashable:
    try:
        return reader(value)
    except (ValueError, InvalidOperation, TypeError, AttributeError):
        return "unlike", str(value)


def _reader(expected: Row, found: Row) -> Callable[[Any], Hashable]:
    """Return what reads the values of a column, by the first one that was found."""
    sample = next((value for value in found if value is not None), None)
    if any(isinstance(value, list | dict) for value in (sample, *expected)):
        return _nested
    if isinstance(sample, bool):
        return _truth
    if isinstance(sample, float):
        return _rounded
    if isinstance(sample, int | Decimal):
        return _number
    if isinstance(sample, date):  # a datetime is one, too
        return _moment
    return _written


def _truth(value: Any) -> Hashable:
    if isinstance(value, bool):
        return value
    return (
        {"true": True, "false": False}[value.lower()]
        if value.lower() in {"true", "false"}
        else ("unlike", value)
    )


def _number(value: Any) -> Hashable:
    if isinstance(value, bool):
        return "unlike", value
    return Decimal(str(value)).normalize()


def _rounded(value: Any) -> Hashable:
    if isinstance(value, bool):
        return "unlike", value
    number = float(value)
    return f"{number:.{_DIGITS}g}" if number else "0"


def _moment(value: Any) -> Hashable:
    """Return a date as its midnight, a time without offset as it is, one with an offset in UTC."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - a date has no zone
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _nested(value: Any) -> Hashable:
    """Return a nested value as JSON; a text may hold some."""
    found = json.loads(value) if isinstance(value, str) and value[:1] in {"[", "{"} else value
    return json.dumps(_plain(found), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool):
        return value
    return float(value) if isinstance(value, int | float | Decimal) else str(value)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
