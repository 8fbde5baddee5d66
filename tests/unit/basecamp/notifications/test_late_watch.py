"""Late partitions, slow runs and a lost scheduler: told once, whatever does not run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from httpx import Client

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.lateness.records import KEY, LatenessDocument
from basecamp.notifications.outbox import PREFIX, OutboxEntry
from basecamp.notifications.settings import NotificationSettings
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.contract import built_variable
from dataspec.schedule.built import Built
from dataspec.schedule.partitions import Grid
from dataspec.store import MemoryStore

DAILY = "sales.daily"
GRID = Grid("0 9 * * *", "Asia/Seoul")
DEADLINE = """  timezone: Asia/Seoul
deadline: {by: "10:00", max_duration_seconds: 60}
notifications:
  on_late: [{type: slack, channel: "#late"}]
  on_recovered: [{type: slack, channel: "#late"}]
"""
WITH_DEADLINE = {"  timezone: Asia/Seoul\n": DEADLINE}

Register = Callable[..., Any]


def titles(store: MemoryStore) -> list[str]:
    found = store.get_many(info.key for info in store.list(PREFIX)).values()
    entries = sorted(map(OutboxEntry.read, found), key=lambda entry: entry.notification.created_at)
    return [entry.notification.title for entry in entries]


def lines(store: MemoryStore) -> list[str]:
    found = store.get_many(info.key for info in store.list(PREFIX)).values()
    return [line for stored in found for line in OutboxEntry.read(stored).notification.lines]


def go_to(clock: ManualClock, text: str) -> None:
    clock.advance((datetime.fromisoformat(text) - clock.now()).total_seconds())


def set_built(airflow: MemoryAirflow, clock: ManualClock, *names: str) -> None:
    value = Built(complete=True)
    for name in names:
        value = value.with_partition(GRID.named(name), at=clock.now(), grid=GRID)
    airflow.stored_variables[built_variable(DAILY)] = value.text()


@pytest.fixture
def look(services: Services) -> Callable[[], object]:
    return services.late_watch.loop.call


@pytest.fixture
def expected(register: Register, look: Callable[[], object]) -> None:
    """A dataset that is due every day at 09:00 in Seoul, with a deadline at 10:00; nothing of it is built."""
    register(replace=WITH_DEADLINE)
    look()


@pytest.mark.rule("38.7")
@pytest.mark.usefixtures("expected")
def test_late_partition_is_told_once_though_nothing_runs(
    store: MemoryStore, clock: ManualClock, look: Callable[[], object]
) -> None:
    go_to(clock, "2024-01-16T00:59:59+00:00")
    look()
    assert titles(store) == []
    go_to(clock, "2024-01-16T01:00:01+00:00")
    for _ in range(3):
        look()
        clock.advance(10)
    assert titles(store) == ["sales.daily is late: 2024-01-15"]
    assert "State: due" in lines(store)
    go_to(clock, "2024-01-17T01:00:01+00:00")
    look()
    assert titles(store)[1:] == ["sales.daily is late: 2 partitions since 2024-01-15"]


@pytest.mark.rule("38.7")
@pytest.mark.usefixtures("expected")
def test_built_partition_is_not_told(
    store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, look: Callable[[], object]
) -> None:
    set_built(airflow, clock, "2024-01-15")
    go_to(clock, "2024-01-16T02:00:00+00:00")
    look()
    assert titles(store) == []


@pytest.mark.rule("38.8")
@pytest.mark.usefixtures("expected")
def test_replica_that_takes_over_tells_nothing_again(
    store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, look: Callable[[], object]
) -> None:
    """Neither after what was told was lost, nor once the message is out of the outbox."""
    other = build_services(store, airflow, clock).late_watch
    go_to(clock, "2024-01-16T01:00:01+00:00")
    look()
    assert other.look() > 0
    assert len(titles(store)) == 1
    clock.advance(40)
    other.look()
    clock.advance(40)
    other.look()
    assert len(titles(store)) == 1
    (info,) = store.list(PREFIX)
    store.delete(info.key, expected=info.etag)
    clock.advance(40)
    other.look()
    assert titles(store) == []


@pytest.mark.rule("38.8")
@pytest.mark.usefixtures("expected")
def test_crash_before_what_was_told_is_stored_repeats_no_message(
    store: MemoryStore, clock: ManualClock, look: Callable[[], object]
) -> None:
    before = store.get(KEY)
    assert before is not None
    go_to(clock, "2024-01-16T01:00:01+00:00")
    look()
    now = store.get(KEY)
    assert now is not None
    store.put(KEY, before.body, expected=now.etag)
    clock.advance(10)
    look()
    assert len(titles(store)) == 1


@pytest.mark.rule("38.7")
@pytest.mark.usefixtures("expected")
def test_paused_dataset_is_not_late_and_its_time_begins_at_the_end_of_the_pause(
    store: MemoryStore, client: Client, clock: ManualClock, look: Callable[[], object]
) -> None:
    client.post(f"/workflows/{DAILY}/pause", json={"reason": "moving"})
    go_to(clock, "2024-01-16T03:00:00+00:00")
    look()
    client.post(f"/workflows/{DAILY}/unpause")
    clock.advance(60)
    look()
    assert titles(store) == []
    go_to(clock, "2024-01-17T00:30:00+00:00")
    look()
    assert titles(store) == []
    go_to(clock, "2024-01-17T01:00:01+00:00")
    look()
    assert titles(store) == ["sales.daily is late: 2 partitions since 2024-01-15"]


@pytest.mark.rule("38.9")
@pytest.mark.usefixtures("expected")
def test_without_airflow_what_was_known_last_counts_and_is_marked(
    store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, look: Callable[[], object]
) -> None:
    clock.advance(60)
    look()
    airflow.down = "connection refused"
    go_to(clock, "2024-01-16T01:00:01+00:00")
    look()
    assert titles(store) == ["sales.daily is late: 2024-01-15"]
    assert any(line.startswith("As last known: Airflow") for line in lines(store))


@pytest.mark.rule("38.10")
@pytest.mark.usefixtures("expected")
def test_first_success_after_lateness_is_told_once(
    services: Services,
    store: MemoryStore,
    clock: ManualClock,
    look: Callable[[], object],
    start: Callable[..., str],
    execute: Callable[..., None],
) -> None:
    services.run_watch.poll()
    go_to(clock, "2024-01-16T01:00:01+00:00")
    look()
    for _ in range(2):
        run_id = start(execution_date="2024-01-15")
        clock.advance(5)
        execute(run_id, "success")
        services.run_watch.poll()
    assert titles(store)[1:] == ["sales.daily has recovered"]


@pytest.mark.rule("38.12")
@pytest.mark.usefixtures("expected")
def test_slow_run_is_told_once_for_an_attempt(
    store: MemoryStore,
    clock: ManualClock,
    look: Callable[[], object],
    start: Callable[..., str],
    execute: Callable[..., None],
) -> None:
    run_id = start()
    clock.advance(600)  # it waits for a worker, which does not count
    execute(run_id)
    clock.advance(59)
    look()
    assert titles(store) == []
    for _ in range(3):
        clock.advance(10)
        look()
    assert titles(store) == [f"sales.daily is slow: {run_id}"]


@pytest.mark.rule("38.13")
def test_lost_scheduler_is_told_to_the_servers_own_channel(
    store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    alerts = json.dumps([{"type": "slack", "channel": "#ops"}])
    settings = NotificationSettings.from_environment({"BASECAMP_ALERTS": alerts})
    watch = build_services(store, airflow, clock, notifications=settings).late_watch
    watch.look()
    airflow.scheduler_lost_at = clock.now()
    clock.advance(60)
    watch.look()
    assert titles(store) == []
    for _ in range(3):
        clock.advance(5)
        watch.look()
    assert titles(store) == ["Airflow's scheduler is lost"]
    airflow.scheduler_lost_at = None
    for _ in range(3):
        clock.advance(5)
        watch.look()
    assert titles(store)[1:] == ["Airflow's scheduler is back"]


@pytest.mark.usefixtures("expected")
def test_damaged_record_of_what_was_told_is_put_aside(
    store: MemoryStore, clock: ManualClock, look: Callable[[], object]
) -> None:
    stored = store.get(KEY)
    assert stored is not None
    store.put(KEY, b"{", expected=stored.etag)
    clock.advance(60)
    look()
    found = store.get(KEY)
    assert found is not None
    assert LatenessDocument.read(found).datasets.keys() == {DAILY}


def test_change_of_the_deadline_begins_a_new_time(
    register: Register, store: MemoryStore, clock: ManualClock, look: Callable[[], object]
) -> None:
    """A deadline that is added today says nothing of the past, and one that is moved counts anew."""
    register()
    go_to(clock, "2024-01-18T03:00:00+00:00")
    register(replace=WITH_DEADLINE)
    look()
    clock.advance(timedelta(hours=1).total_seconds())
    look()
    assert titles(store) == []
    go_to(clock, "2024-01-19T01:00:01+00:00")
    look()
    assert titles(store) == ["sales.daily is late: 2 partitions since 2024-01-17"]


@pytest.mark.rule("38.17")
@pytest.mark.usefixtures("expected")
def test_list_shows_what_is_late_until_it_is_built(
    client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    go_to(clock, "2024-01-17T01:00:01+00:00")
    (row,) = client.get("/workflows", params={"late": True}).json()["items"]
    assert row["late"] == {
        "partition": "2024-01-15",
        "partition_label": "2024-01-15",
        "since": "2024-01-16T01:00:00Z",
        "partitions": 2,
    }
    assert client.get(f"/workflows/{DAILY}").json()["late"] == row["late"]
    set_built(airflow, clock, "2024-01-15", "2024-01-16")
    clock.advance(20)
    assert client.get("/workflows", params={"late": True}).json()["items"] == []
