"""A bucket on a real S3 server with ten thousand specs in it, half by code and half by hand."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from counting import PREFIXES

from dataspec.catalog.spec_storage import Release, write_release
from dataspec.store import MemoryStore, Store
from dataspec.store.base import MISSING
from dataspec.store.bucket import READERS

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from s3 import S3, s3_server

DATASETS = 10_000
_SPEC = """\
name: {name}
type: Dataset
owner: engineer{team}@example.com
team: "@data-{team}"
description: Numbers of area {number} by the hour, cleaned and summed ({note}).
tags: [daily, area-{team}]
query_file: query.sql
parameters:
  - name: execution_date
    type: date
schedule:
  cron: "{minute} {hour} * * *"
  timezone: Asia/Seoul
  retry: {{max_attempts: 2, delay_seconds: 60}}
  notifications:
    on_failure:
      - type: slack
        channel: "#alerts"
"""
_SQL = """\
insert into area_{number}
select area, hour, sum(clicks) as {note}
from events where day = '{{{{ execution_date }}}}' group by area, hour
"""


@contextmanager
def filled(datasets: int = DATASETS) -> Iterator[S3]:
    """Give a place on an S3 server that holds so many specs, each with its map and its SQL."""
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder, s3_server(Path(folder)) as place:
        written = MemoryStore()
        for number in range(datasets):
            write_release(written, key_of(number), release(number))
        copy(written, place.store())
        yield place


def name_of(number: int) -> str:
    """Return a dataset's name."""
    return f"team_{number % 20:02d}.dataset_{number:05d}"


def key_of(number: int) -> str:
    """Return where its YAML is: in code for every other one."""
    return f"{PREFIXES[number % 2]}{name_of(number)}.yaml"


def release(number: int, *, yaml: str = "first", sql: str = "first") -> Release:
    """Return a version of a dataset; YAML and SQL differ by the notes in them."""
    spec = _SPEC.format(
        name=name_of(number),
        team=number % 20,
        number=number,
        note=yaml,
        minute=number % 60,
        hour=number % 24,
    )
    return Release(spec.encode(), {"query.sql": _SQL.format(number=number, note=sql)})


def change(store: Store, numbers: Iterable[int], *, yaml: str = "first", sql: str = "first") -> None:
    """Write versions of datasets as Basecamp and `dli code publish` do."""
    for number in numbers:
        write_release(store, key_of(number), release(number, yaml=yaml, sql=sql))


def copy(source: Store, target: Store) -> None:
    """Copy every object into an empty store."""
    found = source.get_many([info.key for info in source.list("")])
    with ThreadPoolExecutor(READERS) as writers:
        list(
            writers.map(lambda stored: target.put(stored.key, stored.body, expected=MISSING), found.values())
        )
