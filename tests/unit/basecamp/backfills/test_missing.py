"""Backfills of what is missing: partitions that are built are left out, decided when the plan is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.backfills.plans import PlanStore
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader
from dataspec.contract import built_variable
from dataspec.schedule.built import Built
from dataspec.schedule.partitions import Grid
from dataspec.store import MemoryStore

Register = Callable[..., Response]
NAME, LOW, ONCE = "sales.daily", "sales.low", "sales.once"
RANGE = {"start": "2024-01-01", "end": "2024-01-05"}
GRID = Grid("0 9 * * *", "Asia/Seoul")
HOURLY = Grid("0 * * * *", "Europe/Berlin")
AN_HOURLY_ONE = {
    '"0 9 * * *"': '"0 * * * *"',
    "Asia/Seoul": "Europe/Berlin",
    "type: date\n": "type: datetime\n",
}


def ask(client: Client, *, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/workflows/{NAME}/backfills", json=RANGE | {"missing": True} | body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def build(
    airflow: MemoryAirflow, *partitions: str, name: str = NAME, grid: Grid = GRID, complete: bool = True
) -> None:
    value = Built(complete=complete)
    for one in partitions:
        at = datetime.fromisoformat("2024-01-10T00:00+00:00")
        value = value.with_partition(grid.named(one), at=at, grid=grid)
    airflow.stored_variables[built_variable(name)] = value.text()


def succeed(airflow: MemoryAirflow, partition: str) -> None:
    start, end = GRID.data_interval(GRID.named(partition))
    run_id = f"{NAME}_{end:%Y%m%d_%H%M%S}"
    airflow.schedule(NAME, run_id, (start, end))
    airflow.start(NAME, run_id, source="manual", spec_hash="0" * 16)
    airflow.end(NAME, run_id, "success")


@pytest.fixture
def dates(store: MemoryStore, clock: ManualClock) -> Callable[[], tuple[str, ...]]:
    """Return the dates of the active plan."""
    plans = PlanStore(store, ObjectReader(store, clock))

    def dates() -> tuple[str, ...]:
        held = plans.active(NAME)
        assert held is not None
        return held.plan.dates

    return dates


@pytest.mark.rule("14.19")
@pytest.mark.parametrize("complete", [True, False])
def test_what_is_built_and_what_a_run_has_built_since_is_left_out(
    register: Register,
    client: Client,
    airflow: MemoryAirflow,
    dates: Callable[[], tuple[str, ...]],
    complete: bool,
) -> None:
    register()
    build(airflow, "2024-01-02", "2024-01-04", complete=complete)
    succeed(airflow, "2024-01-05")
    preview = ask(client, status=200, dry_run=True)
    assert (preview["dates"], preview["already_built"]) == (["2024-01-01", "2024-01-03"], 3)
    assert preview["warnings"] == []
    started = ask(client)
    assert (started["dates_total"], started["already_built"], started["warnings"]) == (2, 3, [])
    assert dates() == ("2024-01-01", "2024-01-03")


@pytest.mark.rule("14.19")
def test_of_a_value_without_the_earlier_runs_all_runs_count(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    succeed(airflow, "2024-01-03")
    clock.advance(3 * 86400)
    assert ask(client, status=200, dry_run=True)["already_built"] == 1
    build(airflow, "2024-01-01")
    assert ask(client, status=200, dry_run=True)["already_built"] == 1, "a lost value is not made anew"


@pytest.mark.rule("14.19")
def test_a_failed_partition_is_missing_and_a_later_failure_takes_nothing_back(
    register: Register, client: Client, airflow: MemoryAirflow, start: Callable[..., str]
) -> None:
    register()
    build(airflow, "2024-01-01")
    for day in ("2024-01-01", "2024-01-02"):
        run_id = start(NAME, execution_date=day)
        for _ in range(2):
            airflow.start(NAME, run_id, source="manual", spec_hash="0" * 16)
            airflow.end(NAME, run_id, "failed")
    assert ask(client, status=200, dry_run=True)["dates"] == [f"2024-01-0{day}" for day in range(2, 6)]


@pytest.mark.rule("14.19")
def test_of_a_night_with_a_repeated_hour_only_the_missing_one_is_built(
    register: Register, client: Client, airflow: MemoryAirflow, dates: Callable[[], tuple[str, ...]]
) -> None:
    register(NAME, AN_HOURLY_ONE)
    day: dict[str, Any] = {"start": "2024-10-27", "end": "2024-10-27"}
    hours = [one.name for one in HOURLY.starting_on(*[datetime.fromisoformat("2024-10-27").date()] * 2)]
    missing = "2024-10-27T02:00+01:00"
    build(airflow, *(one for one in hours if one != missing), grid=HOURLY)
    assert ask(client, **day)["already_built"] == 24
    assert dates() == (missing,)


@pytest.mark.rule("14.20")
def test_if_all_is_built_it_is_refused_and_so_is_what_nobody_can_know(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    build(airflow, *(f"2024-01-0{day}" for day in range(1, 6)))
    refused = ask(client, status=409)
    assert refused["title"] == "Every partition from 2024-01-01 to 2024-01-05 is built already."
    assert "--missing" in refused["detail"]
    airflow.down = "down for a test"
    ask(client, status=503, dry_run=True)


@pytest.mark.rule("14.19")
def test_a_resume_leaves_out_what_was_built_before_its_backfill(
    register: Register, client: Client, airflow: MemoryAirflow, services: Services, clock: ManualClock
) -> None:
    register()
    build(airflow, "2024-01-02")
    first = ask(client)["backfill_id"]
    assert client.post(f"/backfills/{first}/stop").status_code == 200
    clock.advance(60)
    resumed = ask(client, missing=False, resume=True)
    assert (resumed["dates_total"], resumed["already_built"]) == (4, 1)
    assert (
        services.backfill_lookup.find(first).dates
        == services.backfill_lookup.find(resumed["backfill_id"]).dates
    )


@pytest.mark.rule("14.21")
def test_in_a_chain_each_dataset_is_looked_at_by_itself(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    register(LOW, {"query_file:": f"depends_on: [{NAME}]\nquery_file:"})
    build(airflow, "2024-01-01", "2024-01-02")
    build(airflow, "2024-01-02", name=LOW)
    two: dict[str, Any] = {"end": "2024-01-02", "with_downstream": True}
    preview = ask(client, status=200, dry_run=True, **two)
    assert [(one["dataset_name"], one["partition"]) for one in preview["steps"]] == [(LOW, "2024-01-01")]
    assert (preview["dates"], preview["already_built"]) == ([], 3)
    started = ask(client, **two)
    assert (started["dates_total"], started["current_dataset"]) == (1, LOW)


@pytest.mark.rule("14.21")
def test_what_is_built_once_is_built_with_the_rest_and_never_alone(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    undated = {
        "query_file: query.sql": f"depends_on: [{NAME}]\nquery_statement: select 1",
        "  - name: execution_date\n    type: date\n": "",
    }
    register(ONCE, undated, files={})
    both: dict[str, Any] = {"end": "2024-01-02", "with_downstream": True}
    build(airflow, "2024-01-01")
    steps = ask(client, status=200, dry_run=True, **both)["steps"]
    assert [one["dataset_name"] for one in steps] == [NAME, ONCE]
    build(airflow, "2024-01-01", "2024-01-02")
    ask(client, status=409, **both)
