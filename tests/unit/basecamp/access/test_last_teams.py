"""Removed datasets keep their last team, and so do their runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.principal import Role
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.sync.diff import REMOVED_KEPT, RETIREMENT
from dataspec.catalog.ledger import LEDGER_KEY, Ledger, LedgerEntry
from dataspec.store import MemoryStore
from unit.basecamp.api.sign_in import bearer, person, signing_in

TEAM = "@data-engineering"
PEOPLE = (person("vera", Role.VIEWER, TEAM), person("olga", Role.VIEWER, "@ops"), person("adam", Role.ADMIN))

Register = Callable[..., Response]


@pytest.fixture
def signed(client_of: Callable[[Any], Client], services: Services) -> Client:
    return client_of(create_app(services, credentials=signing_in(*PEOPLE)))


@pytest.fixture
def retire(client: Client, airflow: MemoryAirflow, clock: ManualClock) -> Callable[[], None]:
    """Let the check see that sales.daily was removed, and that its DAG may go."""

    def retire() -> None:
        client.post("/sync")
        clock.advance(RETIREMENT.total_seconds())
        client.post("/sync")
        airflow.unload("sales.daily")

    return retire


def ledger(store: MemoryStore) -> Ledger:
    stored = store.get(LEDGER_KEY)
    assert stored is not None
    return Ledger.read(stored)


def viewers(signed: Client, run_id: str) -> set[str]:
    """Return who sees a run."""
    paths = (f"/runs/{run_id}", f"/runs/{run_id}/logs")
    seen = [
        {one.name for one in PEOPLE if signed.get(path, headers=bearer(one.name)).is_success}
        for path in paths
    ]
    assert seen[0] == seen[1]
    return seen[0]


@pytest.fixture
def run_id(register: Register, start: Callable[..., str], airflow: MemoryAirflow) -> str:
    """An ended run of sales.daily."""
    register()
    run_id = start()
    for _attempt in range(2):
        airflow.start("sales.daily", run_id, source="manual", spec_hash="ab")
        airflow.end("sales.daily", run_id, "failed")
    return run_id


@pytest.mark.rule("26.83")
@pytest.mark.parametrize("long_ago", [False, True])
def test_the_runs_of_a_removed_dataset_are_seen_by_its_last_team_alone(
    client: Client, signed: Client, run_id: str, retire: Callable[[], None], *, long_ago: bool
) -> None:
    assert client.delete("/datasets/sales.daily").status_code == 200
    if long_ago:
        retire()
    assert viewers(signed, run_id) == {"vera", "adam"}


@pytest.mark.rule("26.83")
def test_the_ledger_keeps_the_team_of_a_removed_dataset_for_400_days(
    client: Client,
    store: MemoryStore,
    run_id: str,
    retire: Callable[[], None],
    clock: ManualClock,
    register: Register,
) -> None:
    assert run_id
    assert ledger(store).entries["sales.daily"].team == TEAM
    client.delete("/datasets/sales.daily")
    removed_at = clock.now()
    retire()
    assert "sales.daily" not in ledger(store).entries
    kept = ledger(store).removed["sales.daily"]
    assert (kept.team, kept.removed_at) == (TEAM, removed_at)
    clock.advance((REMOVED_KEPT - timedelta(days=1)).total_seconds())
    register("other.daily")
    assert set(ledger(store).removed) == {"sales.daily"}
    clock.advance(timedelta(days=1).total_seconds())
    register("third.daily")
    assert ledger(store).removed == {}


@pytest.mark.rule("26.83")
def test_a_name_that_appears_again_has_the_team_of_its_new_spec(
    client: Client,
    store: MemoryStore,
    signed: Client,
    run_id: str,
    retire: Callable[[], None],
    register: Register,
) -> None:
    client.delete("/datasets/sales.daily")
    retire()
    register(replace={TEAM: "@ops"})
    assert ledger(store).removed == {}
    assert ledger(store).entries["sales.daily"].team == "@ops"
    assert viewers(signed, run_id) == {"olga", "adam"}


@pytest.mark.rule("26.83")
def test_a_spec_that_is_broken_now_keeps_the_team_of_its_last_good_version(
    signed: Client, store: MemoryStore, run_id: str, clock: ManualClock
) -> None:
    stored = store.get("manual/sales.daily.yaml")
    assert stored is not None
    store.put(stored.key, stored.body.replace(b'"@data-engineering"', b"[not, a, team"), expected=stored.etag)
    clock.advance(60)
    assert viewers(signed, run_id) == {"vera", "adam"}


@pytest.mark.rule("26.83")
def test_a_ledger_of_an_earlier_version_gets_the_teams_with_the_next_check(
    client: Client, store: MemoryStore, services: Services, run_id: str, clock: ManualClock
) -> None:
    """Also of a dataset that was removed before the upgrade, while its entry stays."""
    assert run_id
    client.delete("/datasets/sales.daily")
    stored = store.get(LEDGER_KEY)
    assert stored is not None
    before = Ledger.read(stored)
    entries = {name: _without_team(entry) for name, entry in before.entries.items()}
    store.put(LEDGER_KEY, before.changed(entries=entries).body(), expected=stored.etag)
    client.post("/sync")
    assert ledger(store).entries["sales.daily"].team == TEAM


def _without_team(entry: LedgerEntry) -> LedgerEntry:
    return LedgerEntry.model_validate(entry.model_dump(exclude={"team"}))


@pytest.mark.rule("26.83")
def test_a_damaged_ledger_keeps_the_teams_of_removed_datasets(
    client: Client, store: MemoryStore, run_id: str, retire: Callable[[], None], signed: Client
) -> None:
    client.delete("/datasets/sales.daily")
    retire()
    stored = store.get(LEDGER_KEY)
    assert stored is not None
    damaged = stored.body.replace(b'"removed":{', b'"removed":{"broken":{"removed_at":7},', 1)
    assert damaged != stored.body
    salvaged = Ledger.salvaged(type(stored)(LEDGER_KEY, stored.etag, damaged))
    assert set(salvaged.removed) == {"sales.daily"}
    assert viewers(signed, run_id) == {"vera", "adam"}
