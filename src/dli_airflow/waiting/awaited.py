"""What a run waits for: partitions of upstream datasets, and rows of queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from dataspec.schedule.built import Built
from dataspec.schedule.needs import Need, replaced_at
from dataspec.schedule.partitions import Partition
from dataspec.schedule.run_ids import scheduled_run_id

SHOWN = 5
"""Maximum number of missing partitions that a message names, and that are looked at for having been passed over."""


@dataclass(frozen=True, slots=True)
class AwaitedDataset:
    """Partitions of an upstream dataset."""

    need: Need
    deadline: datetime | None
    """When the run fails; None if it waits without limit."""
    catches_up: bool
    """Whether the upstream's schedule builds each partition, also those that it missed."""

    @property
    def dataset(self) -> str:
        """The upstream dataset."""
        return self.need.dataset

    def missing(self, built: Built) -> str:
        """Return what is missing, for people."""
        names = [partition.name for partition in islice(self.need.missing(built), SHOWN + 1)]
        more = " and later ones" if len(names) > SHOWN else ""
        return f"{self.dataset} {', '.join(names[:SHOWN])}{more}".strip()

    def replaced_at(self, built: Built) -> Iterator[tuple[Partition, str, datetime]]:
        """Yield missing partitions with the id of their scheduled run, and when a later run takes its place."""
        grid = self.need.grid
        if self.catches_up or grid.cron is None:
            return
        for partition in islice(self.need.missing(built), SHOWN):
            if at := replaced_at(grid, partition):
                due = grid.data_interval(partition)[1]
                yield partition, scheduled_run_id(self.dataset, due), at

    def passed_over(self, partition: Partition) -> str:
        """Return the error for a partition that the schedule will not build any more."""
        day = partition.local_date
        return (
            f"{self.dataset} {partition.name} is missing, and its schedule has passed it over: the dataset was paused, or "
            f"Airflow was down. Build it: dli workflow backfill {self.dataset} --start {day} --end {day}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON for :meth:`read`."""
        deadline = self.deadline and self.deadline.isoformat()
        return {"need": self.need.to_json(), "deadline": deadline, "catches_up": self.catches_up}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> AwaitedDataset:
        """Return what :meth:`to_json` wrote."""
        return cls(Need.read(data["need"]), _time(data["deadline"]), data["catches_up"])


@dataclass(frozen=True, slots=True)
class AwaitedQuery:
    """A query that is repeated until it returns a row."""

    sql: str
    connection: str
    every_seconds: int
    deadline: datetime | None

    @property
    def missing(self) -> str:
        """What is missing, for people."""
        return f"a row of the query on {self.connection} ({' '.join(self.sql.split())[:100]})"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON for :meth:`read`."""
        return {
            "sql": self.sql,
            "connection": self.connection,
            "every_seconds": self.every_seconds,
            "deadline": self.deadline and self.deadline.isoformat(),
        }

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> AwaitedQuery:
        """Return what :meth:`to_json` wrote."""
        return cls(data["sql"], data["connection"], data["every_seconds"], _time(data["deadline"]))


def timeout_words(missing: Iterable[str]) -> str:
    """Return the error of a run that has waited too long."""
    return f"It has waited too long, and this is still missing: {'; '.join(missing)}"


def retry_words(run_id: str) -> str:
    """Return the next step after the error of a run that waited."""
    return f". Then run it again: dli workflow retry {run_id}"


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
