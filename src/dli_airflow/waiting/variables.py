"""Read and write Airflow's Variables of what was built (docs/waiting.md, "What was built")."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from logging import Logger
from typing import Final

from asgiref.sync import sync_to_async

from dataspec.contract import BUILT_BEACON, built_description, built_variable
from dataspec.schedule.beacon import has_entry, with_entry
from dataspec.schedule.built import Built
from dataspec.schedule.partitions import Grid, Partition
from dli_airflow.airflow_api import Variable

WRITES: Final = 5
"""Maximum number of attempts to write. Before Airflow 3.1 a Variable is set by a delete and an insert, and one of two
that do so at once fails."""
FIRST_PAUSE_SECONDS: Final = 0.2
OVERWRITTEN_SECONDS: Final = 0.1
"""How long after its write a run looks for its entry in the beacon: another run may read it before, and write after."""


def read_variable(key: str) -> str | None:
    """Return the text of a Variable; None if there is none."""
    text: str | None = Variable.get(key, None)
    return text


async def read_variable_in_triggerer(key: str) -> str | None:
    """Return the text of a Variable, without blocking the triggerer's event loop; None if there is none."""
    text: str | None = await sync_to_async(read_variable, thread_sensitive=False)(key)
    return text


def read_built(dataset: str, log: Logger) -> Built:
    """Return what a dataset has built; a damaged text reads as nothing, and is logged."""
    read = Built.parse(read_variable(built_variable(dataset)))
    if read.problem:
        log.warning("What %s has built can't be read: %s", dataset, read.problem)
    return read.built


def note_built(dataset: str, partition: Partition | None, grid: Grid, log: Logger) -> None:
    """Note what a run has built, then change the beacon; never raise, since the data are there.

    What can't be noted, Basecamp's periodic check adds.
    """
    at = datetime.now(UTC)
    for attempt in range(1, WRITES + 1):
        try:
            _write(dataset, partition, grid, at)
        except Exception as error:
            if attempt == WRITES:
                log.exception(
                    "%s was built, and Airflow can't store that: waiting runs go on when Basecamp's check has added it",
                    dataset,
                )
                return
            log.info("What was built can't be stored yet: %s", error)
            time.sleep(random.uniform(0.5, 1) * FIRST_PAUSE_SECONDS * 2**attempt)  # noqa: S311 - no secret
        else:
            return


def _write(dataset: str, partition: Partition | None, grid: Grid, at: datetime) -> None:
    key = built_variable(dataset)
    read = Built.parse(read_variable(key))
    if not read.may_be_written:
        raise ValueError(read.problem)
    built = read.built.with_partition(partition, at=at, grid=grid)
    Variable.set(key, built.text(), built_description(dataset))
    for _ in range(WRITES):
        Variable.set(BUILT_BEACON, with_entry(read_variable(BUILT_BEACON), dataset, at.isoformat()))
        time.sleep(OVERWRITTEN_SECONDS)
        if has_entry(read_variable(BUILT_BEACON), dataset, at.isoformat()):
            return
