"""Refreshes a DAG bundle in Airflow's environment, each time that it is told to on its standard input.

It answers each line with one of JSON: what that cost. Its arguments are the store's
address and the settings of obstore's own client for the same place, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from counting import CountingStore, bare_list
from obstore.store import S3Store

from dataspec.catalog.cache import DiskSpecCache
from dataspec.catalog.reader import CatalogReader
from dataspec.store import open_store
from dli_airflow.bundle import SHARDS, DatasetBundle
from dli_airflow.mirror.store_mirror import StoreMirror


class CountedMirror(StoreMirror):
    """What the bundle refreshes, on a store that counts what is read of it."""

    def __init__(self, folder: Path, store: CountingStore) -> None:
        super().__init__(folder, store_url=store.url, shards=SHARDS, base_url=None)
        self._reader = CatalogReader(store, DiskSpecCache(folder / "cache"))


def main() -> None:
    """Measure what is asked for, until the input ends."""
    store = CountingStore(open_store(sys.argv[1]))
    client = S3Store(**json.loads(sys.argv[2]))
    mirror = CountedMirror(DatasetBundle(name="datasets", store_url=store.url).base_dir, store)
    actions: dict[str, Callable[[], object]] = {"list": lambda: bare_list(client), "refresh": mirror.refresh}
    for line in sys.stdin:
        print("cost", json.dumps(asdict(store.cost_of(actions[line.strip()]))), flush=True)


if __name__ == "__main__":
    main()
