"""A damaged ledger is made anew, and costs no broken file its last good version."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.shared.waiting import run_through
from dataspec.catalog.cache import MemorySpecCache
from dataspec.catalog.ledger import LEDGER_KEY, VERSIONS_PREFIX, ArchivedVersion, version_key
from dataspec.catalog.reader import CatalogReader
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

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


def entries(store: MemoryStore) -> dict[str, Any]:
    stored = store.get(LEDGER_KEY)
    assert stored is not None
    found: dict[str, Any] = json.loads(stored.body)["datasets"]
    return found


def count_switches(store: MemoryStore, name: str, count: int) -> None:
    """Let a dataset have switched its source before: the ledger alone has that number."""
    stored = store.get(LEDGER_KEY)
    assert stored is not None
    ledger = json.loads(stored.body)
    ledger["datasets"][name]["switches"] = count
    write(store, LEDGER_KEY, json.dumps(ledger).encode())


@pytest.mark.rule("6.9")
def test_damaged_entry_costs_no_other_entry(
    store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, register: Any
) -> None:
    register()
    register("sales.weekly")
    count_switches(store, NAME, 7)
    stored = store.get(LEDGER_KEY)
    assert stored is not None
    write(
        store,
        LEDGER_KEY,
        stored.body.replace(b'"sales.weekly": {"since": "2', b'"sales.weekly": {"since": "x'),
    )
    run_through(build_services(store, airflow, clock).check.sync(), clock)
    assert {name: entry["switches"] for name, entry in entries(store).items()} == {NAME: 7, "sales.weekly": 0}


@pytest.mark.rule("6.9")
def test_a_replica_that_knows_a_ledger_restores_it_when_nothing_of_it_can_be_read(
    services: Services, store: MemoryStore, clock: ManualClock, register: Any
) -> None:
    register()
    count_switches(store, NAME, 7)
    run_through(services.check.sync(), clock)
    write(store, LEDGER_KEY, b"")
    run_through(services.check.sync(), clock)
    assert entries(store)[NAME]["switches"] == 7


@pytest.mark.rule("5.21")
def test_a_reader_goes_by_the_ledger_that_it_knows_while_a_newer_one_is_there(
    services: Services, store: MemoryStore, clock: ManualClock, publish: Publish
) -> None:
    publish()
    run_through(services.check.sync(), clock)
    reader = CatalogReader(store, MemorySpecCache())
    assert NAME in reader.read().effective
    stored, file = store.get(LEDGER_KEY), store.get(f"code/{NAME}.yaml")
    assert stored is not None
    assert file is not None
    write(store, LEDGER_KEY, json.dumps({**json.loads(stored.body), "format": 99}).encode())
    store.delete(file.key, expected=file.etag)
    assert list(reader.read().retired) == [NAME]  # its last runs may go on


@pytest.mark.rule("6.9")
def test_a_version_that_can_not_be_used_is_passed_over(
    services: Services, store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, publish: Publish
) -> None:
    publish()
    run_through(services.check.sync(), clock)
    good = runs_now(store)
    clock.advance(60)
    yaml = f"name: {NAME}\ntype: Dataset\nunknown: 1\n"
    later = ArchivedVersion(yaml=yaml, files={}, name=NAME, file=f"code/{NAME}.yaml")
    store.put(version_key(later.release.spec_hash), later.body(), expected=MISSING)
    write(store, f"code/{NAME}.yaml", b"type: Dataset\nname: [")
    write(store, LEDGER_KEY, b"")
    run_through(build_services(store, airflow, clock).check.sync(), clock)
    assert runs_now(store) == good


@pytest.mark.rule("6.9")
def test_a_version_of_the_file_comes_before_one_of_another_file_with_its_name(
    services: Services, store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, publish: Publish
) -> None:
    publish()
    run_through(services.check.sync(), clock)
    good = runs_now(store)
    stored = store.get(version_key(good[NAME] or ""))
    assert stored is not None
    clock.advance(60)
    found = ArchivedVersion.read(stored)
    later = found.changed(yaml=found.yaml + "# later\n", file=f"manual/{NAME}.yaml")
    store.put(version_key(later.release.spec_hash), later.body(), expected=MISSING)
    write(store, f"code/{NAME}.yaml", b"type: Dataset\nname: [")
    write(store, LEDGER_KEY, b"")
    run_through(build_services(store, airflow, clock).check.sync(), clock)
    assert runs_now(store) == good
