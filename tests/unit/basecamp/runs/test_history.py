"""The history of runs: filters, pages, outages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.models import LogEvent
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.shared.clock import ManualClock

Register = Callable[..., Response]
Start = Callable[..., str]
Execute = Callable[..., None]


def page(client: Client, **query: Any) -> dict[str, Any]:
    answer = client.get("/runs", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(client: Client, **query: Any) -> list[str]:
    """Return the ids of all runs that a query finds, over all its pages."""
    found: list[str] = []
    while True:
        answer = page(client, **query)
        assert len(answer["items"]) <= query.get("limit", 20)
        found += [item["run_id"] for item in answer["items"]]
        if answer["next_cursor"] is None:
            return found
        query["cursor"] = answer["next_cursor"]


@pytest.fixture
def one_of_each(
    register: Register, start: Start, execute: Execute, client: Client, publish: Callable[..., None]
) -> dict[str, str]:
    """Make a run of each status; the completed one ran the spec of code, the others the manual one."""
    register()
    runs = {name: start() for name in ("FAILED", "KILLED", "RUNNING", "PENDING")}
    for _ in range(2):
        execute(runs["FAILED"], "failed")
    execute(runs["KILLED"])
    client.post(f"/runs/{runs['KILLED']}/stop")
    execute(runs["RUNNING"])
    publish()
    runs["COMPLETED"] = start()
    execute(runs["COMPLETED"], "success")
    return runs


@pytest.mark.rule("12.18")
def test_runs_come_newest_first_and_twenty_at_a_time(
    register: Register, start: Start, client: Client
) -> None:
    register()
    started = [start() for _ in range(25)]
    first = page(client)
    assert [item["run_id"] for item in first["items"]] == started[:4:-1]
    assert ids(client) == started[::-1]


@pytest.mark.rule("12.5")
def test_each_status_is_filtered(one_of_each: dict[str, str], client: Client) -> None:
    for status, run_id in one_of_each.items():
        assert ids(client, status=status) == [run_id]
        assert ids(client, status=status.lower()) == [run_id]


@pytest.mark.rule("22.36")
def test_several_statuses_are_filtered_repeated_or_separated_by_commas(
    one_of_each: dict[str, str], client: Client
) -> None:
    wanted = [one_of_each[name] for name in ("COMPLETED", "KILLED", "FAILED")]
    assert ids(client, status="failed,KILLED,completed") == wanted
    assert ids(client, status=["failed", "KILLED,completed"]) == wanted
    assert ids(client, status="failed,PENDING,killed", limit=1) == [
        one_of_each[name] for name in ("PENDING", "KILLED", "FAILED")
    ]
    for wrong in ("failed,", "failed;killed", ""):
        assert client.get("/runs", params={"status": wrong}).status_code == 400
    assert client.get("/runs", params={"limit": ["1", "2"]}).status_code == 400


@pytest.mark.rule("12.18")
def test_sources_are_filtered_by_the_version_that_each_run_ran(
    one_of_each: dict[str, str], client: Client
) -> None:
    assert ids(client, source="code") == [one_of_each["COMPLETED"]]
    assert ids(client, source="manual") == [one_of_each[status] for status in ("RUNNING", "KILLED", "FAILED")]
    assert len(ids(client, source="all")) == 5


@pytest.mark.rule("1.4")
def test_types_are_filtered(register: Register, start: Start, client: Client, airflow: MemoryAirflow) -> None:
    register()
    adhoc = start()
    due = datetime(2024, 1, 15, 0, 0, tzinfo=UTC)
    airflow.schedule("sales.daily", "sales.daily_20240115_000000", (due - timedelta(days=1), due))
    assert ids(client, run_type="adhoc") == [adhoc]
    assert ids(client, run_type="scheduled") == ["sales.daily_20240115_000000"]


@pytest.mark.rule("12.18")
def test_datasets_are_filtered_by_name_and_by_pattern(
    register: Register, start: Start, client: Client
) -> None:
    for name in ("sales.daily", "sales.hourly", "clicks"):
        register(name)
    daily, hourly, _ = start("sales.daily"), start("sales.hourly"), start("clicks")
    assert ids(client, dataset="sales.daily") == [daily]
    assert ids(client, dataset="sales.*") == [hourly, daily]


@pytest.mark.parametrize("until", ["2024-01-15T09:30:46Z", "2024-01-14T00:00:00+09:00"])
def test_times_the_wrong_way_round_are_refused(client: Client, until: str) -> None:
    answer = client.get("/runs", params={"since": "2024-01-15T09:30:46Z", "until": until})
    assert answer.status_code == 400
    assert answer.json()["title"].startswith(
        "The start 2024-01-15T09:30+00:00 is not before the end 2024-01-1"
    )
    assert "--since" in answer.json()["detail"]


def test_times_bound_when_runs_were_due(register: Register, start: Start, client: Client) -> None:
    register()
    first, second, third = start(), start(), start()
    assert ids(client, since="2024-01-15T09:30:47Z") == [third, second]
    assert ids(client, until="2024-01-15T18:30:47+09:00") == [first]


@pytest.mark.rule("12.18", "27.4")
@pytest.mark.parametrize("limit", [1, 3, 7])
def test_filtered_pages_leave_nothing_out_and_show_nothing_twice(
    register: Register, start: Start, execute: Execute, client: Client, limit: int
) -> None:
    register(replace={"schedule:": "schedule:\n  retry: {max_attempts: 0}"})
    killed = []
    for number in range(30):
        run_id = start()
        if number % 3:
            client.post(f"/runs/{run_id}/stop")
            killed.append(run_id)
        else:
            execute(run_id, "failed")
    assert ids(client, status="KILLED", limit=limit) == killed[::-1]


def test_a_run_that_starts_between_two_pages_shifts_nothing(
    register: Register, start: Start, client: Client
) -> None:
    register()
    started = [start() for _ in range(6)]
    first = page(client, source="all", status="PENDING", limit=2)
    start()
    rest = ids(client, status="PENDING", limit=2, cursor=first["next_cursor"])
    assert [item["run_id"] for item in first["items"]] + rest == started[::-1]


def test_more_runs_than_airflow_puts_on_a_page(register: Register, start: Start, client: Client) -> None:
    register()
    started = [start() for _ in range(120)]
    assert ids(client, limit=110) == started[::-1]


@pytest.mark.rule("4.9")
def test_the_history_of_a_removed_dataset_stays_readable(
    register: Register, start: Start, client: Client, airflow: MemoryAirflow, store: Any, clock: ManualClock
) -> None:
    register()
    run_id = start()
    stored = store.get("manual/sales.daily.yaml")
    store.delete("manual/sales.daily.yaml", expected=stored.etag)
    airflow.unload("sales.daily")
    clock.advance(60)
    assert client.get("/workflows/sales.daily").status_code == 404
    assert ids(client, dataset="sales.daily") == [run_id]
    assert client.get(f"/runs/{run_id}").json()["dataset_name"] == "sales.daily"


def test_runs_of_other_dags_are_left_out_but_not_those_of_a_removed_dataset(
    register: Register, start: Start, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    ours = start()
    assert ids(client) == [ours]
    clock.advance(60)
    airflow.load("other.dag", tags=["source:elsewhere"])
    airflow.load("removed.dataset", tags=["source:manual"])
    for dag_id in ("other.dag", "removed.dataset"):
        airflow.trigger(dag_id, f"{dag_id}_20240115_100001", logical_date=clock.now(), conf={})
    assert ids(client) == ["removed.dataset_20240115_100001", ours]


def test_an_unknown_dataset_is_not_found(register: Register, client: Client) -> None:
    register()
    answer = client.get("/runs", params={"dataset": "sales.dayly"})
    assert answer.status_code == 404
    assert "Did you mean 'sales.daily'?" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"limit": 0}, "query.limit"),
        ({"status": "done"}, "query.status"),
        ({"since": "yesterday"}, "query.since"),
        ({"since": "2024-01-15T00:00:00"}, "query.since"),
        ({"source": "git"}, "query.source"),
        ({"cursor": "x"}, "next_cursor"),
        ({"cursor": "W10"}, "next_cursor"),
        ({"cursor": "WyJhIiwiIiwiIl0"}, "next_cursor"),
        ({"since": "0001-01-01T00:00:00+23:59"}, "query.since"),
        ({"until": "9999-12-31T23:59:59-23:59"}, "query.until"),
    ],
)
def test_a_wrong_query_is_reported_by_its_parameter(client: Client, query: dict[str, Any], told: str) -> None:
    answer = client.get("/runs", params=query)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_usage"
    assert told in answer.json()["detail"]


@pytest.mark.rule("12.24", "27.4")
def test_a_page_of_runs_costs_airflow_few_requests(
    register: Register, start: Start, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    for _ in range(50):
        start()
    page(client)
    before = airflow.requests
    page(client, limit=50)
    assert airflow.requests - before <= 4


@pytest.mark.rule("12.24")
def test_filters_on_airflows_rows_cost_no_further_requests(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register(replace={"schedule:": "schedule:\n  retry: {max_attempts: 0}"})
    for _ in range(250):
        execute(start(), "failed")
    page(client)
    for query in (
        {"status": "KILLED"},
        {"run_type": "backfill"},
        {"dataset": "nothing.*"},
        {"run_type": "scheduled"},
    ):
        before = airflow.requests
        assert page(client, **query)["items"] == []
        assert airflow.requests - before <= 4, query


@pytest.mark.rule("12.24")
def test_runs_that_ended_a_while_ago_cost_one_request_until_they_are_retried(
    register: Register,
    start: Start,
    execute: Execute,
    client: Client,
    airflow: MemoryAirflow,
    clock: ManualClock,
) -> None:
    register(replace={"schedule:": "schedule:\n  retry: {max_attempts: 0}"})
    run_id = start()
    execute(run_id, "failed")
    clock.advance(400)
    first = page(client)["items"]
    clock.advance(400)
    before = airflow.requests
    assert page(client)["items"] == first
    assert airflow.requests - before == 1
    client.post(f"/runs/{run_id}/retry")
    execute(run_id, "success")
    (again,) = page(client)["items"]
    assert (again["status"], again["attempts"], first[0]["attempts"]) == ("COMPLETED", 2, 1)


@pytest.mark.rule("12.17")
def test_failed_runs_are_listed_with_their_errors(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    runs = [start() for _ in range(3)]
    for run_id in runs[:2]:
        for attempt in (1, 2):
            execute(run_id)
            event = LogEvent(message="Task failed", error=f"CatalogError: {run_id}, {attempt}")
            airflow.log_event("sales.daily", run_id, event)
            airflow.end("sales.daily", run_id, "failed")
    execute(runs[2], "success")
    listed = {item["run_id"]: item["error"] for item in page(client)["items"]}
    assert listed == {
        runs[0]: f"CatalogError: {runs[0]}, 2",
        runs[1]: f"CatalogError: {runs[1]}, 2",
        runs[2]: None,
    }


@pytest.mark.rule("30.42")
def test_runs_are_found_by_what_they_build_and_other_rows_cost_no_further_request(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    days = {
        day: start(execution_date=day) for day in ("2024-01-08", "2024-01-14", "2024-01-15", "2024-01-16")
    }
    for day in days.values():
        execute(day, "success")
    register(replace={"0 9 * * *": "0 9 * * 1"})
    week = start(execution_date="2024-01-15")
    register("sales.hourly", replace={"0 9 * * *": "0 * * * *"})
    hours = [start("sales.hourly", execution_date=f"2024-01-15T{hour}:00") for hour in ("00", "13", "23")]
    interval = (datetime(2024, 1, 15, 4, tzinfo=UTC), datetime(2024, 1, 15, 5, tzinfo=UTC))
    airflow.schedule("sales.hourly", "sales.hourly_20240115_050000", interval)
    at_13 = {"sales.hourly_20240115_050000", hours[1]}
    assert set(ids(client, partition="2024-01-15")) == {days["2024-01-15"], week, *hours} | at_13
    assert set(ids(client, partition="2024-01-16")) == {days["2024-01-16"], week}
    assert ids(client, partition="2024-01-14") == [days["2024-01-14"]]
    assert set(ids(client, partition="2024-01-15T13:00", dataset="sales.hourly")) == at_13
    assert set(ids(client, partition="2024-01-15T04:30Z", dataset="sales.hourly")) == at_13
    assert ids(client, partition="2030-01-01") == []
    assert ids(client, partition="2024-01-15", limit=1) == ids(client, partition="2024-01-15")


@pytest.mark.rule("30.42")
@pytest.mark.parametrize("text", ["", "soon", "2024-02-30", "2024-01-15T25:00", "0001-01-01"])
def test_a_text_that_names_no_partition_is_refused(client: Client, text: str) -> None:
    answer = client.get("/runs", params={"partition": text})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_usage")
    assert "such as 2024-01-15T13:00" in answer.json()["detail"]
