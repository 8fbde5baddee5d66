"""A damaged ledger is made anew, and costs no broken file its last good version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.shared.waiting import run_through
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.ledger import LEDGER_KEY, VERSIONS_PREFIX, ArchivedVersion
from dataspec.catalog.reader import CatalogReader
from dataspec.store import MemoryStore

Publish = Callable[..., None]
NAME = "sales.daily"


def write(store: MemoryStore, key: str, body: bytes) -> None:
    stored = store.get(key)
    assert stored is not None
    store.put(key, body, expected=stored.etag)


def runs_now(store: MemoryStore) -> dict[str, str | None]:
    """Return the versions that a machine runs that has never seen the store, by dataset."""
    catalog = CatalogReader(store, MemorySpecCache()).read()
    return {name: file.spec_hash for name, file in catalog.effective.items()}


@pytest.mark.rule("6.9")
@pytest.mark.parametrize(
    "broken", [b"name: sales.daily\ntype: Dataset\n", b"type: Dataset\nname: [", b"type: Dataset\nname: \xff"]
)
@pytest.mark.parametrize("damage", [b"", b"{", b"null", b'{"format": 1, "datasets": 3}'])
@pytest.mark.parametrize("replica", ["that knows it", "new"])
def test_broken_file_keeps_its_last_good_version_when_the_ledger_is_damaged(
    replica: str,
    damage: bytes,
    broken: bytes,
    services: Services,
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    publish: Publish,
) -> None:
    publish()
    run_through(services.check.sync(), services.work.clock)
    good = runs_now(store)
    write(store, f"code/{NAME}.yaml", broken)
    run_through(services.check.sync(), services.work.clock)
    assert runs_now(store) == good
    write(store, LEDGER_KEY, damage)
    repairing = services if replica == "that knows it" else build_services(store, airflow, clock)
    run_through(repairing.check.sync(), clock)
    assert runs_now(store) == good


@pytest.mark.rule("6.9")
def test_version_of_an_earlier_release_is_found_by_the_name_in_its_yaml(
    services: Services, store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, publish: Publish
) -> None:
    publish()
    run_through(services.check.sync(), services.work.clock)
    good = runs_now(store)
    for info in list(store.list(VERSIONS_PREFIX)):
        stored = store.get(info.key)
        assert stored is not None
        write(store, info.key, ArchivedVersion.read(stored).changed(name=None, file=None).body())
    write(store, f"code/{NAME}.yaml", f"name: {NAME}\ntype: Dataset\n".encode())
    write(store, LEDGER_KEY, b"\x00")
    run_through(build_services(store, airflow, clock).check.sync(), clock)
    assert runs_now(store) == good


@pytest.mark.rule("6.9")
def test_damaged_entry_costs_no_other_entry(
    client: Client, services: Services, store: MemoryStore, airflow: Any, clock: ManualClock, register: Any
) -> None:
    register()
    register("sales.weekly")
    stored = store.get(LEDGER_KEY)
    assert stored is not None
    write(
        store,
        LEDGER_KEY,
        stored.body.replace(b'"sales.weekly":{"since":"2', b'"sales.weekly":{"since":"x', 1),
    )
    fresh = build_services(store, airflow, clock)
    before = fresh.registered_specs
    clock.advance(3600)
    run_through(fresh.check.sync(), clock)
    after = client.get(f"/datasets/{NAME}").json()
    assert before is not None
    assert after["name"] == NAME
    repaired = store.get(LEDGER_KEY)
    assert repaired is not None
    assert b'"sales.daily":{"since":"2024-01-15T09:30:45.123456Z"' in repaired.body
