"""Ranges of dates: as they are requested, and as a plan writes the names of many partitions (docs/backfill.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from dataspec.errors import InvalidUsage
from dataspec.parameters import ParameterValueError, coerce_date
from dataspec.schedule.partitions import FIRST_YEAR, LAST_YEAR

MAX_DATES = 40_000
"""More than a hundred years of days."""
MAX_SHOWN = 5
"""Maximum number of dates in a warning."""
SHORTEST_RANGE = 3
"""Number of consecutive dates from which a plan writes them as a range."""
LENGTH_OF_A_DATE = len("2024-01-15")

_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class DateRange:
    """A range of dates, including both ends."""

    start: date
    end: date

    @classmethod
    def parse(cls, start: str, end: str) -> DateRange:
        """Parse a range.

        Raises:
            InvalidUsage: For an invalid date, or an end before the start.
        """
        read = cls(_date("start", start), _date("end", end))
        if read.end < read.start:
            raise InvalidUsage(
                f"The end {read.end} is before the start {read.start}.",
                detail="To build the last date first, keep the order and add: --reverse",
            )
        return read

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    def days(self) -> Iterator[str]:
        """Yield every date."""
        return ((self.start + number * _DAY).isoformat() for number in range(len(self)))

    def left_out(self, names: Iterable[str]) -> list[str]:
        """Return a warning about the dates on which none of these partitions starts, if there are any."""
        built = {name[:LENGTH_OF_A_DATE] for name in names}
        found = [day for day in self.days() if day not in built]
        if not found:
            return []
        shown = ", ".join(found[:MAX_SHOWN]) + (", …" if len(found) > MAX_SHOWN else "")
        dates = "1 date" if len(found) == 1 else f"{len(found):,} dates"
        return [f"The schedule leaves out {dates} of the range: {shown}"]


def _date(name: str, text: str) -> date:
    try:
        found = date.fromisoformat(coerce_date(text))
    except ParameterValueError as error:
        raise InvalidUsage(f"Invalid {name} date: {error}") from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise InvalidUsage(
            f"Invalid {name} date: the year of {found} is not between {FIRST_YEAR} and {LAST_YEAR}."
        )
    return found


@lru_cache(maxsize=64)
def as_ranges(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of partitions, with one text for each run of three or more at equal distances, up or down.

    It is ``first/last`` for consecutive dates, and ``first/last/minutes`` for partitions that are finer than a day.
    """
    return tuple(_ranges(names))


def _ranges(names: Iterable[str]) -> Iterator[str]:
    run: list[datetime] = []
    for start in map(datetime.fromisoformat, names):
        if run and not _continues(run, start):
            yield from _range(run)
            run = []
        run.append(start)
    yield from _range(run)


def _continues(run: Sequence[datetime], start: datetime) -> bool:
    """Return whether a partition is at the same distance as those of a run, with the same offset of the zone."""
    step = start - run[-1]
    regular = abs(step) == _DAY if start.tzinfo is None else start.utcoffset() == run[-1].utcoffset()
    return regular and (len(run) == 1 or step == run[1] - run[0])


def _range(run: list[datetime]) -> Iterator[str]:
    if len(run) < SHORTEST_RANGE:
        return map(_name, run)
    step = "" if run[0].tzinfo is None else f"/{(run[1] - run[0]) // _MINUTE}"
    return iter([f"{_name(run[0])}/{_name(run[-1])}{step}"])


def _name(start: datetime) -> str:
    return start.date().isoformat() if start.tzinfo is None else start.isoformat(timespec="minutes")


def from_ranges(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names that :func:`as_ranges` wrote.

    Raises:
        ValueError: For a text that names no partition and no range, and for too many partitions.
    """
    found: list[str] = []
    for text in texts:
        if " " in text:  # of another dataset of a chain
            found.append(text)
            continue
        first, _, rest = text.partition("/")
        last, _, minutes = rest.partition("/")
        start, end = _start_of(first), _start_of(last or first)
        step = timedelta(minutes=int(minutes)) if minutes else _DAY if end >= start else -_DAY
        count = (end - start) // step + 1
        if len(found) + count > MAX_DATES:
            raise ValueError(f"more than {MAX_DATES:,} partitions")
        found += [_name(start + number * step) for number in range(count)]
    return tuple(found)


def _start_of(name: str) -> datetime:
    if len(name) == LENGTH_OF_A_DATE:
        return datetime.combine(date.fromisoformat(name), time())
    found = datetime.fromisoformat(name)
    if found.tzinfo is None:
        raise ValueError(f"'{name}' has no offset")
    return found
