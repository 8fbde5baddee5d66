"""The daily housekeeping: what it removes, and what stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from httpx import Client

from basecamp.access.logins import PREFIX as LOGINS_PREFIX
from basecamp.access.sessions.records import PREFIX as SESSIONS_PREFIX
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.backfills.plans import ENDED_PREFIX
from basecamp.monitoring.housekeeping import NEWEST_KEPT
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.catalog.ledger import LEDGER_KEY, VERSIONS_PREFIX
from dataspec.catalog.spec_storage import manual_key, read_release, write_release
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING, ObjectInfo

NAME = "sales.daily"
DAY = timedelta(days=1).total_seconds()


def keys(store: MemoryStore, prefix: str) -> list[str]:
    return [info.key for info in store.list(prefix)]


@pytest.fixture
def change(client: Client, register: Callable[..., Any], clock: ManualClock) -> Callable[[int], str]:
    """Register a version of the dataset; return its key in the archive."""

    def change(number: int) -> str:
        clock.advance(60)
        answer = register(replace={"default: 100": f"default: {number}"})
        return f"{VERSIONS_PREFIX}{answer.json()['spec_hash']}.json"

    return change


@pytest.mark.rule("18.22")
def test_old_versions_go_except_those_in_use_and_the_newest_of_each_dataset(
    services: Services, store: MemoryStore, clock: ManualClock, change: Callable[[int], str]
) -> None:
    first = [change(number) for number in range(5)]
    newest = [change(number) for number in range(100, 99 + NEWEST_KEPT)]
    clock.advance(399 * DAY)
    assert services.housekeeping.clean() == 0
    clock.advance(2 * DAY)
    used_again = change(0)
    assert used_again == first[0]
    services.housekeeping.clean()
    left = keys(store, VERSIONS_PREFIX)
    assert set(newest) | {used_again} == set(left)


@pytest.mark.rule("18.22")
def test_version_that_was_in_use_until_lately_stays(
    services: Services, store: MemoryStore, clock: ManualClock, change: Callable[[int], str]
) -> None:
    used_for_years = change(0)
    clock.advance(800 * DAY)
    for number in range(1, 2 * NEWEST_KEPT):
        change(number)
    services.housekeeping.clean()
    assert used_for_years in keys(store, VERSIONS_PREFIX)


@pytest.mark.rule("18.22")
def test_version_that_a_spec_has_again_stays_before_the_ledger_names_it(
    services: Services, store: MemoryStore, clock: ManualClock, change: Callable[[int], str]
) -> None:
    first = change(0)
    stored = read_release(store, manual_key(NAME), ["query.sql"])
    assert stored is not None
    for number in range(1, 2 * NEWEST_KEPT):
        change(number)
    clock.advance(401 * DAY)
    change(1)
    write_release(store, manual_key(NAME), stored.release)
    services.housekeeping.clean()
    assert first in keys(store, VERSIONS_PREFIX)


@pytest.mark.rule("18.22")
def test_ended_backfills_stay_for_400_days_and_the_newest_always(
    services: Services, store: MemoryStore, clock: ManualClock
) -> None:
    for number in range(NEWEST_KEPT + 3):
        store.put(f"{ENDED_PREFIX}{NAME}/{number:02}.json", b"{}", expected=MISSING)
        clock.advance(1)
    clock.advance(399 * DAY)
    assert services.housekeeping.clean() == 0
    clock.advance(2 * DAY)
    assert services.housekeeping.clean() == 3
    assert keys(store, ENDED_PREFIX)[0] == f"{ENDED_PREFIX}{NAME}/03.json"


@pytest.mark.rule("18.22")
@pytest.mark.parametrize(
    ("key", "days"),
    [
        ("basecamp/idempotency/20240101/a.json", 2),
        ("basecamp/quarantine/basecamp/ledger.json/a", 90),
        ("basecamp/probe-a", 1),
        (f"{SESSIONS_PREFIX}a.json", 1),
        (f"{LOGINS_PREFIX}a.json", 1),
    ],
)
def test_object_goes_when_its_time_is_over(
    key: str, days: int, services: Services, store: MemoryStore, clock: ManualClock
) -> None:
    store.put(key, b"{}", expected=MISSING)
    clock.advance(days * DAY - 1)
    services.housekeeping.clean()
    assert keys(store, key) == [key]
    clock.advance(2)
    services.housekeeping.clean()
    assert keys(store, key) == []


@pytest.mark.rule("18.22")
def test_what_was_written_again_since_it_was_listed_stays(
    services: Services, store: MemoryStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "basecamp/quarantine/basecamp/ledger.json/a"
    store.put(key, b"{}", expected=MISSING)
    clock.advance(91 * DAY)
    listed = list(store.list(key))

    def list_before(prefix: str) -> Iterator[ObjectInfo]:
        return iter(listed) if key.startswith(prefix) else MemoryStore.list(store, prefix)

    store.put(key, b'{"new": 1}', expected=listed[0].etag)
    monkeypatch.setattr(store, "list", list_before)
    services.housekeeping.clean()
    found = store.get(key)
    assert found is not None
    assert found.body == b'{"new": 1}'


@pytest.mark.rule("5.21")
def test_what_a_newer_version_wrote_stays_whatever_its_age(
    services: Services, store: MemoryStore, clock: ManualClock, change: Callable[[int], str]
) -> None:
    newer = b'{"format": 99}'
    kept = [f"{ENDED_PREFIX}{NAME}/00.json", "basecamp/idempotency/20240101/a.json"]
    for key in kept:
        store.put(key, newer, expected=MISSING)
    clock.advance(60)
    for number in range(1, NEWEST_KEPT + 2):
        store.put(f"{ENDED_PREFIX}{NAME}/{number:02}.json", b"{}", expected=MISSING)
    old = change(0)
    for number in range(1, NEWEST_KEPT + 2):
        change(number)
    clock.advance(401 * DAY)
    stored = store.get(old)
    assert stored is not None
    assert services.housekeeping.clean() == 5  # an ended backfill, and two versions with their records
    assert store.get(old) is None
    assert [found.body for key in kept if (found := store.get(key))] == [newer, newer]


@pytest.mark.rule("5.21")
def test_while_the_ledger_is_newer_no_version_goes(
    services: Services, store: MemoryStore, clock: ManualClock, change: Callable[[int], str]
) -> None:
    versions = [change(number) for number in range(NEWEST_KEPT + 2)]
    stored = store.get(LEDGER_KEY)
    assert stored is not None
    store.put(LEDGER_KEY, b'{"format": 99}', expected=stored.etag)
    clock.advance(401 * DAY)
    assert services.housekeeping.clean() == 0
    assert set(keys(store, VERSIONS_PREFIX)) == set(versions)


@pytest.mark.rule("18.22")
def test_one_replica_a_day_does_it(
    services: Services, store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    key = "basecamp/probe-a"
    store.put(key, b"{}", expected=MISSING)
    other = build_services(store, airflow, clock)
    clock.advance(DAY - 3600)
    services.housekeeping.turn()
    clock.advance(2 * 3600)  # its time is over
    other.housekeeping.turn()
    assert keys(store, key) == [key]
    clock.advance(DAY - 2 * 3600)
    other.housekeeping.turn()
    assert keys(store, key) == []


@pytest.mark.rule("26.76")
def test_the_audit_log_is_kept_400_days(
    services: Services, store: MemoryStore, clock: ManualClock, register: Callable[..., Any]
) -> None:
    """Also after the server was off for a year: days of earlier months are found by month."""
    register()
    written = keys(store, "basecamp/audit/")
    assert len(written) == 2
    clock.advance(399 * DAY)
    services.housekeeping.expire_audit_log()
    assert keys(store, "basecamp/audit/") == written
    for days in (2, 365):
        clock.advance(days * DAY)
        register()
    services.housekeeping.expire_audit_log()
    assert [key[15:22] for key in keys(store, "basecamp/audit/")] == [
        "2025/02",
        "2025/02",
        "2026/02",
        "2026/02",
    ]
