"""Between the API's JSON and the dataclasses of :mod:`dataspec.models`."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from dataspec.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def decode(kind: type[T], data: Any) -> T:
    """Read one of the API's objects; fields that this version does not know are passed over.

    Raises:
        InternalError: When a field is missing or holds something else, as between versions.
    """
    try:
        known, readers = _fields(kind)  # type: ignore[arg-type] # a class can be hashed
        values = {name: value for name, value in data.items() if name in known}
        for name, read in readers:
            if values.get(name) is not None:
                values[name] = read(values[name])
        return kind(**values)
    except (AttributeError, TypeError, ValueError) as error:
        raise unreadable(f"{kind.__name__}: {error}") from error


def unreadable(reason: str) -> InternalError:
    """Return the error for an answer of another shape."""
    title = "The server's answer can't be read; its version may not fit this one."
    return InternalError(title, detail=reason)


def encode(value: Any) -> Any:
    """Return what ``json`` can't write by itself as plain data: for its ``default``."""
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


@cache
def _fields(kind: type[Any]) -> tuple[frozenset[str], tuple[tuple[str, Callable[[Any], Any]], ...]]:
    """Return the names of a class's fields, and what reads those that JSON has no type for."""
    hints = get_type_hints(kind)
    names = frozenset(field.name for field in fields(kind))
    readers = ((name, _reader(hints[name])) for name in sorted(names))
    return names, tuple((name, read) for name, read in readers if read is not None)


def _reader(hint: Any) -> Callable[[Any], Any] | None:
    for kind in (hint, *get_args(hint)):
        if kind is datetime:
            return _moment
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind
        if get_origin(hint) is list and isinstance(kind, type) and is_dataclass(kind):
            return partial(_decoded, kind)
    return None


def _decoded(kind: type[Any], items: list[Any]) -> list[Any]:
    return [decode(kind, item) for item in items]


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"the time {value} has no offset")
    return moment
