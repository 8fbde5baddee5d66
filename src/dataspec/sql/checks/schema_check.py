"""Compare the columns that a spec declares under ``schema`` with those that its query yields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from dataspec.models import CheckResult
from dataspec.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dataspec.spec.model import Column

NAME = "schema"
"""The name of the result among those of the checks."""

_Type = exp.DataType.Type
_WHOLE = frozenset(exp.DataType.INTEGER_TYPES) - {_Type.BIT}
_KINDS: tuple[frozenset[Any], ...] = (
    _WHOLE,
    frozenset({_Type.FLOAT, _Type.DOUBLE}),
    frozenset({_Type.CHAR, _Type.NCHAR, _Type.VARCHAR, _Type.NVARCHAR, _Type.TEXT, _Type.BPCHAR}),
    frozenset({_Type.DATE, _Type.DATE32}),
    frozenset({_Type.TIMESTAMP, _Type.TIMESTAMPNTZ, _Type.DATETIME, _Type.DATETIME64}),
)
"""Types that count as one: a declared type says what kind of value a column has."""


def compare_columns(
    declared: Sequence[Column], found: Mapping[str, str], *, dialect: str | None, place: str
) -> CheckResult | None:
    """Return the result of comparing ``schema`` with what the query yields.

    Args:
        declared: The columns of ``schema``.
        found: The type of each column that the query yields, by its name.
        dialect: The dialect of the types.
        place: Where ``schema`` is written.

    Returns:
        A failed result for a missing column and for another type, one with a warning for a column that ``schema``
        lacks; None where both agree.
    """
    wrong = [*_wrong(declared, found, dialect)]
    known = {column.name.lower() for column in declared}
    extra = [name for name in found if name.lower() not in known]
    if wrong:
        message = f"{place}: the query does not yield what 'schema' says: {'; '.join(wrong)}."
        return CheckResult(name=NAME, severity="error", status="failed", rows=None, message=message)
    if extra:
        message = f"{place}: the query yields columns that 'schema' lacks: {', '.join(extra)}."
        return CheckResult(name=NAME, severity="warn", status="warned", rows=None, message=message)
    return None


def _wrong(declared: Sequence[Column], found: Mapping[str, str], dialect: str | None) -> Iterator[str]:
    types = {name.lower(): kind for name, kind in found.items()}
    for column in declared:
        kind = types.get(column.name.lower())
        if kind is None:
            hint = nearest(column.name, found)
            yield f"there is no column {column.name}" + (f" ({hint})" if hint else "")
        elif column.type and not is_same_type(column.type, kind, dialect):
            yield f"{column.name} is {kind}, not {column.type}"


def is_same_type(declared: str, found: str, dialect: str | None) -> bool:
    """Return whether a type is the declared one; one that is not known as a type is not compared.

    Widths of whole numbers and floats, and lengths that are not declared, don't count.
    """
    one, other = _parsed(declared, dialect), _parsed(found, dialect)
    if one is None or other is None:
        return True
    if one.expressions and one.sql(dialect).lower() != other.sql(dialect).lower():
        return _is_text(one) and _is_text(other) and not other.expressions
    if one.this in _WHOLE and other.this is _Type.DECIMAL:  # as Snowflake describes a whole number
        return [str(size) for size in other.expressions[1:]] == ["0"]
    return one.this == other.this or any(one.this in kind and other.this in kind for kind in _KINDS)


def _is_text(kind: exp.DataType) -> bool:
    return kind.this in _KINDS[3]


def _parsed(kind: str, dialect: str | None) -> exp.DataType | None:
    try:
        found = exp.DataType.build(kind, dialect=dialect)
    except (SqlglotError, ValueError):
        return None
    if found.this is _Type.LOWCARDINALITY:
        found = found.expressions[0]
    return None if found.this in {_Type.UNKNOWN, _Type.USERDEFINED} else found
