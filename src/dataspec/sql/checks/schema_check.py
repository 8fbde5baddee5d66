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


def _types(names: str) -> frozenset[Any]:
    """Return types of sqlglot by their names; an older one lacks some."""
    return frozenset(getattr(_Type, name) for name in names.split() if hasattr(_Type, name))


_INTEGERS = (frozenset(exp.DataType.INTEGER_TYPES) - {_Type.BIT}) | _types("SERIAL BIGSERIAL SMALLSERIAL")
_DECIMALS = _types("DECIMAL BIGDECIMAL MONEY SMALLMONEY")
_KINDS: tuple[frozenset[Any], ...] = (
    _INTEGERS,
    _DECIMALS,
    _types("FLOAT DOUBLE"),
    frozenset(exp.DataType.TEXT_TYPES) | _types("BPCHAR ENUM FIXEDSTRING"),
    _types("DATE DATE32"),
    _types(
        "TIMESTAMP TIMESTAMPNTZ TIMESTAMP_S TIMESTAMP_MS TIMESTAMP_NS DATETIME DATETIME2 DATETIME64 SMALLDATETIME"
    ),
)
"""Types that count as one: a declared type says what kind of value a column has."""
_WRAPPERS = _types("LOWCARDINALITY NULLABLE")
"""ClickHouse's types around a type, which say how it is stored."""


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
    """Return whether a type is of the declared kind; one that is not known as a type is not compared.

    Lengths and digits count only if the declared type has them, and the engine keeps them.
    """
    one, other = _parsed(declared, dialect), _parsed(found, dialect)
    return one is None or other is None or _is_same(one, other, exactly="(" in declared)


def _is_same(one: exp.DataType, other: exp.DataType, *, exactly: bool) -> bool:
    one, other = _unwrapped(one), _unwrapped(other)
    if not _is_same_kind(one, other):
        return False
    if (inner := _inner(one)) and (others := _inner(other)):
        pairs = zip(inner, others, strict=False)
        return len(inner) == len(others) and all(_is_same(*pair, exactly=exactly) for pair in pairs)
    sizes = _sizes(one)
    return not (exactly and sizes and _sizes(other)) or sizes == _sizes(other)


def _is_same_kind(one: exp.DataType, other: exp.DataType) -> bool:
    if one.this == other.this or any(one.this in kind and other.this in kind for kind in _KINDS):
        return True
    for whole, decimal in ((one, other), (other, one)):  # Snowflake has no other whole numbers
        if whole.this in _INTEGERS and decimal.this in _DECIMALS:
            return _sizes(decimal)[1:] in ([], ["0"])
    return False


def _unwrapped(kind: exp.DataType) -> exp.DataType:
    inner = _inner(kind)
    return _unwrapped(inner[0]) if kind.this in _WRAPPERS and inner else kind


def _inner(kind: exp.DataType) -> list[exp.DataType]:
    """Return the types within a type, such as that of a list's items."""
    parts = (part.args.get("kind") if isinstance(part, exp.ColumnDef) else part for part in kind.expressions)
    return [part for part in parts if isinstance(part, exp.DataType)]


def _sizes(kind: exp.DataType) -> list[str]:
    return [part.this.name for part in kind.expressions if isinstance(part, exp.DataTypeParam)]


def _parsed(kind: str, dialect: str | None) -> exp.DataType | None:
    try:
        found = exp.DataType.build(kind, dialect=dialect)
    except (SqlglotError, ValueError):
        return None
    return None if found.this in {_Type.UNKNOWN, _Type.USERDEFINED} else found
