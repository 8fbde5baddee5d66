"""Convert parameter values to their types, from text or from JSON (specification 8.4)."""

from __future__ import annotations

import json
import math
import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from dataspec.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ParameterType = Literal["string", "integer", "float", "boolean", "date", "datetime", "list"]
PARAMETER_TYPES: tuple[str, ...] = get_args(ParameterType)

EXECUTION_DATE = "execution_date"
"""The parameter that names a dataset's partition: a date, which scheduled runs set."""

MAX_TEXT = 64 * 1024
MAX_ITEMS = 10_000
MAX_INTEGER = 2**63 - 1
"""Airflow's tasks, and most engines, use 64 bits."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(rf"{_DATE.pattern}([T ][0-9:.,+\-Z]+)?", re.ASCII)


class ParameterValueError(ValueError):
    """A value does not fit its parameter; the message states the expected value, the hint the nearest one."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def coerce_choices(choices: Iterable[Any], kind: str) -> list[Any]:
    """Return a parameter's choices converted to its type; the choices of a list apply to its items.

    Raises:
        ParameterValueError: When a choice is not of that type.
    """
    return _list(list(choices)) if kind == "list" else [COERCIONS[kind](choice) for choice in choices]


def check_choice(value: Any, choices: Iterable[Any], kind: str) -> None:
    """Check that a value, or each item of a list, is among its parameter's choices.

    Raises:
        ParameterValueError: When a value or an item is not.
    """
    # True == 1 in Python, but they are different values here.
    known = {(isinstance(choice, bool), choice): _worded(choice) for choice in coerce_choices(choices, kind)}
    for item in value if isinstance(value, list) else [value]:
        if (isinstance(item, bool), item) not in known:
            words = known.values()
            hint = nearest(item, words) if isinstance(item, str) and kind in {"string", "list"} else None
            raise ParameterValueError(f"{_shown(item)} is not one of {', '.join(words)}.", hint=hint)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ParameterValueError(f"expected text, got {_shown(value)}; put it in quotes.")
    if len(value) > MAX_TEXT:
        raise ParameterValueError(
            f"the text has {len(value):,} characters, at most {MAX_TEXT:,} are allowed."
        )
    if "\x00" in value:
        raise ParameterValueError("the text holds a NUL character.")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ParameterValueError(f"expected a whole number, got {_shown(value)}.")
    if abs(value) > MAX_INTEGER:
        raise ParameterValueError(f"the number is too large; at most {MAX_INTEGER} is allowed.")
    return value


def _float(value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ParameterValueError(f"expected a number, got {_shown(value)}.")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    raise ParameterValueError(f"expected true or false, got {_shown(value)}.")


def coerce_date(value: Any) -> str:
    """Return a date as ISO text.

    Raises:
        ParameterValueError: When the value is no text of the form YYYY-MM-DD.
    """
    if isinstance(value, str) and _DATE.fullmatch(value.strip()):
        try:
            return date.fromisoformat(value.strip()).isoformat()
        except ValueError:
            raise ParameterValueError(f"there is no date {value.strip()}.") from None
    raise ParameterValueError(f"expected a date as YYYY-MM-DD, got {_shown(value)}.")


def coerce_datetime(value: Any) -> str:
    """Return a time as ISO text.

    Raises:
        ParameterValueError: When the value is no text of ISO 8601.
    """
    if isinstance(value, str) and _DATETIME.fullmatch(value.strip()):
        try:
            return datetime.fromisoformat(value.strip()).isoformat()
        except ValueError:
            pass
    raise ParameterValueError(f"expected a time as YYYY-MM-DDTHH:MM:SS, got {_shown(value)}.")


def _list(value: Any) -> list[Any]:
    items = _items(value) if isinstance(value, str) else value
    if not isinstance(items, list):
        raise ParameterValueError(f"expected a list such as A,B or [1, 2], got {_shown(value)}.")
    if len(items) > MAX_ITEMS:
        raise ParameterValueError(f"the list has {len(items):,} items, at most {MAX_ITEMS:,} are allowed.")
    for item in items:
        if isinstance(item, str):
            _string(item)
        elif isinstance(item, int) and not isinstance(item, bool):
            _integer(item)
        elif not isinstance(item, int | float) or (isinstance(item, float) and not math.isfinite(item)):
            raise ParameterValueError(f"a list holds text, numbers and true or false, not {_shown(item)}.")
    return items


def _items(text: str) -> Any:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ParameterValueError(f"not a JSON list: {error}.") from None
        except RecursionError:
            raise ParameterValueError("a list holds text, numbers and true or false, not lists.") from None
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - a line of an error


def _worded(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


COERCIONS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "date": coerce_date,
    "datetime": coerce_datetime,
    "list": _list,
}
"""The conversion of a value to each type, safe for JSON; text is parsed, since the command line gives text.

Each raises :class:`ParameterValueError` for a value that is not of the type.
"""
