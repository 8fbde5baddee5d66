"""Measure the store on a real S3 server, beside the library that it is built on, asked for the same.

`make bench` runs it. It prints Markdown; ``docs/benchmarks.md`` keeps a run with its date.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import obstore
from bucket import DATASETS, filled, key_of
from calls import Call, Cost, measure, table
from commands import machine
from counting import PREFIXES, CountingStore, bare_list

from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.reader import CatalogReader
from dataspec.store.bucket import READERS
from s3 import S3

LIST = "obstore.list, all pages"
GET = f"obstore.get, {READERS} threads"
LISTINGS, READS = 7, 3


def main() -> None:
    """Measure and print."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    with filled() as place:
        lists, reads = calls(place)
        measure(lists, LISTINGS)
        measure(reads, READS)
        print(f"## The store: {DATASETS:,} specs in {bare_list(place.client()):,} keys\n")
        print(table([*lists, *reads], times="wall, times the library's"))


def calls(place: S3) -> tuple[list[Call], list[Call]]:
    """Return what is measured: each way of listing, and of reading, after the library's own."""
    store, client = CountingStore(place.store()), place.client()
    reader = CatalogReader(store, MemorySpecCache())
    keys = [key_of(number) for number in range(DATASETS)]

    def bare_get() -> None:
        with ThreadPoolExecutor(READERS) as readers:
            list(readers.map(lambda key: bytes(obstore.get(client, key).bytes()), keys))

    def call(name: str, run: Callable[[], object], beside: str) -> Call:
        def cost() -> Cost:
            return store.cost_of(run)

        return Call(name, cost, beside)

    return [
        call(LIST, lambda: bare_list(client), LIST),
        call("store.list", lambda: [list(store.list(prefix)) for prefix in PREFIXES], LIST),
        call("CatalogReader.listing", reader.listing, LIST),
    ], [
        call(GET, bare_get, GET),
        call("store.get_many", lambda: store.get_many(keys), GET),
    ]


if __name__ == "__main__":
    main()
