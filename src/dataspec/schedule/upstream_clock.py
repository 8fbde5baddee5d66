"""Find the clocks of datasets that follow their upstream datasets: ``schedule: {cron: "@upstream"}``.

Such a dataset has the clock of its coarsest upstream dataset, which may follow others itself. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import takewhile
from typing import Final, NamedTuple

from cronsim import CronSim

UPSTREAM: Final = "@upstream"
"""The ``cron`` of a dataset that follows its upstream datasets."""

_CYCLE_START, _CYCLE_END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
"""Four years, in which each month has its days and one February 29."""


class Clock(NamedTuple):
    """A cron expression and its time zone."""

    cron: str
    zone: str

    def __str__(self) -> str:
        """Return the clock as a message shows it."""
        return f"{self.cron} {self.zone}"


@dataclass(frozen=True, slots=True)
class Followed:
    """The upstream datasets whose clocks count for a dataset that follows them."""

    upstream: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoClock:
    """Why a dataset that follows its upstream datasets has no clock."""

    reason: str
    """A sentence without its subject, such as ``its upstream dataset 'b' is not registered``."""
    unknown: tuple[str, ...] = ()
    """The upstream datasets that are not known."""


Declared = Clock | Followed | None
"""What a spec says of its clock; None for a dataset without a schedule."""


def upstream_clocks(declared: Mapping[str, Declared]) -> dict[str, Clock | NoClock]:
    """Return the clock of each dataset that follows its upstream datasets (specification 31.35).

    Args:
        declared: The declared clock of each known dataset, by name.
    """
    found: dict[str, Clock | NoClock] = {}
    for name, clock in declared.items():
        if isinstance(clock, Followed) and name not in found:
            _resolve(name, declared, found)
    return found


def _resolve(start: str, declared: Mapping[str, Declared], found: dict[str, Clock | NoClock]) -> None:
    """Resolve a dataset after those that it follows; without recursion, since a chain may be long."""
    path, ahead = [start], [_followers_in(start, declared)]
    on_path = {start}
    while path:
        following = next((other for other in ahead[-1] if other not in found), None)
        if following is None:
            name = path.pop()
            ahead.pop()
            on_path.discard(name)
            found.setdefault(name, _coarsest(name, declared, found))
        elif following in on_path:
            cycle = path[path.index(following) :]
            reason = f"these follow each other: {' → '.join((*cycle, following))}"
            found |= dict.fromkeys(cycle, NoClock(reason))
        else:
            path.append(following)
            ahead.append(_followers_in(following, declared))
            on_path.add(following)


def _followers_in(name: str, declared: Mapping[str, Declared]) -> Iterator[str]:
    followed = declared[name]
    names = followed.upstream if isinstance(followed, Followed) else ()
    return (other for other in names if isinstance(declared.get(other), Followed))


def _coarsest(
    name: str, declared: Mapping[str, Declared], found: Mapping[str, Clock | NoClock]
) -> Clock | NoClock:
    followed = declared[name]
    names = followed.upstream if isinstance(followed, Followed) else ()
    if unknown := tuple(other for other in names if other not in declared):
        return NoClock(f"its upstream dataset '{unknown[0]}' is not registered", unknown)
    clocks: dict[str, Clock] = {}
    for other in names:
        clock = found.get(other) or declared[other]
        if isinstance(clock, NoClock):
            return NoClock(f"its upstream dataset '{other}' has no clock itself", clock.unknown)
        if isinstance(clock, Clock):
            clocks[other] = clock
    if not clocks:
        return NoClock("none of its upstream datasets has a schedule")
    return _agreed(clocks)


def _agreed(clocks: Mapping[str, Clock]) -> Clock | NoClock:
    """Return the coarsest clock; equally fine ones must be the same."""
    names: dict[Clock, str] = {}
    for name, clock in clocks.items():
        names.setdefault(clock, name)
    fewest = min(_ticks_in_cycle(clock.cron) for clock in names)
    one, *others = (clock for clock in names if _ticks_in_cycle(clock.cron) == fewest)
    for two in others:
        if (_times(one.cron), one.zone) != (_times(two.cron), two.zone):
            reason = f"'{names[one]}' ({one}) and '{names[two]}' ({two}) are equally fine and differ"
            return NoClock(reason)
    return one


@lru_cache(maxsize=1024)
def _ticks_in_cycle(cron: str) -> int:
    """Return the number of ticks in four years: fewer ticks are a coarser clock."""
    minutes, hours, days = cron.split(maxsplit=2)
    times = CronSim(f"{minutes} {hours} * * *", _CYCLE_START)
    return len(times.minutes) * len(times.hours) * _days_in_cycle(days)


@lru_cache(maxsize=1024)
def _days_in_cycle(days: str) -> int:
    at_noon = CronSim(f"0 12 {days}", _CYCLE_START)
    return sum(1 for _ in takewhile(lambda tick: tick < _CYCLE_END, at_noon))


def _times(cron: str) -> tuple[object, ...]:
    """Return what a cron expression means: two spellings of the same times are equal."""
    ticks = CronSim(cron, _CYCLE_START)
    return ticks.minutes, ticks.hours, ticks.days, ticks.months, ticks.weekdays, ticks.day_and
