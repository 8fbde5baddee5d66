"""Runs that end: told once, whatever was down meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest
from httpx import Client

from basecamp.airflow.models import LogEvent
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.notifications.outbox import PREFIX, OutboxEntry
from basecamp.notifications.run_watch import KEY, LOOK_BACK, WatchPosition
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.models import CheckResult
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

TOLD = """  timezone: Asia/Seoul
  notifications:
    on_failure: [{type: slack, channel: "#failures"}]
    on_success: [{type: slack, channel: "#successes"}]
"""
WITH_CHANNELS = {"  timezone: Asia/Seoul\n": TOLD}

Register = Callable[..., Any]
Start = Callable[..., str]
Execute = Callable[..., None]


def entries(store: MemoryStore) -> list[OutboxEntry]:
    found = store.get_many(info.key for info in store.list(PREFIX)).values()
    read = [entry for stored in found if (entry := OutboxEntry.read(stored))]
    return sorted(read, key=lambda entry: entry.notification.created_at)


def titles(store: MemoryStore) -> list[str]:
    return [entry.notification.title for entry in entries(store)]


@pytest.fixture
def poll(services: Services) -> Callable[[], object]:
    return services.run_watch.loop.call


@pytest.fixture
def watched(register: Register, poll: Callable[[], object], clock: ManualClock) -> None:
    """A dataset with channels, and a watch that has begun."""
    register(replace=WITH_CHANNELS)
    poll()
    clock.advance(1)


@pytest.mark.rule("25.12")
@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(
    ("has_started", "reason"),
    [
        (True, "Error: The log of attempt 1 ends without an error: its worker was killed or lost"),
        (False, "Error: No attempt has started: "),
    ],
)
def test_a_failure_without_an_error_in_its_log_says_why(
    airflow: MemoryAirflow,
    store: MemoryStore,
    start: Start,
    execute: Execute,
    poll: Callable[[], object],
    has_started: bool,
    reason: str,
) -> None:
    """A worker that is killed writes no error; the message must not end without one."""
    run_id = start()
    if has_started:
        execute(run_id)
        airflow.log_event("sales.daily", run_id, LogEvent(message="query statement 'query':"))
    airflow.set_run_state("sales.daily", run_id, "failed", note="")
    poll()
    (entry,) = entries(store)
    assert any(line.startswith(reason) for line in entry.notification.lines)


@pytest.mark.rule("25.6")
@pytest.mark.usefixtures("watched")
def test_a_failed_run_is_told_with_its_error_and_a_completed_one_as_well(
    airflow: MemoryAirflow,
    store: MemoryStore,
    clock: ManualClock,
    start: Start,
    execute: Execute,
    poll: Callable[[], object],
) -> None:
    failed, completed = start(), start()
    execute(failed, "failed")
    execute(failed)
    airflow.log_event("sales.daily", failed, LogEvent(message="x", error="CatalogException: no clicks"))
    airflow.end("sales.daily", failed, "failed")
    poll()
    clock.advance(1)
    execute(completed, "success")
    poll()
    first, second = entries(store)
    assert (first.notification.title, first.notification.target.model_dump()["channel"]) == (
        "sales.daily failed",
        "#failures",
    )
    assert "Error: CatalogException: no clicks" in first.notification.lines
    assert first.notification.lines[1].startswith("Source: manual, spec ")
    assert second.notification.title == "sales.daily completed"


@pytest.mark.usefixtures("watched")
def test_a_run_of_another_dag_is_told_as_a_failure_however_it_ended(
    airflow: MemoryAirflow, store: MemoryStore, start: Start, clock: ManualClock, poll: Callable[[], object]
) -> None:
    run_id = start()
    airflow.start_other("sales.daily", run_id)
    clock.advance(1)
    airflow.end("sales.daily", run_id, "success")
    poll()
    [entry] = entries(store)
    assert entry.notification.target.model_dump()["channel"] == "#failures"
    assert "ran the code of another DAG" in "\n".join(entry.notification.lines)


@pytest.mark.rule("37.19")
@pytest.mark.usefixtures("watched")
def test_a_message_counts_the_checks_of_the_run_and_names_those_that_did_not_pass(
    airflow: MemoryAirflow, store: MemoryStore, start: Start, execute: Execute, poll: Callable[[], object]
) -> None:
    run_id = start()
    execute(run_id, "failed")
    execute(run_id)
    outcomes: dict[str, Literal["passed", "failed", "warned"]]
    outcomes = {"unique_id": "passed", "not_null_id": "failed", "row_count": "warned"}
    airflow.note_checks(
        "sales.daily",
        run_id,
        [
            CheckResult(name=name, severity="error", status=status, rows=0)
            for name, status in outcomes.items()
        ],
    )
    airflow.end("sales.daily", run_id, "failed")
    poll()
    (entry,) = entries(store)
    assert "Checks: 1 passed, 1 failed (not_null_id), 1 warned (row_count)" in entry.notification.lines
    found = entry.notification.data["run"]["checks"]
    assert [(one["name"], one["status"]) for one in found] == [*outcomes.items()]


@pytest.mark.rule("25.6")
@pytest.mark.usefixtures("watched")
def test_a_run_of_a_dataset_that_came_after_this_replicas_last_listing_is_told(
    register: Register,
    airflow: MemoryAirflow,
    store: MemoryStore,
    clock: ManualClock,
    start: Start,
    execute: Execute,
) -> None:
    other = build_services(store, airflow, clock).run_watch
    other.poll()
    register(name="sales.hourly", replace=WITH_CHANNELS)
    execute(start(name="sales.hourly"), "success", name="sales.hourly")
    other.poll()
    assert titles(store) == ["sales.hourly completed"]


@pytest.mark.rule("25.6")
def test_the_watch_goes_on_where_the_first_channel_came_after_this_replicas_last_listing(
    register: Register,
    airflow: MemoryAirflow,
    store: MemoryStore,
    clock: ManualClock,
    poll: Callable[[], object],
) -> None:
    other = build_services(store, airflow, clock)
    other.workflows.page()
    register(replace=WITH_CHANNELS)
    poll()
    other.run_watch.poll()
    assert store.get(KEY) is not None


@pytest.mark.rule("25.6")
@pytest.mark.usefixtures("watched")
def test_a_run_is_told_once_by_however_many_replicas_and_looks(
    airflow: MemoryAirflow,
    store: MemoryStore,
    clock: ManualClock,
    start: Start,
    execute: Execute,
    poll: Callable[[], object],
) -> None:
    execute(start(), "success")
    others = [build_services(store, airflow, clock).run_watch for _ in range(2)]
    for _ in range(3):
        poll()
        for other in others:
            other.poll()
        clock.advance(10)
    assert titles(store) == ["sales.daily completed"]


@pytest.mark.usefixtures("watched")
def test_a_retry_within_the_attempts_is_no_end(
    store: MemoryStore, start: Start, execute: Execute, poll: Callable[[], object]
) -> None:
    execute(start(), "failed")
    poll()
    assert titles(store) == []


@pytest.mark.rule("25.6")
@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(("state", "told"), [("success", "completed"), ("failed", "failed")])
def test_a_stopped_run_that_is_retried_is_told_again_as_it_then_ends(
    client: Client,
    store: MemoryStore,
    clock: ManualClock,
    start: Start,
    execute: Execute,
    poll: Callable[[], object],
    state: str,
    told: str,
) -> None:
    run_id = start()
    execute(run_id)
    client.post(f"/runs/{run_id}/stop")
    poll()
    clock.advance(5)
    assert client.post(f"/runs/{run_id}/retry").status_code == 200
    poll()
    for _ in range(1 if state == "success" else 2):
        execute(run_id, state)
    clock.advance(5)
    for _ in range(2):
        poll()
    assert titles(store) == ["sales.daily was stopped", f"sales.daily {told}"]


@pytest.mark.rule("25.6")
@pytest.mark.usefixtures("watched")
def test_a_stopped_run_is_told_as_stopped(
    client: Client, store: MemoryStore, start: Start, execute: Execute, poll: Callable[[], object]
) -> None:
    run_id = start()
    execute(run_id)
    stopped = client.post(f"/runs/{run_id}/stop", headers={"Dli-User": "kim"}, json={"reason": "wrong date"})
    assert stopped.status_code == 200
    poll()
    (entry,) = entries(store)
    assert entry.notification.title == "sales.daily was stopped"
    assert any("Stopped by kim" in line and "wrong date" in line for line in entry.notification.lines)


@pytest.mark.rule("25.6")
@pytest.mark.usefixtures("watched")
def test_what_ended_while_airflow_was_down_for_an_hour_is_all_told_after(
    airflow: MemoryAirflow,
    store: MemoryStore,
    clock: ManualClock,
    start: Start,
    execute: Execute,
    poll: Callable[[], object],
) -> None:
    runs = [start() for _ in range(5)]
    for run_id in runs:
        execute(run_id, "success")
        clock.advance(600)
    airflow.down = "connection refused"
    poll()
    clock.advance(600)
    poll()
    airflow.down = None
    poll()
    assert sorted(entry.notification.data["run"]["run_id"] for entry in entries(store)) == sorted(runs)


@pytest.mark.usefixtures("watched")
def test_a_run_that_airflow_shows_later_than_one_that_ended_after_it_is_told(
    airflow: MemoryAirflow,
    store: MemoryStore,
    clock: ManualClock,
    start: Start,
    execute: Execute,
    poll: Callable[[], object],
) -> None:
    hidden, seen = start(), start()
    execute(hidden)
    ended_at = clock.now()
    clock.advance(60)
    execute(seen, "success")
    poll()
    now, airflow._now = airflow._now, lambda: ended_at
    airflow.end("sales.daily", hidden, "success")
    airflow._now = now
    poll()
    assert len(titles(store)) == 2


@pytest.mark.rule("25.7")
def test_runs_that_ended_before_the_first_look_are_not_told(
    register: Register,
    store: MemoryStore,
    clock: ManualClock,
    start: Start,
    execute: Execute,
    poll: Callable[[], object],
) -> None:
    register(replace=WITH_CHANNELS)
    execute(start(), "success")
    clock.advance(1)
    poll()
    poll()
    assert titles(store) == []


@pytest.mark.usefixtures("watched")
def test_a_channel_that_is_added_is_not_told_of_what_ended_before(
    register: Register,
    store: MemoryStore,
    clock: ManualClock,
    start: Start,
    execute: Execute,
    poll: Callable[[], object],
) -> None:
    register("sales.silent")
    run_id = start("sales.silent")
    execute(run_id, "success", name="sales.silent")
    poll()
    clock.advance(5)
    register("sales.silent", replace=WITH_CHANNELS)
    clock.advance(5)
    poll()
    assert titles(store) == []


@pytest.mark.rule("25.7")
def test_airflow_is_not_asked_while_nobody_is_to_be_told(
    airflow: MemoryAirflow, register: Register, clock: ManualClock, poll: Callable[[], object]
) -> None:
    register()
    asked = airflow.requests
    for _ in range(10):
        clock.advance(10)
        poll()
    assert airflow.requests == asked


@pytest.mark.usefixtures("watched")
def test_a_look_costs_one_request_while_nothing_ends(
    airflow: MemoryAirflow, clock: ManualClock, start: Start, execute: Execute, poll: Callable[[], object]
) -> None:
    execute(start(), "success")
    poll()
    asked = airflow.requests
    for _ in range(10):
        clock.advance(10)
        poll()
    assert airflow.requests == asked + 10


@pytest.mark.usefixtures("watched")
def test_nothing_is_told_of_the_time_when_nobody_was_to_be_told(
    register: Register,
    store: MemoryStore,
    clock: ManualClock,
    start: Start,
    execute: Execute,
    poll: Callable[[], object],
) -> None:
    register()
    clock.advance(5)
    poll()
    assert store.get(KEY) is None
    execute(start(), "success")
    clock.advance(timedelta(hours=1).total_seconds())
    register(replace=WITH_CHANNELS)
    clock.advance(5)
    poll()
    execute(start(), "success")
    poll()
    assert len(titles(store)) == 1


@pytest.mark.usefixtures("watched")
def test_a_watch_whose_record_is_broken_begins_anew(
    store: MemoryStore, start: Start, execute: Execute, poll: Callable[[], object], clock: ManualClock
) -> None:
    stored = store.get(KEY)
    assert stored is not None
    store.put(KEY, b'{"format": 1, "since": "never"', expected=stored.etag)
    poll()
    clock.advance(1)
    execute(start(), "success")
    poll()
    assert len(titles(store)) == 1


@pytest.mark.usefixtures("watched")
def test_the_record_of_the_watch_holds_the_last_minutes_alone(
    store: MemoryStore, clock: ManualClock, start: Start, execute: Execute, poll: Callable[[], object]
) -> None:
    for _ in range(5):
        execute(start(), "success")
        poll()
        clock.advance(300)
    stored = store.get(KEY)
    assert stored is not None
    seen = WatchPosition.read(stored)
    assert len(seen.runs) == 1
    assert len(titles(store)) == 5


def damage(store: MemoryStore, body: bytes) -> None:
    stored = store.get(KEY)
    assert stored is not None
    store.put(KEY, body, expected=stored.etag)


@pytest.mark.rule("5.22")
@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(("replica", "ended_ago"), [("that knows it", 5 * LOOK_BACK), ("new", LOOK_BACK / 2)])
def test_runs_that_ended_before_a_damaged_position_is_made_anew_are_told(
    replica: str,
    ended_ago: timedelta,
    services: Services,
    airflow: MemoryAirflow,
    store: MemoryStore,
    clock: ManualClock,
    start: Start,
    execute: Execute,
) -> None:
    services.run_watch.poll()
    execute(start(), "success")
    damage(store, b"{")
    clock.advance(ended_ago.total_seconds())
    watch = (services if replica == "that knows it" else build_services(store, airflow, clock)).run_watch
    for _ in range(3):
        watch.poll()
    assert titles(store) == ["sales.daily completed"]


@pytest.mark.rule("5.21")
def test_a_newer_position_stays_while_no_spec_has_a_channel(
    store: MemoryStore, register: Register, poll: Callable[[], object]
) -> None:
    register()
    newer = b'{"format": 99}'
    store.put(KEY, newer, expected=MISSING)
    poll()
    stored = store.get(KEY)
    assert stored is not None
    assert stored.body == newer


@pytest.fixture
def fail(
    airflow: MemoryAirflow, clock: ManualClock, start: Start, execute: Execute, poll: Callable[[], object]
) -> Callable[[str], None]:
    """Let a run fail with an error."""

    def fail(error: str) -> None:
        run_id = start()
        execute(run_id)
        execute(run_id, "failed")
        execute(run_id)
        airflow.log_event("sales.daily", run_id, LogEvent(message="x", error=error))
        airflow.end("sales.daily", run_id, "failed")
        clock.advance(1)
        poll()

    return fail


RECOVERED = {
    "  timezone: Asia/Seoul\n": """  timezone: Asia/Seoul
  notifications:
    on_failure: [{type: slack, channel: "#failures"}]
    on_recovered: [{type: slack, channel: "#failures"}]
"""
}


@pytest.mark.rule("38.11")
@pytest.mark.usefixtures("watched")
def test_failures_with_the_same_error_are_one_message_and_a_reminder_an_hour(
    store: MemoryStore, clock: ManualClock, fail: Callable[[str], None]
) -> None:
    """A run every ten minutes that fails for two hours is told three times; another error at once."""
    for number in range(13):
        fail(f"IOException: no space left after {number} rows")
        clock.advance(600 - 2)
    assert titles(store) == [
        "sales.daily failed",
        "sales.daily still fails: 7 runs in a row",
        "sales.daily still fails: 13 runs in a row",
    ]
    fail("CatalogException: no clicks")
    assert titles(store)[3:] == ["sales.daily failed"]


@pytest.mark.rule("38.10", "38.11")
def test_first_success_after_failures_is_told_once_and_ends_the_streak(
    register: Register,
    services: Services,
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    start: Start,
    execute: Execute,
    fail: Callable[[str], None],
) -> None:
    register(replace=RECOVERED)
    services.run_watch.poll()
    fail("CatalogException: no clicks")
    fail("CatalogException: no clicks")
    other = build_services(store, airflow, clock).run_watch
    for _ in range(2):
        execute(start(), "success")
        clock.advance(1)
        other.poll()
        services.run_watch.poll()
    fail("CatalogException: no clicks")
    assert titles(store) == ["sales.daily failed", "sales.daily has recovered", "sales.daily failed"]


@pytest.mark.rule("38.11")
@pytest.mark.usefixtures("watched")
def test_every_stopped_run_is_told(
    client: Client, store: MemoryStore, clock: ManualClock, start: Start, poll: Callable[[], object]
) -> None:
    for _ in range(2):
        client.post(f"/runs/{start()}/stop", json={"reason": "wrong day"})
        clock.advance(1)
        poll()
    assert titles(store) == ["sales.daily was stopped"] * 2
