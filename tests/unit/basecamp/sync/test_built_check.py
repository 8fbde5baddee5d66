"""What runs wrote of what they built is completed from the runs that succeeded (docs/waiting.md)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from httpx import Client

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.contract import BUILT_BEACON, built_variable
from dataspec.errors import AirflowUnreachable
from dataspec.schedule.beacon import built_since
from dataspec.schedule.built import Built
from dataspec.schedule.partitions import Grid
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING

NAME = "sales.daily"
KEY = built_variable(NAME)
GRID = Grid("0 9 * * *", "Asia/Seoul")
DAY = timedelta(days=1)

pytestmark = pytest.mark.rule("31.6")


def built(airflow: MemoryAirflow, name: str = NAME) -> Built:
    read = Built.parse(airflow.stored_variables.get(built_variable(name)))
    assert read.problem is None
    return read.built


def scheduled(airflow: MemoryAirflow, day: str, state: Any = "success") -> str:
    """Let Airflow's scheduler create a run of the daily dataset, and end it."""
    start, end = GRID.interval_from(date.fromisoformat(day))
    run_id = f"{NAME}_{end:%Y%m%d_%H%M%S}"
    airflow.schedule(NAME, run_id, (start, end))
    airflow.start(NAME, run_id, source="manual", spec_hash="0" * 16)
    airflow.end(NAME, run_id, state)
    if state == "failed":
        airflow.start(NAME, run_id, source="manual", spec_hash="0" * 16)
        airflow.end(NAME, run_id, state)
    return run_id


def ranges(*days: tuple[str, str]) -> tuple[tuple[date, date], ...]:
    return tuple((date.fromisoformat(first), date.fromisoformat(until)) for first, until in days)


def look(services: Services, clock: ManualClock, seconds: float = 61) -> None:
    clock.advance(seconds)
    assert services.built_check.look() == 60


def test_runs_from_before_the_first_value_count(
    services: Services,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Callable[..., Any],
    start: Callable[..., str],
    execute: Callable[..., None],
) -> None:
    register()
    for day in ("2024-01-08", "2024-01-09"):
        scheduled(airflow, day)
    scheduled(airflow, "2024-01-10", "failed")
    execute(start(execution_date="2024-01-12"), "success")
    execute(start(execution_date="2024-01-13"))
    clock.advance(10 * 86400)
    look(services, clock)
    value = built(airflow)
    assert value.dates == ranges(("2024-01-08", "2024-01-10"), ("2024-01-12", "2024-01-13"))
    assert value.complete
    assert (value.grid.cron, value.grid.timezone) == (GRID.cron, GRID.zone)


@pytest.mark.rule("37.20")
def test_a_run_of_the_checks_alone_built_nothing(
    services: Services,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Callable[..., Any],
    execute: Callable[..., None],
    client: Client,
) -> None:
    register(replace={"query_file: query.sql\n": "query_file: query.sql\nchecks: [{row_count: {min: 1}}]\n"})
    for day, only in (("2024-01-12", False), ("2024-01-13", True)):
        body = {"parameters": {"execution_date": day}, "checks_only": only}
        execute(client.post(f"/workflows/{NAME}/runs", json=body).json()["run_id"], "success")
        clock.advance(1)
    clock.advance(10 * 86400)
    look(services, clock)
    assert built(airflow).dates == ranges(("2024-01-12", "2024-01-13"))


def test_the_beacon_names_what_the_check_has_added(
    services: Services, airflow: MemoryAirflow, clock: ManualClock, register: Callable[..., Any]
) -> None:
    register()
    look(services, clock)
    before = airflow.stored_variables[BUILT_BEACON]
    scheduled(airflow, "2024-01-08")
    look(services, clock)
    assert built_since(before, airflow.stored_variables[BUILT_BEACON]) == frozenset({NAME})


def test_a_value_that_lacks_nothing_is_not_written_again(
    services: Services, airflow: MemoryAirflow, clock: ManualClock, register: Callable[..., Any]
) -> None:
    """A run writes its value a moment before it ends: the later end adds nothing."""
    register()
    look(services, clock)
    run = airflow.get_run(NAME, scheduled(airflow, "2024-01-08"))
    assert run is not None
    assert run.end_date is not None
    at = run.end_date - timedelta(seconds=1)
    noted = built(airflow).with_partition(GRID.named("2024-01-08"), at=at, grid=GRID)
    airflow.stored_variables[KEY] = noted.text()
    stored = dict(airflow.stored_variables)
    look(services, clock)
    assert airflow.stored_variables == stored


def test_a_dataset_that_never_ran_has_a_complete_value_as_well(
    services: Services, airflow: MemoryAirflow, clock: ManualClock, register: Callable[..., Any]
) -> None:
    register()
    look(services, clock)
    assert built(airflow) == Built(complete=True)


@pytest.mark.parametrize("later", [10, 3 * 3600, 30 * 86400])
def test_a_failed_run_that_is_marked_as_a_success_counts_whenever_that_is(
    later: float, services: Services, airflow: MemoryAirflow, clock: ManualClock, register: Callable[..., Any]
) -> None:
    register()
    run_id = scheduled(airflow, "2024-01-10", "failed")
    look(services, clock)
    assert built(airflow).dates == ()
    clock.advance(later)
    airflow.set_run_state(NAME, run_id, "success", note="it is there")
    look(services, clock)
    assert built(airflow).dates == ranges(("2024-01-10", "2024-01-11"))


@pytest.mark.parametrize("text", [None, "***", "{}"])
def test_a_value_that_was_lost_is_made_anew(
    text: str | None,
    services: Services,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Callable[..., Any],
) -> None:
    register()
    scheduled(airflow, "2024-01-08")
    look(services, clock)
    clock.advance(3 * 86400)
    look(services, clock)
    if text is None:
        del airflow.stored_variables[KEY]
    else:
        airflow.stored_variables[KEY] = text
    look(services, clock, 601)
    assert built(airflow).dates == ranges(("2024-01-08", "2024-01-09"))


def test_a_value_that_a_run_wrote_at_the_same_moment_is_completed_at_the_next_look(
    services: Services, airflow: MemoryAirflow, clock: ManualClock, register: Callable[..., Any]
) -> None:
    """A run reads the value, this check adds to it, and the run writes what it read with its own partition."""
    register()
    run_id = scheduled(airflow, "2024-01-10", "failed")
    look(services, clock)
    read = built(airflow)
    airflow.set_run_state(NAME, run_id, "success", note="it is there")
    look(services, clock)
    written = read.with_partition(GRID.named("2024-01-12"), at=clock.now(), grid=GRID)
    airflow.stored_variables[KEY] = written.text()
    look(services, clock, 300)
    assert built(airflow).dates == ranges(("2024-01-10", "2024-01-11"), ("2024-01-12", "2024-01-13"))


def test_what_happened_while_no_replica_ran_is_found_by_the_next_one(
    services: Services,
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Callable[..., Any],
) -> None:
    register()
    run_id = scheduled(airflow, "2024-01-10", "failed")
    look(services, clock)
    other = build_services(store, airflow, clock)
    clock.advance(1)
    assert 0 < other.built_check.look() <= 60
    clock.advance(1000)
    airflow.set_run_state(NAME, run_id, "success", note="it is there")
    look(other, clock, 20 * 86400)
    assert built(airflow).dates == ranges(("2024-01-10", "2024-01-11"))


def test_a_look_costs_the_same_however_much_was_built_before(
    services: Services, airflow: MemoryAirflow, clock: ManualClock, register: Callable[..., Any]
) -> None:
    for number in range(30):
        register(f"sales.d{number}")
    register()
    for number in range(300):
        scheduled(airflow, (date(2023, 1, 1) + number * DAY).isoformat())
    look(services, clock)
    look(services, clock, 3600)
    before = airflow.requests
    for _ in range(9):
        look(services, clock)
    assert airflow.requests - before <= 9
    scheduled(airflow, "2024-01-10")
    before = airflow.requests
    look(services, clock)
    assert airflow.requests - before <= 8


def test_a_run_built_what_its_own_schedule_says_also_after_a_change(
    services: Services,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Callable[..., Any],
    start: Callable[..., str],
) -> None:
    monday, daily = "2024-01-08", register().json()["spec_hash"]
    run_id = start(execution_date=monday)
    airflow.start(NAME, run_id, source="manual", spec_hash=daily)
    airflow.end(NAME, run_id, "success")
    register(NAME, {"0 9 * * *": "0 9 * * 1"})
    look(services, clock)
    assert built(airflow).dates == ranges((monday, "2024-01-09")), "not the week"


def test_a_look_makes_the_values_of_some_datasets_those_that_others_need_first(
    services: Services, airflow: MemoryAirflow, clock: ManualClock, register: Callable[..., Any]
) -> None:
    names = [f"sales.d{number:02}" for number in range(55)]
    for name in reversed(names):
        replace = {"owner:": f"depends_on: [{names[-1]}]\nowner:"} if name == names[0] else None
        register(name, replace)
    clock.advance(61)
    assert services.built_check.look() == 10
    made = [name for name in names if built_variable(name) in airflow.stored_variables]
    assert len(made) == 50
    assert names[-1] in made
    clock.advance(10)
    assert services.built_check.look() == 60
    assert all(built(airflow, name).complete for name in names)


def test_a_run_of_another_dag_with_the_datasets_id_built_nothing(
    services: Services, airflow: MemoryAirflow, clock: ManualClock, register: Callable[..., Any]
) -> None:
    register()
    for operator in ("PythonOperator", "DatasetOperator"):
        task_id = "run" if operator == "PythonOperator" else "extract"
        airflow.take_over(NAME, task_id=task_id, operator=operator)
        run_id = f"manual__{operator}"
        airflow.trigger(NAME, run_id, logical_date=clock.now() + DAY * len(operator), conf={})
        airflow.start_other(NAME, run_id)
        airflow.end(NAME, run_id, "success")
    look(services, clock)
    assert built(airflow) == Built(complete=True)


@pytest.mark.parametrize("execution_date", [None, "someday", 5, "2024-01-14T12:34", {}])
def test_a_run_whose_partition_is_not_known_counts_as_the_last_success_alone(
    execution_date: Any,
    services: Services,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Callable[..., Any],
) -> None:
    register()
    conf = {} if execution_date is None else {"execution_date": execution_date}
    airflow.trigger(NAME, "manual__1", logical_date=clock.now(), conf=conf)
    airflow.start(NAME, "manual__1", source="manual", spec_hash="0" * 16)
    airflow.end(NAME, "manual__1", "success")
    ended = clock.now()
    look(services, clock)
    value = built(airflow)
    assert (value.dates, value.moments, value.last) == ((), (), ended)


def test_hours_of_a_finer_schedule_count_as_such(
    services: Services, airflow: MemoryAirflow, clock: ManualClock, register: Callable[..., Any]
) -> None:
    register(replace={"0 9 * * *": "0 * * * *"})
    hour = datetime(2024, 1, 14, 3, tzinfo=UTC)
    for number in (0, 1, 3):
        start = hour + timedelta(hours=number)
        run_id = f"{NAME}_{number}"
        airflow.schedule(NAME, run_id, (start, start + timedelta(hours=1)))
        airflow.start(NAME, run_id, source="manual", spec_hash="0" * 16)
        airflow.end(NAME, run_id, "success")
    look(services, clock)
    ends = [
        (start, start + timedelta(hours=length)) for start, length in ((hour, 2), (hour + 3 * DAY / 24, 1))
    ]
    assert list(built(airflow).moments) == ends


def test_a_value_of_a_newer_format_stays(
    services: Services, airflow: MemoryAirflow, clock: ManualClock, register: Callable[..., Any]
) -> None:
    register()
    scheduled(airflow, "2024-01-08")
    airflow.stored_variables[KEY] = '{"format": 2}'
    look(services, clock)
    assert airflow.stored_variables[KEY] == '{"format": 2}'


def test_a_look_that_failed_is_made_up_for(
    services: Services,
    store: MemoryStore,
    airflow: MemoryAirflow,
    clock: ManualClock,
    register: Callable[..., Any],
) -> None:
    register()
    look(services, clock)
    run_id = scheduled(airflow, "2024-01-10", "failed")
    airflow.set_run_state(NAME, run_id, "success", note="it is there")
    airflow.down = "no route"
    clock.advance(61)
    with pytest.raises(AirflowUnreachable):
        services.built_check.look()
    airflow.down = None
    stored = store.get("basecamp/built.json")
    assert stored is not None
    store.put("basecamp/built.json", b"damaged", expected=stored.etag)
    look(services, clock, 7200)
    assert built(airflow).dates == ranges(("2024-01-10", "2024-01-11"))
    assert store.get("basecamp/built.json") != stored
    assert MISSING not in {one.key for one in store.list("basecamp/quarantine/")}
