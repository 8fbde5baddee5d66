"""The catalog of the store, cached for some seconds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.datasets.catalog_cache import CatalogCache
from basecamp.server.wiring import build_services
from basecamp.shared.clock import ManualClock
from basecamp.shared.waiting import run_through
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.ledger import LEDGER_KEY
from dataspec.catalog.reader import CatalogReader
from dataspec.store import MemoryStore, ObjectInfo, StoredObject
from dataspec.store.base import MISSING
from unit.dataspec.specs import spec_text


@dataclass
class SlowStore(MemoryStore):
    """A store whose listings take time by the clock; it counts them, and how often it sent the ledger."""

    clock: ManualClock
    seconds: float = 0.0
    listed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ledgers_sent: int = 0

    def __post_init__(self) -> None:
        super().__init__(now=self.clock.now)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix == "code/":
            self.clock.advance(self.seconds)
            self.listed.release()
        return super().list(prefix)

    def get(self, key: str, *, known: StoredObject | None = None) -> StoredObject | None:
        stored = super().get(key, known=known)
        self.ledgers_sent += key == LEDGER_KEY and stored is not None and stored is not known
        return stored


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2024, 1, 15, tzinfo=UTC))


@pytest.fixture
def store(clock: ManualClock) -> SlowStore:
    store = SlowStore(clock)
    store.put("code/a.yaml", spec_text("a").encode(), expected=MISSING)
    return store


@pytest.fixture
def specs(store: SlowStore, clock: ManualClock) -> CatalogCache:
    return CatalogCache(CatalogReader(store, MemorySpecCache()), clock)


def names(specs: CatalogCache) -> set[str]:
    return set(specs.known().value.effective)


def listings(store: SlowStore) -> int:
    """Count the listings since the last time this was asked."""
    count = 0
    while store.listed.acquire(blocking=False):
        count += 1
    return count


@pytest.mark.rule("18.5")
def test_a_store_that_lists_quickly_is_listed_again_after_two_seconds(
    specs: CatalogCache, store: SlowStore, clock: ManualClock
) -> None:
    assert names(specs) == {"a"}
    store.put("code/b.yaml", spec_text("b").encode(), expected=MISSING)
    clock.advance(1.9)
    assert names(specs) == {"a"}
    clock.advance(0.2)
    assert names(specs) == {"a", "b"}
    assert listings(store) == 2


def test_a_store_that_lists_slowly_is_listed_again_after_ten_times_as_long(
    specs: CatalogCache, store: SlowStore, clock: ManualClock
) -> None:
    store.seconds = 1.0
    assert names(specs) == {"a"}
    clock.advance(3.9)
    assert names(specs) == {"a"}
    assert listings(store) == 1
    clock.advance(5.2)
    assert names(specs) == {"a"}
    assert listings(store) == 1


@pytest.mark.rule("18.5")
def test_no_catalog_is_shown_that_is_older_than_half_a_minute(
    specs: CatalogCache, store: SlowStore, clock: ManualClock
) -> None:
    store.seconds = 8.0
    names(specs)
    store.put("code/b.yaml", spec_text("b").encode(), expected=MISSING)
    clock.advance(22.1)
    assert names(specs) == {"a", "b"}


def test_past_half_of_its_time_a_catalog_is_read_in_the_background(
    specs: CatalogCache, store: SlowStore, clock: ManualClock
) -> None:
    store.seconds = 1.0
    names(specs)
    store.put("code/b.yaml", spec_text("b").encode(), expected=MISSING)
    clock.advance(4.5)
    listings(store)
    assert names(specs) == {"a"}
    assert store.listed.acquire(timeout=120)
    assert set(specs.catalog(fresh=True).effective) == {"a", "b"}


@pytest.mark.rule("18.5")
def test_a_fresh_catalog_is_read_however_young_the_last_one_is(specs: CatalogCache, store: SlowStore) -> None:
    store.seconds = 1.0
    names(specs)
    store.put("code/b.yaml", spec_text("b").encode(), expected=MISSING)
    assert set(specs.catalog(fresh=True).effective) == {"a", "b"}


def test_the_ledger_that_a_check_wrote_is_not_sent_back_to_it(store: SlowStore, clock: ManualClock) -> None:
    checks = build_services(store, MemoryAirflow(now=clock.now), clock).check
    assert [event.change for event in run_through(checks.sync(), clock).changes] == ["added"]
    assert run_through(checks.sync(), clock).changes == []
    assert store.ledgers_sent == 0


def test_a_ledger_that_another_replica_wrote_is_read(store: SlowStore, clock: ManualClock) -> None:
    one, other = (build_services(store, MemoryAirflow(now=clock.now), clock).check for _ in range(2))
    run_through(one.sync(), clock)
    store.put("code/b.yaml", spec_text("b").encode(), expected=MISSING)
    assert [event.dataset_name for event in run_through(other.sync(), clock).changes] == ["b"]
    assert run_through(one.sync(), clock).changes == []
    assert store.ledgers_sent == 2
