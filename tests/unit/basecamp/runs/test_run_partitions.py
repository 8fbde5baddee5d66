"""Which partition each run shows: that of the spec version that it ran."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.shared.clock import ManualClock
from dataspec.store import MemoryStore

Register = Callable[..., Response]
Start = Callable[..., str]
Execute = Callable[..., None]

DAILY, WEEKLY, HOURLY = "0 9 * * *", "0 9 * * 1", "0 * * * *"
MONDAY = "2024-01-15"
SCHEDULED = "sales.daily_20240116_000000"
INTERVAL = (datetime(2024, 1, 15, 0, 0, tzinfo=UTC), datetime(2024, 1, 16, 0, 0, tzinfo=UTC))
THE_DAY = {"name": MONDAY, "start": "2024-01-15T00:00:00+09:00", "end": "2024-01-16T00:00:00+09:00"}


def cron(expression: str) -> dict[str, str]:
    return {DAILY: expression}


@pytest.fixture
def replica_of(
    store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock, client_of: Callable[[Any], Client]
) -> Callable[[], Client]:
    """Return a client of another replica, which has read nothing yet."""
    return lambda: client_of(create_app(build_services(store, airflow, clock)))


def run_of(client: Client, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/runs/{run_id}").json()
    return found


@pytest.mark.rule("30.40")
@pytest.mark.parametrize("later", [WEEKLY, HOURLY])
def test_a_day_that_was_built_stays_that_day_after_a_change_of_the_schedule(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow, later: str
) -> None:
    register()
    by_hand = start(execution_date=MONDAY)
    execute(by_hand, "success")
    airflow.schedule("sales.daily", SCHEDULED, INTERVAL)
    execute(SCHEDULED, "success")
    register(replace=cron(later))
    for run_id in (by_hand, SCHEDULED):
        run = run_of(client, run_id)
        assert (run["partition"], run["partition_label"], run["warnings"]) == (THE_DAY, MONDAY, [])
        assert run["parameters"]["execution_date"] == MONDAY


@pytest.mark.rule("30.40")
def test_an_hour_that_was_built_stays_that_hour_after_a_change_to_a_daily_schedule(
    register: Register, start: Start, execute: Execute, client: Client
) -> None:
    register(replace=cron(HOURLY))
    run_id = start(execution_date="2024-01-15T13:00")
    execute(run_id, "success")
    before = run_of(client, run_id)
    register()
    assert run_of(client, run_id) == before
    assert before["partition"]["name"] == "2024-01-15T13:00+09:00"
    assert before["partition_label"] == "2024-01-15 13:00"


@pytest.mark.rule("30.40")
def test_a_run_that_has_not_started_and_a_retried_one_are_by_the_spec_of_their_next_and_last_attempt(
    register: Register, start: Start, execute: Execute, client: Client
) -> None:
    register()
    run_id = start(execution_date=MONDAY)
    register(replace=cron(WEEKLY))
    week = THE_DAY | {"end": "2024-01-22T00:00:00+09:00"}
    assert run_of(client, run_id)["partition"] == week
    execute(run_id, "failed")
    assert run_of(client, run_id)["partition"] == week
    register(replace=cron("0 10 * * *"))
    execute(run_id, "success")
    assert run_of(client, run_id)["partition"] == THE_DAY


@pytest.mark.rule("30.40")
def test_runs_of_a_removed_dataset_show_what_they_built_also_on_a_new_replica(
    register: Register,
    start: Start,
    execute: Execute,
    client: Client,
    replica_of: Callable[[], Client],
) -> None:
    register()
    run_id = start(execution_date=MONDAY)
    execute(run_id, "success")
    assert client.delete("/datasets/sales.daily").status_code == 200
    for asked in (client, replica_of()):
        [run] = asked.get("/runs", params={"dataset": "sales.daily"}).json()["items"]
        assert (run["run_id"], run["partition"]) == (run_id, THE_DAY)


@pytest.mark.rule("30.40")
def test_a_run_whose_version_is_gone_from_the_archive_is_shown_by_the_effective_spec(
    register: Register, start: Start, execute: Execute, store: MemoryStore, replica_of: Callable[[], Client]
) -> None:
    ran = register().json()["spec_hash"]
    run_id = start(execution_date=MONDAY)
    execute(run_id, "success")
    register(replace=cron(WEEKLY))
    [version] = [info for info in store.list("basecamp/versions/") if ran in info.key]
    store.delete(version.key, expected=version.etag)
    assert run_of(replica_of(), run_id)["partition"]["end"] == "2024-01-22T00:00:00+09:00"


@pytest.mark.rule("30.13")
def test_a_run_of_an_hourly_dataset_with_a_date_alone_shows_the_hour_that_it_built(
    register: Register, execute: Execute, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register(replace=cron(HOURLY))
    own = {"run_type": "backfill", "requested_by": "kim"}
    conf = {"execution_date": MONDAY, "_dli": own}
    airflow.trigger("sales.daily", "sales.daily_20240116_010101", logical_date=clock.now(), conf=conf)
    execute("sales.daily_20240116_010101", "success")
    run = run_of(client, "sales.daily_20240116_010101")
    assert (run["run_type"], run["partition_label"]) == ("backfill", "2024-01-15 00:00")


@pytest.mark.rule("30.13")
def test_a_run_without_an_execution_date_has_no_partition(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    files = {"query.sql": "select {{ limit }} as number"}
    register(replace={"  - name: execution_date\n    type: date\n": ""}, files=files)
    airflow.trigger("sales.daily", "by_hand", logical_date=clock.now(), conf={})
    run = run_of(client, "by_hand")
    assert (run["partition"], run["partition_label"]) == (None, None)
