"""Why a partition is there or not: one answer for each state, down to the root causes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.principal import Role
from basecamp.airflow.models import LogEvent
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from dataspec.contract import built_variable
from dataspec.schedule.built import Built
from dataspec.schedule.partitions import Grid
from unit.basecamp.api.sign_in import bearer, person, signing_in

RAW, UP, DOWN = "raw.orders", "sales.orders", "sales.daily"
GRID = Grid("0 9 * * *", "Asia/Seoul")
HOURLY = Grid("0 * * * *", "Europe/Berlin")
DAY, LAST = 86400, "2024-01-14"
"""The last partition that is due at the test's time."""

Register = Callable[..., Response]
Publish = Callable[..., None]


def why(client: Client, name: str = DOWN, partition: str | None = None) -> dict[str, Any]:
    answer = client.get(f"/workflows/{name}/why", params={"partition": partition} if partition else {})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def shown(found: dict[str, Any]) -> tuple[str, str | None, str | None]:
    return found["state"], found["partition"] and found["partition"]["name"], found["run_id"]


def scheduled(airflow: MemoryAirflow, name: str, partition: str = LAST, grid: Grid = GRID) -> str:
    """Let Airflow's scheduler create the run of a partition."""
    start, end = grid.data_interval(grid.named(partition))
    run_id = f"{name}_{end:%Y%m%d_%H%M%S}"
    airflow.schedule(name, run_id, (start, end))
    return run_id


def ended(airflow: MemoryAirflow, name: str, state: Any, partition: str = LAST, grid: Grid = GRID) -> str:
    run_id = scheduled(airflow, name, partition, grid)
    for _ in range(2 if state == "failed" else 1):
        airflow.start(name, run_id, source="manual", spec_hash="0" * 16)
        error = "Conversion Error: 'x' is no number\nLINE 1: select" if state == "failed" else None
        at = datetime.fromisoformat("2024-01-15T09:30:45+00:00")
        airflow.log_event(name, run_id, LogEvent(message="end", timestamp=at, error=error))
        airflow.end(name, run_id, state)
    return run_id


def build(airflow: MemoryAirflow, name: str, *partitions: str, grid: Grid = GRID) -> None:
    value = Built()
    for one in partitions:
        value = value.with_partition(
            grid.named(one), at=datetime.fromisoformat("2024-01-15T00:00+00:00"), grid=grid
        )
    airflow.stored_variables[built_variable(name)] = value.text()


@pytest.fixture
def old(clock: ManualClock, register: Register) -> Register:
    """Register a dataset some days ago."""

    def old(name: str = DOWN, *depends_on: str, **replace: str) -> Response:
        clock.advance(-10 * DAY)
        more = {"owner:": f"depends_on: [{', '.join(depends_on)}]\nowner:"} if depends_on else {}
        answer = register(name, more | replace)
        clock.advance(10 * DAY)
        return answer

    return old


@pytest.mark.rule("32.20")
def test_without_a_partition_the_last_one_that_is_due_is_explained(
    client: Client, airflow: MemoryAirflow, old: Register
) -> None:
    old()
    found = why(client)
    assert shown(found) == ("due", LAST, None)
    assert found["due_at"] == "2024-01-15T09:00:00+09:00"
    assert shown(why(client, partition="yesterday"))[1] == LAST
    run_id = scheduled(airflow, DOWN)
    assert shown(why(client)) == ("pending", LAST, run_id)


@pytest.mark.rule("32.20")
@pytest.mark.parametrize(("state", "answer"), [("success", "built"), ("failed", "failed")])
def test_a_run_that_ended_says_when_and_why(
    client: Client, airflow: MemoryAirflow, old: Register, state: str, answer: str
) -> None:
    old()
    run_id = ended(airflow, DOWN, state)
    found = why(client)
    assert shown(found) == (answer, LAST, run_id)
    assert found["at"] == "2024-01-15T09:30:45.123456Z"
    if state == "failed":
        assert found["error"] == "Conversion Error: 'x' is no number"
        assert found["next_step"] == f"dli workflow retry {run_id}"


@pytest.mark.rule("32.20")
def test_a_running_and_a_stopped_run_are_told(client: Client, airflow: MemoryAirflow, old: Register) -> None:
    old()
    run_id = scheduled(airflow, DOWN)
    airflow.start(DOWN, run_id, source="manual", spec_hash="0" * 16)
    assert shown(why(client)) == ("running", LAST, run_id)
    stopped = client.post(f"/runs/{run_id}/stop", json={"reason": "too dear"}, headers={"Dli-User": "ann"})
    assert stopped.is_success, stopped.text
    found = why(client)
    assert shown(found) == ("killed", LAST, run_id)
    assert (found["by"], found["reason"]) == ("ann", "too dear")


@pytest.mark.rule("32.20")
def test_what_is_built_stays_built_after_a_later_failure_and_without_its_run(
    client: Client, airflow: MemoryAirflow, old: Register, start: Callable[..., str]
) -> None:
    old()
    build(airflow, DOWN, LAST)
    assert shown(why(client)) == ("built", LAST, None)
    run_id = ended(airflow, DOWN, "success")
    again = start(DOWN, execution_date=LAST)
    airflow.start(DOWN, again, source="manual", spec_hash="0" * 16)
    assert shown(why(client)) == ("built", LAST, run_id)


@pytest.mark.rule("32.20")
def test_what_is_not_due_and_what_was_due_before_the_registration(
    client: Client, register: Register, clock: ManualClock
) -> None:
    register()
    clock.advance(5)
    found = why(client, partition="2024-01-15")
    assert shown(found) == ("not_due", "2024-01-15", None)
    assert found["due_at"] == "2024-01-16T09:00:00+09:00"
    found = why(client)
    assert shown(found) == ("before_registration", LAST, None)
    assert found["next_step"] == f"dli workflow backfill {DOWN} --start {LAST} --end {LAST}"


@pytest.mark.rule("32.20")
def test_a_pause_says_by_whom_since_when_and_why(client: Client, old: Register) -> None:
    old()
    paused = client.post(f"/workflows/{DOWN}/pause", json={"reason": "a move"}, headers={"Dli-User": "ann"})
    assert paused.is_success, paused.text
    found = why(client)
    assert shown(found) == ("paused", LAST, None)
    assert (found["by"], found["at"], found["reason"]) == ("ann", "2024-01-15T09:30:45.123456Z", "a move")
    assert found["next_step"] == f"dli workflow unpause {DOWN}"


@pytest.mark.rule("32.20")
def test_a_run_that_a_pause_holds_up_says_so(client: Client, airflow: MemoryAirflow, old: Register) -> None:
    old()
    run_id = scheduled(airflow, DOWN)
    assert client.post(f"/workflows/{DOWN}/pause").is_success
    assert shown(why(client)) == ("paused", LAST, run_id)


@pytest.mark.rule("32.20")
def test_a_schedule_that_is_off_is_told_with_the_run_by_hand(client: Client, old: Register) -> None:
    old(DOWN, **{"schedule:": "schedule:\n  enabled: false"})
    found = why(client)
    assert shown(found) == ("schedule_off", LAST, None)
    assert found["next_step"] == f"dli workflow run {DOWN} -p execution_date={LAST}"


@pytest.mark.rule("32.20")
def test_a_partition_that_was_passed_over_names_the_backfill(client: Client, old: Register) -> None:
    old()
    found = why(client, partition="2024-01-12")
    assert shown(found) == ("passed_over", "2024-01-12", None)
    assert found["next_step"] == f"dli workflow backfill {DOWN} --start 2024-01-12 --end 2024-01-12"
    assert found["by"] is None
    paused = client.post(f"/workflows/{DOWN}/pause", json={"reason": "a move"}, headers={"Dli-User": "ann"})
    assert paused.is_success, paused.text
    found = why(client, partition="2024-01-12")
    note = "It is paused as well: no run starts. Paused by ann: a move."
    assert (found["state"], found["note"], found["by"]) == ("passed_over", note, None)


@pytest.mark.rule("32.27")
def test_a_partition_that_was_passed_over_in_a_pause_says_whose_it_was(
    client: Client, old: Register, clock: ManualClock
) -> None:
    old()
    clock.advance(-2 * DAY)
    paused = client.post(f"/workflows/{DOWN}/pause", json={"reason": "a move"}, headers={"Dli-User": "ann"})
    assert paused.is_success, paused.text
    clock.advance(2 * DAY)
    assert client.post(f"/workflows/{DOWN}/unpause").is_success
    found = why(client, partition="2024-01-13")
    assert (found["state"], found["by"], found["reason"]) == ("passed_over", "ann", "a move")
    assert found["at"] == "2024-01-13T09:30:45.123456Z"
    before = why(client, partition="2024-01-11")
    assert (before["state"], before["by"]) == ("passed_over", None)


@pytest.mark.rule("32.27")
def test_a_failed_run_of_a_paused_dataset_says_who_paused_it(
    client: Client, airflow: MemoryAirflow, old: Register
) -> None:
    old()
    ended(airflow, DOWN, "failed")
    paused = client.post(f"/workflows/{DOWN}/pause", headers={"Dli-User": "ann"})
    assert paused.is_success, paused.text
    found = why(client)
    note = "It is paused as well: no run starts. Paused by ann."
    assert (found["state"], found["note"]) == ("failed", note)


@pytest.mark.rule("32.20")
def test_with_catch_up_no_partition_is_passed_over(client: Client, old: Register) -> None:
    old(DOWN, **{"schedule:": "schedule:\n  catch_up: true"})
    assert shown(why(client, partition="2024-01-12")) == ("due", "2024-01-12", None)


@pytest.mark.rule("32.20")
def test_an_hour_that_the_clock_repeats_is_explained_by_its_offset(
    client: Client, airflow: MemoryAirflow, old: Register, clock: ManualClock
) -> None:
    clock.advance((datetime.fromisoformat("2024-10-27T05:30+00:00") - clock.now()).total_seconds())
    hourly = {'"0 9 * * *"': '"0 * * * *"', "Asia/Seoul": "Europe/Berlin"}
    old(DOWN, **hourly, **{"type: date\n": "type: datetime\n"})
    first, second = "2024-10-27T02:00+02:00", "2024-10-27T02:00+01:00"
    build(airflow, DOWN, first, grid=HOURLY)
    assert shown(why(client, partition=first)) == ("built", first, None)
    run_id = ended(airflow, DOWN, "failed", second, HOURLY)
    assert shown(why(client, partition=second)) == ("failed", second, run_id)
    twice = client.get(f"/workflows/{DOWN}/why", params={"partition": "2024-10-27T02:00"})
    assert twice.status_code == 400, twice.text
    assert first in twice.text
    assert second in twice.text
    found = why(client, partition="2024-10-27T03:00")
    assert found["state"] == "passed_over"
    step = f"dli workflow backfill {DOWN} --start 2024-10-27 --end 2024-10-27 --missing"
    assert found["next_step"] == step
    assert found["partition_label"] == "2024-10-27 03:00"


@pytest.mark.rule("32.20")
def test_of_a_dataset_without_a_schedule_the_last_run_counts(
    client: Client, airflow: MemoryAirflow, old: Register, start: Callable[..., str]
) -> None:
    old(DOWN, **{'schedule:\n  cron: "0 9 * * *"\n  timezone: Asia/Seoul\n': ""})
    found = why(client)
    assert shown(found) == ("no_schedule", None, None)
    assert found["next_step"] == f"dli workflow run {DOWN}"
    assert shown(why(client, partition="2024-01-10")) == ("no_schedule", "2024-01-10", None)
    run_id = start(DOWN, execution_date="2024-01-10")
    assert shown(why(client)) == ("pending", None, run_id)
    airflow.start(DOWN, run_id, source="manual", spec_hash="0" * 16)
    airflow.end(DOWN, run_id, "success")
    assert shown(why(client)) == ("built", None, run_id)
    assert shown(why(client, partition="2024-01-10")) == ("built", "2024-01-10", run_id)


@pytest.mark.rule("32.20")
def test_what_airflow_has_not_loaded_and_what_another_dag_took_is_told(
    client: Client, airflow: MemoryAirflow, old: Register, services: Services
) -> None:
    old()
    airflow.unload(DOWN)
    assert (why(client)["state"], why(client)["next_step"]) == ("not_loaded", "dli workflow sync")
    airflow.take_over(DOWN)
    services.takeovers.look()
    found = why(client)
    assert found["state"] == "taken_over"
    assert "etl.py" in found["error"]


@pytest.mark.rule("32.20")
def test_a_spec_of_code_that_cannot_be_used_is_the_answer(client: Client, publish: Publish) -> None:
    publish("sales.broken", {"owner: engineer@example.com": "owner: 1"})
    found = why(client, "sales.broken")
    assert found["state"] == "invalid"
    assert "owner" in found["error"]
    assert found["next_step"] == "dli dataset validate sales.broken"


@pytest.mark.rule("32.21")
def test_what_a_run_waits_for_is_followed_down_to_the_root_cause(
    client: Client, airflow: MemoryAirflow, old: Register, clock: ManualClock
) -> None:
    old(RAW)
    old(UP, RAW)
    old(DOWN, UP)
    waits = {name: scheduled(airflow, name) for name in (DOWN, UP)}
    for name, run_id in waits.items():
        airflow.wait(name, run_id)
    failed = ended(airflow, RAW, "failed")
    found = why(client)
    assert shown(found) == ("waiting", LAST, waits[DOWN])
    assert [one["dataset"] for one in found["waiting_for"]] == [UP]
    assert [(one["dataset_name"], *shown(one)) for one in found["upstream"]] == [
        (UP, "waiting", LAST, waits[UP]),
        (RAW, "failed", LAST, failed),
    ]
    assert found["upstream"][1]["error"] == "Conversion Error: 'x' is no number"
    airflow.delete_run(RAW, failed)
    assert client.post(f"/workflows/{RAW}/pause", json={"reason": "a move"}).is_success
    clock.advance(60)
    cause = why(client)["upstream"][1]
    assert (cause["state"], cause["reason"]) == ("paused", "a move")


@pytest.mark.rule("32.21")
def test_a_dataset_that_follows_its_upstream_is_explained_by_it(
    client: Client, airflow: MemoryAirflow, old: Register
) -> None:
    old(UP)
    follows = {'cron: "0 9 * * *"\n  timezone: Asia/Seoul': 'cron: "@upstream"'}
    old(DOWN, UP, **follows)
    run_id = scheduled(airflow, DOWN)
    airflow.wait(DOWN, run_id)
    found = why(client)
    assert shown(found) == ("waiting", LAST, run_id)
    assert [shown(one)[0] for one in found["upstream"]] == ["due"]


@pytest.mark.rule("32.21")
def test_of_many_upstream_partitions_some_are_looked_at_and_the_rest_counted(
    client: Client, airflow: MemoryAirflow, old: Register
) -> None:
    old(UP, **{'"0 9 * * *"': '"0 * * * *"', "type: date\n": "type: datetime\n"})
    old(DOWN, UP)
    airflow.wait(DOWN, scheduled(airflow, DOWN))
    found = why(client)
    assert len(found["upstream"]) == 10
    assert {one["state"] for one in found["upstream"]} == {"passed_over"}
    assert found["warnings"] == ["14 more upstream partitions are not looked at."]


@pytest.mark.rule("32.22")
def test_an_upstream_of_another_team_is_not_explained(
    client_of: Callable[[Any], Client], airflow: MemoryAirflow, services: Services, old: Register
) -> None:
    old(UP, **{'"@data-engineering"': '"@finance"'})
    old(DOWN, UP)
    airflow.wait(DOWN, scheduled(airflow, DOWN))
    vera = person("vera", Role.VIEWER, "@data-engineering")
    signed = client_of(create_app(services, credentials=signing_in(vera)))
    answer = signed.get(f"/workflows/{DOWN}/why", headers=bearer("vera"))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [(one["state"], one["run_id"]) for one in found["waiting_for"]] == [("hidden", None)]
    assert found["upstream"] == []
    assert signed.get(f"/workflows/{UP}/why", headers=bearer("vera")).status_code == 404


@pytest.mark.rule("32.23")
def test_unknown_names_and_partitions_are_refused_and_an_outage_shows_what_was_known(
    client: Client, airflow: MemoryAirflow, old: Register, clock: ManualClock
) -> None:
    old()
    assert client.get("/workflows/sales.dayly/why").status_code == 404
    assert client.get(f"/workflows/{DOWN}/why", params={"partition": "soon"}).status_code == 400
    before = why(client)
    airflow.down = "down for a test"
    clock.advance(timedelta(minutes=1).total_seconds())
    answer = client.get(f"/workflows/{DOWN}/why")
    assert answer.json() == before
    assert "60 s old" in answer.headers["dli-warning"]
