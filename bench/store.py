"""Measure the store on a real S3 server, beside the library that it is built on, asked for the same.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import obstore

from dataspec.catalog_reader import CatalogReader
from dataspec.releases import CODE_PREFIX, MANUAL_PREFIX, file_map_key
from dataspec.spec_cache import MemorySpecCache
from dataspec.store import Store
from dataspec.store.base import MISSING
from dataspec.store.bucket import PAGE_KEYS, READERS

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from s3 import S3, s3_server

DATASETS = 10_000
ROUNDS = 7


@dataclass
class Call:
    """Something to measure, and what its runs have taken."""

    name: str
    run: Callable[[], int]
    beside: str
    """The name of what it is compared with."""
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    counted: int = 0

    def measure(self) -> None:
        """Run it once."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.counted = self.run()
        self.wall.append((time.perf_counter() - wall) * 1000)
        self.cpu.append((time.process_time() - cpu) * 1000)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="dli-bench-") as folder, s3_server(Path(folder)) as place:
        keys = fill(place.store())
        print(f"## A store of {DATASETS:,} specs on a real S3 server, {datetime.now(UTC):%Y-%m-%d}\n")
        print(table(measured(calls(place, keys))))


def fill(store: Store) -> list[str]:
    """Write the specs, half by code and half by hand, each with its map of SQL files; return their keys."""
    keys = [
        f"{CODE_PREFIX if number % 2 else MANUAL_PREFIX}bench.dataset_{number:05d}.yaml"
        for number in range(DATASETS)
    ]

    def write(key: str) -> None:
        name = Path(key).stem
        yaml = f"name: {name}\ntype: Dataset\nowner: ann@example.com\nquery_file: query.sql\n"
        digest = sha256(yaml.encode()).hexdigest()
        files = f'{{"versions": {{"{digest}": {{"files": {{"query.sql": "{digest}"}}}}}}}}'
        store.put(file_map_key(key), files.encode(), expected=MISSING)
        store.put(key, yaml.encode(), expected=MISSING)

    with ThreadPoolExecutor(READERS) as writers:
        list(writers.map(write, keys))
    return keys


def calls(place: S3, keys: Sequence[str]) -> list[Call]:
    """Return what is measured: each way of asking, after the library's own."""
    store, client = place.store(), place.client()
    reader = CatalogReader(store, MemorySpecCache())
    prefixes = (CODE_PREFIX, MANUAL_PREFIX)

    def bare_list() -> int:
        return sum(
            len(page)
            for prefix in prefixes
            for page in obstore.list(client, prefix=prefix, chunk_size=PAGE_KEYS)
        )

    def bare_get() -> int:
        with ThreadPoolExecutor(READERS) as readers:
            return len(list(readers.map(lambda key: bytes(obstore.get(client, key).bytes()), keys)))

    return [
        Call("obstore.list, all pages", bare_list, "obstore.list, all pages"),
        Call(
            "store.list", lambda: sum(len(list(store.list(p))) for p in prefixes), "obstore.list, all pages"
        ),
        Call("CatalogReader.listing", lambda: len(reader.listing().objects), "obstore.list, all pages"),
        Call(f"obstore.get, {READERS} threads", bare_get, f"obstore.get, {READERS} threads"),
        Call("store.get_many", lambda: len(store.get_many(keys)), f"obstore.get, {READERS} threads"),
    ]


def measured(calls: list[Call]) -> list[Call]:
    """Run the calls in turn, round by round, so that a drift of the machine's speed meets all of them."""
    for number in range(ROUNDS + 1):
        for call in calls:
            if number < (ROUNDS + 1 if "list" in call.name else 4):
                call.measure()
    for call in calls:  # the first round warms up
        del call.wall[0], call.cpu[0]
    return calls


def table(calls: Sequence[Call]) -> str:
    """Return the medians as a Markdown table; a ratio is the median of those of each round."""
    by_name = {call.name: call for call in calls}
    lines = [
        "| call | objects | CPU, ms | wall, ms | wall, times the library's | runs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for call in calls:
        ratios = [ours / bare for ours, bare in zip(call.wall, by_name[call.beside].wall, strict=True)]
        cpu, wall, ratio = (statistics.median(of) for of in (call.cpu, call.wall, ratios))
        lines.append(
            f"| {call.name} | {call.counted:,} | {cpu:.0f} | {wall:.0f} | {ratio:.2f} | {len(call.wall)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
