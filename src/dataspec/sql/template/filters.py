"""The filters of SQL templates for dates; they take and return ISO text, like parameters.

A date yields a date, and a time yields a time with its UTC offset. The result is a value:
:mod:`dataspec.sql.values.binding` binds it into the SQL.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, datetime, timedelta
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Literal, get_args
from zoneinfo import ZoneInfo

from dataspec.parameters import ParameterValueError, coerce_date, coerce_datetime
from dataspec.problems import nearest
from dataspec.schedule.cron import check_timezone
from dataspec.sql.values.marked_text import sql_name

if TYPE_CHECKING:
    from collections.abc import Callable

Unit = Literal["day", "week", "month", "quarter", "year"]

MAX_PATTERN = 1_000
"""Maximum number of characters of a pattern of ``format_date``."""

_DATE_LENGTH = len("2024-01-15")
_CODES: dict[str, Callable[[date], str]] = {
    "Y": lambda moment: f"{moment.year:04}",
    "G": lambda moment: f"{moment.isocalendar().year:04}",
    "%": lambda _: "%",
    **{code: methodcaller("strftime", f"%{code}") for code in "ymdHMSfjuVzbBaA"},
}
"""The codes after a percent sign that are the same on every operating system."""


class FilterError(ValueError):
    """A filter can't use its arguments; the message is a sentence."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def add_days(value: Any, days: int) -> str:
    """Return a date or time a number of days later; earlier for a negative number."""
    return _later(value, days=_whole("add_days", days))


def add_hours(value: Any, hours: int) -> str:
    """Return a time a number of hours later; dates are refused."""
    _time("add_hours", value)
    return _later(value, hours=_whole("add_hours", hours))


def add_months(value: Any, months: int) -> str:
    """Return the same day a number of months later, at most the last day of that month."""
    moment = _moment(value)
    year, month = divmod(moment.year * 12 + moment.month - 1 + _whole("add_months", months), 12)
    if not date.min.year <= year <= date.max.year:
        raise _out_of_range(value)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day).isoformat()


def start_of(value: Any, unit: Unit) -> str:
    """Return the first day of the week (a Monday), month, quarter or year; of a time, its midnight."""
    moment = _moment(value)
    if unit not in get_args(Unit):
        known = get_args(Unit)
        raise FilterError(
            f"start_of takes {', '.join(map(repr, known[:-1]))} or {known[-1]!r}, not {unit!r}.",
            hint=nearest(str(unit), known),
        )
    if isinstance(moment, datetime):
        moment = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return _first_day(moment, unit).isoformat()


def format_date(value: Any, pattern: str) -> str:
    """Format a date or time with codes of strftime, such as ``%Y%m%d``."""
    moment = _moment(value)
    if not isinstance(pattern, str):
        raise FilterError(f"format_date takes text such as '%Y%m%d', not {_short(repr(pattern))}.")
    if len(pattern) > MAX_PATTERN:
        raise FilterError(f"format_date takes a pattern of {MAX_PATTERN} characters at most.")

    def written(code: re.Match[str]) -> str:
        if code[1] not in _CODES:
            known = " ".join(f"%{letter}" for letter in _CODES)
            raise FilterError(f"format_date has no code {code[0]!r}.", hint=f"The codes are {known}.")
        return _CODES[code[1]](moment)

    return re.sub(r"%(.?)", written, pattern, flags=re.DOTALL)


def in_timezone(value: Any, zone: str) -> str:
    """Return the same moment in another time zone."""
    moment = _time("in_timezone", value)
    if moment.tzinfo is None:
        raise FilterError(
            f"in_timezone can't tell which moment {value!r} is.", hint="Give its offset, such as +09:00 or Z."
        )
    if not isinstance(zone, str):
        raise FilterError(f"in_timezone takes a time zone such as 'Asia/Seoul', not {zone!r}.")
    try:
        return moment.astimezone(ZoneInfo(check_timezone(zone))).isoformat()
    except OverflowError:
        raise _out_of_range(value) from None
    except ValueError as error:
        raise FilterError(str(error)) from None


FILTERS: dict[str, tuple[Callable[..., Any], str]] = {
    "add_days": (add_days, "add_days(7)"),
    "add_hours": (add_hours, "add_hours(-1)"),
    "add_months": (add_months, "add_months(1)"),
    "start_of": (start_of, "start_of('month')"),
    "format_date": (format_date, "format_date('%Y%m%d')"),
    "in_timezone": (in_timezone, "in_timezone('Asia/Seoul')"),
    "identifier": (sql_name, "identifier"),
}
"""Each filter with an example of its use."""


def _moment(value: Any) -> date:
    """Parse a value as a date, or as a time if it has one."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        if len(text) <= _DATE_LENGTH:
            return date.fromisoformat(coerce_date(text))
        return datetime.fromisoformat(coerce_datetime(text))
    except ParameterValueError:
        example = "a date such as 2024-01-15"
        if len(text) > _DATE_LENGTH:
            example = "a time such as 2024-01-15T09:00:00"
        shown = "null" if value is None else repr(value)
        raise FilterError(f"{_short(shown)} is not {example}.") from None


def _short(shown: str) -> str:
    return shown if len(shown) <= 60 else f"{shown[:57]}…"  # noqa: PLR2004 - a line of an error


def _time(name: str, value: Any) -> datetime:
    moment = _moment(value)
    if not isinstance(moment, datetime):
        raise FilterError(f"{name} takes a time such as 2024-01-15T09:00:00; {value!r} is a date.")
    return moment


def _whole(name: str, number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise FilterError(f"{name} takes a whole number, not {_short(repr(number))}.")
    return number


def _later(value: Any, **amount: int) -> str:
    moment = _moment(value)
    try:
        return (moment + timedelta(**amount)).isoformat()
    except OverflowError:
        raise _out_of_range(value) from None


def _out_of_range(value: Any) -> FilterError:
    return FilterError(f"the result for {value!r} is outside the years 1 to 9999.")


def _first_day(moment: date, unit: Unit) -> date:
    if unit == "week":  # never before year 1, which begins on a Monday
        return moment - timedelta(days=moment.weekday())
    month = {"month": moment.month, "quarter": (moment.month - 1) // 3 * 3 + 1, "year": 1}
    return moment if unit == "day" else moment.replace(month=month[unit], day=1)
