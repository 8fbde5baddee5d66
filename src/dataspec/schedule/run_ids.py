"""Write and parse run ids, which contain the dataset's name (specification 3.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_RUN_ID = re.compile(
    r"(?P<dataset>.+)_(?P<stamp>\d{8}_\d{6})(?:_(?P<counter>[1-9]\d{0,3}))?(?:_(?P<date>\d{8}(?:T\d{4}Z)?))?"
)
_STAMP = "%Y%m%d_%H%M%S"


@dataclass(frozen=True, slots=True)
class RunId:
    """The parts of a run id: ``<dataset>_<YYYYMMDD>_<HHMMSS>[_<counter>][_<partition>]``, times in UTC."""

    dataset: str
    at: datetime
    counter: int | None = None
    backfill_partition: str | None = None

    def __str__(self) -> str:
        counter = f"_{self.counter}" if self.counter else ""
        date = f"_{self.backfill_partition}" if self.backfill_partition else ""
        return f"{self.dataset}_{self.at.astimezone(UTC).strftime(_STAMP)}{counter}{date}"


def parse_run_id(text: str) -> RunId | None:
    """Parse a run id; return None for an id of another form."""
    match = _RUN_ID.fullmatch(text)
    if match is None:
        return None
    try:
        at = datetime.strptime(match["stamp"], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    counter = int(match["counter"]) if match["counter"] else None
    return RunId(match["dataset"], at, counter, match["date"])


def scheduled_run_id(dataset: str, run_after: datetime) -> str:
    """Return the id of the scheduled run that is due at ``run_after``."""
    return str(RunId(dataset, run_after))


def adhoc_run_id(dataset: str, now: datetime, counter: int = 1) -> str:
    """Return the id of the ``counter``-th adhoc run of this second.

    It never has second 00, which scheduled runs use: a scheduled run whose id is
    taken would break Airflow's scheduling loop.
    """
    if now.second == 0:
        now += timedelta(seconds=1)
    return str(RunId(dataset, now, counter if counter > 1 else None))


def backfill_run_id(backfill_id: str, partition: str) -> str:
    """Return the id of the run that builds one partition of a backfill, by its name (specification 3.6).

    A partition finer than a day is named by its start in UTC, which no hour that the clock repeats shares.
    """
    if len(partition) == len("2024-01-15"):
        return f"{backfill_id}_{partition.replace('-', '')}"
    return f"{backfill_id}_{datetime.fromisoformat(partition).astimezone(UTC):%Y%m%dT%H%MZ}"
