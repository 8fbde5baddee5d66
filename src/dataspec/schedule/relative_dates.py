"""Dates relative to now: ``today``, ``yesterday``, and ``7d`` for seven days ago (specification 22.39)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

DAYS_AGO = {"today": 0, "yesterday": 1}
"""The words for dates, and how many days ago each is."""
_AGE = re.compile(r"([0-9]{1,5})([dw])")
_UNIT_DAYS = {"d": 1, "w": 7}


def days_ago(text: Any) -> int | None:
    """Return how many days ago a relative date is; None for any other value."""
    if not isinstance(text, str):
        return None
    word = text.strip().lower()
    if found := _AGE.fullmatch(word):
        return int(found[1]) * _UNIT_DAYS[found[2]]
    return DAYS_AGO.get(word)


def absolute_date(given: Any, zone: str, now: datetime) -> Any:
    """Return the date that a relative one means in a time zone, as ISO text; any other value unchanged."""
    days = days_ago(given)
    if days is None:
        return given
    from zoneinfo import ZoneInfo

    try:
        return (now.astimezone(ZoneInfo(zone)).date() - timedelta(days=days)).isoformat()
    except OverflowError:  # before the year 1
        return given
