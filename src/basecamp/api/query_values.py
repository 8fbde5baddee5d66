"""Values in a query, as strict as in JSON: ``true`` and ``false``, numbers of JSON, times of RFC 3339."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, Strict, WithJsonSchema

T = TypeVar("T")

MAX_WAIT_SECONDS = 120
FIRST_YEAR = 1970
LAST_YEAR = 9998

_SCALAR = re.compile(r"true|false|-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_YEARS = r"^(19[7-9][0-9]|[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-"


def _from_json(value: Any) -> Any:
    """Return a scalar of JSON; another text unchanged, which the strict type then refuses."""
    return json.loads(value) if isinstance(value, str) and _SCALAR.fullmatch(value) else value


def _is_time(value: Any) -> Any:
    if isinstance(value, str) and not _RFC_3339.fullmatch(value):
        hint = " ('+' is written %2B in a query)" if " " in value else ""
        raise ValueError(f"write a time as in RFC 3339, such as 2024-01-15T09:00:00Z{hint}")
    return value


def _in_range(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"the year must be between {FIRST_YEAR} and {LAST_YEAR}")
    return moment


def _split(values: Any) -> Any:
    """Return the parts of texts that are separated by commas; anything else unchanged."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return values
    return [part.strip() for value in values for part in value.split(",")]


Several = Annotated[tuple[T, ...], BeforeValidator(_split)]
"""Values of a parameter that may be repeated, or hold several separated by commas."""

Flag = Annotated[bool, Strict(), BeforeValidator(_from_json)]
"""``true`` or ``false``; ``1``, ``yes`` and ``off`` are errors."""

LARGEST = 2**63 - 1
"""Above it, a number in a query is no integer to pydantic."""

# The bounds stand before the validator: after it, they would be missing in the OpenAPI document.
Positive = Annotated[int, Strict(), Field(ge=1, le=LARGEST), BeforeValidator(_from_json)]
"""A whole number from 1."""

NotNegative = Annotated[int, Strict(), Field(ge=0, le=LARGEST), BeforeValidator(_from_json)]
"""A whole number from 0."""

Seconds = Annotated[float, Strict(), Field(ge=0, le=MAX_WAIT_SECONDS), BeforeValidator(_from_json)]
"""How long a request may wait."""

Timestamp = Annotated[
    AwareDatetime,
    BeforeValidator(_is_time),
    AfterValidator(_in_range),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _YEARS}),
]
"""A time with offset, within the range that every database supports."""
