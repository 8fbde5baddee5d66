"""What waiting runs wait for: in the API, in lists, and on the page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.access.principal import Role
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.api.app import create_app
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.web.routes import router
from dataspec.contract import built_variable
from dataspec.errors import AirflowUnreachable
from dataspec.schedule.built import Built
from dataspec.schedule.partitions import Grid
from unit.basecamp.api.sign_in import bearer, person, signing_in

GRID = Grid("0 9 * * *", "Asia/Seoul")
UP, DOWN = "sales.orders", "sales.daily"
NOT_BUILT = f"Upstream partitions are not built: {UP} {{}}. To wait for them, add: --wait-for-upstream"

Register = Callable[..., Response]


def scheduled(airflow: MemoryAirflow, name: str, day: str, grid: Grid = GRID) -> str:
    """Let Airflow's scheduler create the run of a date."""
    start, end = grid.interval_from(date.fromisoformat(day))
    run_id = f"{name}_{end:%Y%m%d_%H%M%S}"
    airflow.schedule(name, run_id, (start, end))
    return run_id


def waiting(airflow: MemoryAirflow, day: str = "2024-01-14") -> str:
    run_id = scheduled(airflow, DOWN, day)
    airflow.wait(DOWN, run_id)
    return run_id


def ended(airflow: MemoryAirflow, day: str, state: Any, name: str = UP) -> str:
    run_id = scheduled(airflow, name, day)
    for _ in range(2 if state == "failed" else 1):
        airflow.start(name, run_id, source="manual", spec_hash="0" * 16)
        airflow.end(name, run_id, state)
    return run_id


def build(airflow: MemoryAirflow, *days: str, name: str = UP, grid: Grid = GRID) -> None:
    value = Built()
    for day in days:
        value = value.with_partition(
            grid.named(day), at=datetime.fromisoformat("2024-01-15T00:00+00:00"), grid=grid
        )
    airflow.stored_variables[built_variable(name)] = value.text()


def reasons(client: Client, run_id: str) -> list[tuple[str | None, ...]]:
    answer = client.get(f"/runs/{run_id}")
    assert answer.status_code == 200, answer.text
    found = answer.json()["waiting_for"]
    return [(one["dataset"], one["partition"], one["state"], one["run_id"]) for one in found]


@pytest.fixture
def two(register: Register, clock: ManualClock) -> None:
    """A dataset, and one that depends on it, registered some days ago."""
    clock.advance(-10 * 86400)
    register(UP)
    depends(register, UP)
    clock.advance(10 * 86400)


def depends(register: Register, *entries: str, name: str = DOWN, **replace: str) -> None:
    register(name, {"owner:": f"depends_on: [{', '.join(entries)}]\nowner:", **replace})


@pytest.mark.rule("31.7")
@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("state", ["pending", "running", "failed", "killed", "completed"])
def test_a_waiting_run_names_the_upstream_run_and_its_state(
    state: str, client: Client, airflow: MemoryAirflow
) -> None:
    run_id = waiting(airflow)
    if state == "pending":
        upstream = scheduled(airflow, UP, "2024-01-14")
    elif state in {"running", "killed"}:
        upstream = scheduled(airflow, UP, "2024-01-14")
        airflow.start(UP, upstream, source="manual", spec_hash="0" * 16)
        if state == "killed":
            assert client.post(f"/runs/{upstream}/stop").status_code == 200
    else:
        upstream = ended(airflow, "2024-01-14", "failed" if state == "failed" else "success")
    assert reasons(client, run_id) == [(UP, "2024-01-14", state, upstream)]


@pytest.mark.rule("31.7")
@pytest.mark.usefixtures("two")
def test_the_last_run_for_the_partition_counts_however_it_was_started(
    client: Client, airflow: MemoryAirflow, start: Callable[..., str]
) -> None:
    run_id = waiting(airflow)
    ended(airflow, "2024-01-14", "failed")
    ended(airflow, "2024-01-13", "failed")
    adhoc = start(UP, execution_date="2024-01-14")
    start(UP, execution_date="2024-01-12")
    assert reasons(client, run_id) == [(UP, "2024-01-14", "pending", adhoc)]


@pytest.mark.rule("31.7")
@pytest.mark.usefixtures("two")
def test_without_an_upstream_run_the_reason_is_named(
    client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    run_id = waiting(airflow)
    assert reasons(client, run_id) == [(UP, "2024-01-14", "missing", None)]
    client.post(f"/workflows/{UP}/pause")
    assert reasons(client, run_id) == [(UP, "2024-01-14", "paused", None)]
    client.post(f"/workflows/{UP}/unpause")
    clock.advance(-11 * 3600)  # the upstream is due at 09:00 in Seoul
    assert reasons(client, run_id) == [(UP, "2024-01-14", "not_due", None)]


@pytest.mark.rule("31.7")
@pytest.mark.usefixtures("two")
def test_an_upstream_that_is_gone_is_named_as_such(client: Client, airflow: MemoryAirflow) -> None:
    run_id = waiting(airflow)
    answer = client.delete(f"/datasets/{UP}", params={"accept_dependents": True})
    assert answer.is_success, answer.text
    assert [one[2] for one in reasons(client, run_id)] == ["unregistered"]


@pytest.mark.rule("31.7")
@pytest.mark.usefixtures("two")
def test_an_upstream_whose_schedule_is_off_counts_as_paused(
    client: Client, airflow: MemoryAirflow, register: Register
) -> None:
    run_id = waiting(airflow)
    register(UP, {"schedule:\n": "schedule:\n  enabled: false\n"}, accept_dependents=True)
    assert reasons(client, run_id) == [(UP, "2024-01-14", "paused", None)]


@pytest.mark.rule("31.7")
@pytest.mark.usefixtures("two")
def test_a_run_that_does_not_wait_waits_for_nothing(
    client: Client, airflow: MemoryAirflow, start: Callable[..., str]
) -> None:
    adhoc = start(DOWN, execution_date="2024-01-13")
    assert reasons(client, adhoc) == []
    run_id = waiting(airflow)
    build(airflow, "2024-01-14")
    assert reasons(client, run_id) == []
    build(airflow)
    assert len(reasons(client, run_id)) == 1
    airflow.start(DOWN, run_id, source="manual", spec_hash="0" * 16)
    assert reasons(client, run_id) == []


@pytest.mark.rule("31.7")
def test_each_partition_that_is_missing_is_named_up_to_twenty(
    client: Client, airflow: MemoryAirflow, register: Register, clock: ManualClock
) -> None:
    clock.advance(-10 * 86400)
    register("ref.rates", {'schedule:\n  cron: "0 9 * * *"\n  timezone: Asia/Seoul\n': ""})
    register("web.clicks", {"0 9 * * *": "0 * * * *"})
    register(UP)
    register("other.gone")
    depends(register, UP, "web.clicks", "ref.rates", "{dataset: other.gone, partition: previous}")
    assert client.delete("/datasets/other.gone", params={"accept_dependents": True}).is_success
    clock.advance(10 * 86400)
    run_id = waiting(airflow)
    build(airflow, "2024-01-14")
    clicks = Grid("0 * * * *", "Asia/Seoul")
    built = [f"2024-01-14T{hour:02}:00" for hour in range(24) if hour not in {3, 17}]
    build(airflow, *built, name="web.clicks", grid=clicks)
    assert reasons(client, run_id) == [
        ("web.clicks", "2024-01-14T03:00+09:00", "missing", None),
        ("web.clicks", "2024-01-14T17:00+09:00", "missing", None),
        ("ref.rates", None, "missing", None),
        ("other.gone", "2024-01-13", "unregistered", None),
    ]
    build(airflow, name="web.clicks", grid=clicks)
    assert len([one for one in reasons(client, run_id) if one[0] == "web.clicks"]) == 24


@pytest.mark.rule("31.7")
@pytest.mark.usefixtures("two")
def test_a_run_whose_datasets_are_built_waits_for_its_query(
    client: Client, airflow: MemoryAirflow, register: Register
) -> None:
    depends(register, UP, "{sql: select 1 from loads}")
    run_id = waiting(airflow)
    assert [one[2] for one in reasons(client, run_id)] == ["missing"]
    build(airflow, "2024-01-14")
    assert reasons(client, run_id) == [(None, None, "query", None)]


@pytest.mark.rule("31.8")
@pytest.mark.usefixtures("two")
def test_waiting_datasets_are_listed_with_their_oldest_run_and_what_it_waits_for(
    client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    def rows(**params: Any) -> dict[str, Any]:
        answer = client.get("/workflows", params=params)
        assert answer.status_code == 200, answer.text
        return {row["dataset_name"]: row for row in answer.json()["items"]}

    assert rows(waiting="true") == {}
    run_id = waiting(airflow)
    since = clock.now()
    clock.advance(3600)
    waiting(airflow, "2024-01-15")
    failed = ended(airflow, "2024-01-14", "failed")
    clock.advance(31)
    found = rows(waiting="true")
    assert list(found) == [DOWN]
    assert found[DOWN]["waiting_run_id"] == run_id
    assert datetime.fromisoformat(found[DOWN]["waiting_since"]) == since
    assert found[DOWN]["waiting_for"] == [
        {"dataset": UP, "partition": "2024-01-14", "state": "failed", "run_id": failed}
    ]
    everything = rows()
    assert (everything[DOWN]["waiting_run_id"], everything[DOWN]["waiting_for"]) == (run_id, [])
    assert everything[UP]["waiting_run_id"] is None
    assert client.get(f"/workflows/{DOWN}").json()["waiting_run_id"] == run_id


@pytest.mark.rule("31.8")
def test_a_list_of_waiting_datasets_costs_a_request_for_each_upstream_not_for_each_run(
    client: Client, airflow: MemoryAirflow, register: Register, clock: ManualClock
) -> None:
    clock.advance(-10 * 86400)
    register(UP)
    for number in range(12):
        depends(register, UP, name=f"sales.d{number}")
    clock.advance(10 * 86400)
    for number in range(12):
        airflow.wait(f"sales.d{number}", scheduled(airflow, f"sales.d{number}", "2024-01-14"))
    client.get("/workflows")
    before = airflow.requests
    answer = client.get("/workflows", params={"waiting": "true"})
    assert len(answer.json()["items"]) == 12
    assert airflow.requests - before < 12


@pytest.mark.rule("31.7", "26.25")
@pytest.mark.usefixtures("two")
def test_of_an_upstream_of_another_team_a_caller_sees_that_it_is_waited_for(
    client_of: Callable[[Any], Client],
    services: Services,
    airflow: MemoryAirflow,
    register: Register,
    clock: ManualClock,
) -> None:
    register(UP, {'team: "@data-engineering"': 'team: "@finance"'})
    run_id = waiting(airflow)
    failed = ended(airflow, "2024-01-14", "failed")
    clock.advance(31)
    people = person("vera", Role.VIEWER, "@data-engineering"), person("adam", Role.ADMIN)
    signed = client_of(create_app(services, credentials=signing_in(*people), pages=router))
    for name, state, run in (("vera", "hidden", None), ("adam", "failed", failed)):
        expected = [{"dataset": UP, "partition": "2024-01-14", "state": state, "run_id": run}]
        assert signed.get(f"/runs/{run_id}", headers=bearer(name)).json()["waiting_for"] == expected
        (row,) = signed.get("/workflows", params={"waiting": "true"}, headers=bearer(name)).json()["items"]
        assert row["waiting_for"] == expected
        page = signed.get(f"http://test/runs/{run_id}", headers=bearer(name))
        assert (failed in page.text) == (run is not None)
        assert f"{UP} 2024-01-14" in page.text


@pytest.mark.rule("31.9")
@pytest.mark.usefixtures("two")
def test_a_run_that_waits_is_not_warned_of_and_a_run_starts_whatever_airflow_refuses(
    client: Client, airflow: MemoryAirflow, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(**parameters: Any) -> list[str]:
        answer = client.post(f"/workflows/{DOWN}/runs", json={"parameters": parameters})
        assert answer.status_code == 201, answer.text
        warnings: list[str] = answer.json()["warnings"]
        return warnings

    assert start(execution_date="2024-01-14") == [NOT_BUILT.format("2024-01-14")]
    depends(register, "{dataset: sales.orders, partition: latest}")
    assert start(execution_date="2024-01-14") == [NOT_BUILT.format("(any)")]
    build(airflow, "2023-12-31")
    assert start(execution_date="2024-01-14") == []

    def refuse(_key: str) -> str:
        raise AirflowUnreachable("Airflow refuses to show Variables.")

    monkeypatch.setattr(airflow, "variable", refuse)
    assert start(execution_date="2024-01-14") == [
        "Whether the upstream datasets are built is not known. Airflow refuses to show Variables."
    ]


@pytest.mark.rule("31.9")
@pytest.mark.usefixtures("two")
def test_of_many_missing_partitions_twenty_are_named(client: Client) -> None:
    body = {"start": "2024-01-08", "end": "2024-02-15"}
    (warning,) = client.post(f"/workflows/{DOWN}/backfills", json=body).json()["warnings"]
    assert warning.count(UP) == 20
    assert warning.endswith(f"{UP} 2024-01-27 and 19 more. To wait for them, add: --wait-for-upstream")
