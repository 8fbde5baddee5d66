"""Refreshes a DAG bundle in Airflow's environment, each time that it is told to on its standard input.

It answers each line with one of JSON: what that cost. Its arguments are the store's
address and the settings of obstore's own client for the same place, as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from counting import CountingStore, bare_list
from obstore.store import S3Store

from dataspec.catalog_reader import CatalogReader
from dataspec.spec_cache import DiskSpecCache
from dataspec.store import open_store
from dli_airflow.bundle import DatasetBundle


class CountedBundle(DatasetBundle):
    """The bundle on a store that counts what is read of it."""

    def __init__(self, store: CountingStore) -> None:
        super().__init__(name="datasets", store_url=store.url)
        self._reader = CatalogReader(store, DiskSpecCache(self.base_dir / "cache"))


def main() -> None:
    """Measure what is asked for, until the input ends."""
    store = CountingStore(open_store(sys.argv[1]))
    client = S3Store(**json.loads(sys.argv[2]))
    bundle = CountedBundle(store)
    actions = {"list": lambda: bare_list(client), "refresh": bundle.refresh}
    for line in sys.stdin:
        print("cost", json.dumps(asdict(store.cost_of(actions[line.strip()]))), flush=True)


if __name__ == "__main__":
    main()
