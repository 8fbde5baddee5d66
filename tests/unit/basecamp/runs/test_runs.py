"""Runs: status, lookup by id, stop, logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import pytest
from httpx import Client, Response

from basecamp.airflow.models import DagRun, LogEvent
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.shared.clock import ManualClock
from dataspec.models import CheckResult
from dataspec.schedule.next_run import ScheduledRun

Register = Callable[..., Response]
Start = Callable[..., str]
Execute = Callable[..., None]
INTERVAL = (datetime(2024, 1, 14, 0, 0, tzinfo=UTC), datetime(2024, 1, 15, 0, 0, tzinfo=UTC))


def get(client: Client, run_id: str) -> dict[str, Any]:
    answer = client.get(f"/runs/{run_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.rule("12.5")
def test_a_run_goes_from_pending_over_running_to_completed(
    register: Register,
    start: Start,
    execute: Execute,
    client: Client,
    airflow: MemoryAirflow,
    clock: ManualClock,
) -> None:
    spec_hash = register().json()["spec_hash"]
    run_id = start()
    pending = get(client, run_id)
    execute(run_id)
    running = get(client, run_id)
    clock.advance(30)
    airflow.end("sales.daily", run_id, "success")
    done = get(client, run_id)
    assert (pending["status"], pending["attempts"], pending["started_at"]) == ("PENDING", 0, None)
    assert (pending["source_type"], pending["spec_hash"]) == (None, None)
    assert (running["status"], running["attempts"], running["finished_at"]) == ("RUNNING", 1, None)
    assert (running["source_type"], running["spec_hash"]) == ("manual", spec_hash)
    assert (done["status"], done["max_attempts"]) == ("COMPLETED", 2)
    assert done["started_at"] == "2024-01-15T09:30:46.123456Z"
    assert done["finished_at"] == "2024-01-15T09:31:16.123456Z"


@pytest.mark.rule("12.8")
def test_a_run_shows_the_source_and_version_that_its_last_attempt_ran(
    register: Register, start: Start, execute: Execute, client: Client, publish: Callable[..., None]
) -> None:
    manual = register().json()["spec_hash"]
    run_id = start()
    execute(run_id, "failed")
    assert (get(client, run_id)["source_type"], get(client, run_id)["spec_hash"]) == ("manual", manual)
    publish()
    assert get(client, run_id)["source_type"] == "manual"
    execute(run_id, "success")
    after = get(client, run_id)
    assert (after["source_type"], after["attempts"], after["status"]) == ("code", 2, "COMPLETED")
    assert after["spec_hash"] == client.get("/workflows/sales.daily").json()["spec_hash"]


@pytest.mark.rule("12.5")
def test_between_two_attempts_a_run_is_running(
    register: Register, start: Start, execute: Execute, client: Client
) -> None:
    register()
    run_id = start()
    execute(run_id, "failed")
    assert get(client, run_id)["status"] == "RUNNING"


@pytest.mark.rule("12.17")
def test_a_failed_run_shows_its_last_error(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    run_id = start()
    execute(run_id, "failed")
    execute(run_id)
    for error in ("ParserError: first", "CatalogError: no such table: clicks"):
        airflow.log_event("sales.daily", run_id, LogEvent(message="Task failed", error=error))
    airflow.end("sales.daily", run_id, "failed")
    failed = get(client, run_id)
    assert (failed["status"], failed["error"]) == ("FAILED", "CatalogError: no such table: clicks")


def test_a_scheduled_run_shows_the_date_that_it_builds(
    register: Register, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    airflow.schedule("sales.daily", "sales.daily_20240115_000000", INTERVAL)
    run = get(client, "sales.daily_20240115_000000")
    assert run["run_type"] == "scheduled"
    assert run["parameters"] == {"execution_date": "2024-01-14", "limit": 100}


@pytest.mark.rule("11.9")
@pytest.mark.parametrize(
    ("made_in", "date"), [("Asia/Seoul", "2024-01-14"), ("America/New_York", "2024-01-13")]
)
def test_a_scheduled_run_shows_the_date_it_was_made_for_whatever_the_zone_is_now(
    register: Register, client: Client, airflow: MemoryAirflow, made_in: str, date: str
) -> None:
    register(replace={"Asia/Seoul": "Europe/London"})
    made = ScheduledRun.ordinary("0 0 * * *", made_in, INTERVAL)
    airflow.schedule("sales.daily", "sales.daily_20240115_000000", made.interval)
    assert get(client, "sales.daily_20240115_000000")["parameters"]["execution_date"] == date


@pytest.mark.rule("3.7")
@pytest.mark.parametrize("run_id", ["manual__2024-01-15T09:30:45.1+00:00_x8f3", "by hand"[:2]])
def test_a_run_started_on_airflows_page_is_found_by_its_id(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock, run_id: str
) -> None:
    register()
    airflow.trigger("sales.daily", run_id, logical_date=clock.now(), conf={"limit": "many"})
    run = client.get("/runs/" + run_id.replace("+", "%2B")).json()
    assert run["dataset_name"] == "sales.daily"
    assert run["run_type"] == "adhoc"
    assert run["parameters"] == {"limit": "many"}


@pytest.mark.rule("3.7")
def test_an_id_that_two_datasets_share_asks_which_is_meant(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    for name in ("sales.daily", "sales.hourly"):
        register(name)
        airflow.trigger(name, "by_hand", logical_date=clock.now(), conf={})
    answer = client.get("/runs/by_hand")
    assert answer.status_code == 400
    assert "sales.daily, sales.hourly" in answer.json()["detail"]
    assert client.get("/runs/by_hand?dataset=sales.hourly").json()["dataset_name"] == "sales.hourly"


@pytest.mark.rule("12.23")
def test_runs_of_dags_that_are_no_datasets_are_not_shown(
    register: Register, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    airflow.load("etl")
    airflow.trigger("etl", "by_hand", logical_date=clock.now(), conf={})
    airflow.trigger("etl", "etl_20240115_093045", logical_date=clock.now() + timedelta(seconds=1), conf={})
    assert client.get("/runs").json()["items"] == []
    assert client.get("/runs/by_hand").status_code == 404
    assert client.get("/runs/etl_20240115_093045").status_code == 404


@pytest.mark.parametrize(
    "run_id",
    ["sales.daily_20240115_093045", "nope", "..", "%2e%2e", "a%20b", "x" * 300, "a%0Ab", "%ED%95%9C"],
)
def test_an_unknown_run_is_not_found(register: Register, client: Client, run_id: str) -> None:
    register()
    answer = client.get(f"/runs/{run_id}/logs")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.rule("13.1")
def test_stopping_a_running_run_kills_it_and_notes_the_caller_the_time_and_the_reason(
    register: Register, start: Start, execute: Execute, client: Client
) -> None:
    register()
    run_id = start()
    execute(run_id)
    answer = client.post(f"/runs/{run_id}/stop", json={"reason": "wrong date"}, headers={"Dli-User": "kim"})
    assert answer.status_code == 200
    assert answer.json()["status"] == "KILLED"
    assert answer.json()["note"] == "Stopped by kim at 2024-01-15T09:30:46+00:00 in attempt 1: wrong date"
    assert get(client, run_id)["status"] == "KILLED"


@pytest.mark.rule("13.4")
def test_stopping_a_pending_run_kills_it_before_its_first_attempt(
    register: Register, start: Start, client: Client
) -> None:
    register()
    run_id = start()
    answer = client.post(f"/runs/{run_id}/stop")
    assert (answer.json()["status"], answer.json()["attempts"]) == ("KILLED", 0)
    assert "before its first attempt" in answer.json()["note"]


@pytest.mark.rule("13.3")
def test_a_second_stop_is_harmless(register: Register, start: Start, client: Client) -> None:
    register()
    run_id = start()
    first = client.post(f"/runs/{run_id}/stop", headers={"Dli-User": "kim"})
    second = client.post(f"/runs/{run_id}/stop", headers={"Dli-User": "lee"})
    assert second.status_code == 200
    assert second.json() == first.json()


@pytest.mark.rule("13.3")
@pytest.mark.parametrize(("state", "status"), [("success", "COMPLETED"), ("failed", "FAILED")])
def test_stopping_a_finished_run_says_how_it_ended(
    register: Register, start: Start, execute: Execute, client: Client, state: str, status: str
) -> None:
    register()
    run_id = start()
    for _ in range(1 if state == "success" else 2):
        execute(run_id, state)
    answer = client.post(f"/runs/{run_id}/stop")
    assert (answer.status_code, answer.json()["status"], answer.json()["note"]) == (200, status, None)


@pytest.mark.rule("13.4")
@pytest.mark.parametrize("looks_before", [0, 1])
def test_an_attempt_that_airflow_starts_in_the_moment_of_the_stop_is_ended_as_well(
    register: Register,
    start: Start,
    client: Client,
    airflow: MemoryAirflow,
    monkeypatch: pytest.MonkeyPatch,
    looks_before: int,
) -> None:
    register()
    run_id = start()
    attempts, looks = airflow.attempts, iter(range(100))

    def starting_late(runs: Any) -> Any:
        """Start the attempt at a look that follows the order."""
        if next(looks) == 1 + looks_before:
            ended = airflow.get_run("sales.daily", run_id)
            assert ended is not None
            assert ended.state == "failed"
            airflow.start("sales.daily", run_id, source="manual", spec_hash="0")
        return attempts(runs)

    monkeypatch.setattr(airflow, "attempts", starting_late)
    answer = client.post(f"/runs/{run_id}/stop")
    assert (answer.status_code, answer.json()["status"]) == (200, "KILLED")
    run = airflow.get_run("sales.daily", run_id)
    assert run is not None
    assert [attempt.state for attempt in attempts([run])] == ["failed"]


@pytest.mark.rule("13.4")
@pytest.mark.parametrize("looks_before", [0, 1])
def test_a_run_whose_skipped_attempt_airflow_takes_for_done_is_killed_all_the_same(
    register: Register,
    start: Start,
    client: Client,
    airflow: MemoryAirflow,
    monkeypatch: pytest.MonkeyPatch,
    looks_before: int,
) -> None:
    """Airflow's scheduler may look at a run while it is stopped, and call one whose tasks were all skipped a success."""
    register()
    run_id = start()
    get_run, looks = airflow.get_run, iter(range(100))

    def flipping_late(dag_id: str, run_id: str) -> Any:
        if next(looks) == 1 + looks_before:
            airflow.set_run_state(dag_id, run_id, "success", note=str(found(dag_id, run_id).note))
        return get_run(dag_id, run_id)

    def found(dag_id: str, run_id: str) -> DagRun:
        run = get_run(dag_id, run_id)
        assert run is not None
        return run

    monkeypatch.setattr(airflow, "get_run", flipping_late)
    assert client.post(f"/runs/{run_id}/stop").json()["status"] == "KILLED"
    assert found("sales.daily", run_id).state == "failed"


@pytest.mark.rule("13.2")
def test_a_stop_says_where_the_process_was_not_seen_to_end(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    run_id = start()
    execute(run_id)
    airflow.processes_linger = True
    note = client.post(f"/runs/{run_id}/stop").json()["note"]
    assert note.endswith("The process of the attempt was not seen to end; its query may still run.")


@pytest.mark.rule("19.15")
def test_a_line_break_in_a_name_does_not_reach_the_note(
    register: Register, start: Start, client: Client
) -> None:
    register()
    run_id = start()
    note = client.post(f"/runs/{run_id}/stop", headers={"Dli-User": "kim%0Alee"}).json()["note"]
    assert note.startswith("Stopped by kimlee at")


@pytest.mark.rule("1.4", "12.19")
def test_the_log_of_each_attempt_is_shown(
    register: Register,
    start: Start,
    execute: Execute,
    client: Client,
    airflow: MemoryAirflow,
    clock: ManualClock,
) -> None:
    register()
    run_id = start()
    assert client.get(f"/runs/{run_id}/logs").json() == {
        "run_id": run_id,
        "attempt": 0,
        "attempts": 0,
        "lines": [],
        "more": False,
        "next_cursor": ANY,
    }
    execute(run_id)
    event = LogEvent(
        message="Task failed\nbadly",
        timestamp=clock.now(),
        level="error",
        error="E: x",
        details=("Traceback", "E: x"),
    )
    airflow.log_event("sales.daily", run_id, event)
    airflow.end("sales.daily", run_id, "failed")
    execute(run_id, "success")
    first = client.get(f"/runs/{run_id}/logs", params={"attempt": 1}).json()
    last = client.get(f"/runs/{run_id}/logs").json()
    assert first["lines"] == [
        "2024-01-15T09:30:46.123+00:00 ERROR   Task failed",
        "badly",
        "Traceback",
        "E: x",
    ]
    assert (last["attempt"], last["attempts"], last["lines"]) == (2, 2, [])
    assert client.get(f"/runs/{run_id}/logs", params={"attempt": 3}).status_code == 404


@pytest.mark.rule("12.20")
def test_of_a_huge_log_the_end_is_shown(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    run_id = start()
    execute(run_id)
    for number in range(20_010):
        airflow.log_event("sales.daily", run_id, LogEvent(message=str(number)))
    lines = client.get(f"/runs/{run_id}/logs").json()["lines"]
    assert lines[0] == "… 10 lines left out …"
    assert (len(lines), lines[-1]) == (20_001, "20009")


def follow(client: Client, run_id: str, cursor: str | None, pieces: int = 1) -> tuple[list[str], str | None]:
    """Return the lines of the next pieces, with the attempt that each is of, and where they go on."""
    lines = []
    for _ in range(pieces):
        piece = client.get(f"/runs/{run_id}/logs", params={"cursor": cursor or ""}).json()
        lines += [f"{piece['attempt']}: {line}" for line in piece["lines"]]
        cursor = piece["next_cursor"]
    return lines, cursor


@pytest.mark.rule("12.19")
def test_a_log_is_followed_from_before_the_start_through_all_attempts_to_the_end(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    run_id = start()
    nothing, cursor = follow(client, run_id, "start", pieces=2)
    assert nothing == []
    execute(run_id)
    airflow.log_event("sales.daily", run_id, LogEvent(message="a"))
    assert follow(client, run_id, cursor)[0] == ["1: a"]
    _, cursor = follow(client, run_id, cursor)
    airflow.log_event("sales.daily", run_id, LogEvent(message="b", details=("c",)))
    airflow.end("sales.daily", run_id, "failed")
    execute(run_id)
    airflow.log_event("sales.daily", run_id, LogEvent(message="d"))
    lines, cursor = follow(client, run_id, cursor, pieces=2)
    assert lines == ["1: b", "1: c", "2: d"]
    airflow.end("sales.daily", run_id, "success")
    airflow.log_event("sales.daily", run_id, LogEvent(message="e"))
    lines, cursor = follow(client, run_id, cursor)
    assert (lines, cursor) == (["2: e"], ANY)
    airflow.log_event("sales.daily", run_id, LogEvent(message="written after the end"))
    assert follow(client, run_id, cursor) == (["2: written after the end"], None)


def test_the_log_of_a_run_that_ended_a_while_ago_is_complete_at_once(
    register: Register, start: Start, execute: Execute, client: Client, clock: ManualClock
) -> None:
    register()
    run_id = start()
    execute(run_id, "success")
    assert follow(client, run_id, "start")[1] is not None
    clock.advance(11)
    assert follow(client, run_id, "start")[1] is None
    assert client.get(f"/runs/{run_id}/logs").json()["next_cursor"] is None


def test_a_log_is_followed_from_where_a_whole_one_ended(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    run_id = start()
    execute(run_id)
    airflow.log_event("sales.daily", run_id, LogEvent(message="a"))
    shown = client.get(f"/runs/{run_id}/logs").json()
    airflow.log_event("sales.daily", run_id, LogEvent(message="b"))
    assert follow(client, run_id, shown["next_cursor"])[0] == ["1: b"]


@pytest.mark.rule("12.20")
def test_a_huge_log_is_followed_whole_in_pieces(
    register: Register, start: Start, execute: Execute, client: Client, airflow: MemoryAirflow
) -> None:
    register()
    run_id = start()
    execute(run_id)
    for number in range(20_010):
        airflow.log_event("sales.daily", run_id, LogEvent(message=str(number)))
    airflow.end("sales.daily", run_id, "failed")
    execute(run_id)
    pieces, cursor = [], "start"
    for _ in range(3):
        pieces.append(client.get(f"/runs/{run_id}/logs", params={"cursor": cursor}).json())
        cursor = pieces[-1]["next_cursor"]
    assert [(piece["attempt"], len(piece["lines"]), piece["more"]) for piece in pieces] == [
        (1, 20_000, True),
        (1, 10, True),
        (2, 0, False),
    ]
    assert pieces[0]["lines"] + pieces[1]["lines"] == [str(number) for number in range(20_010)]


@pytest.mark.rule("19.8")
@pytest.mark.parametrize("params", [{"cursor": "x"}, {"cursor": ""}, {"cursor": "start", "attempt": 1}])
def test_a_cursor_that_is_none_of_a_log_is_refused(
    register: Register, start: Start, client: Client, params: dict[str, Any]
) -> None:
    register()
    answer = client.get(f"/runs/{start()}/logs", params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_usage")


@pytest.mark.rule("12.24")
def test_a_run_that_is_followed_costs_two_requests_a_look_and_one_more_when_its_attempt_has_started(
    register: Register,
    start: Start,
    execute: Execute,
    client: Client,
    airflow: MemoryAirflow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look() -> tuple[int, str | None]:
        before = airflow.requests
        found = client.get(f"/runs/{run_id}").json()
        return airflow.requests - before, found["spec_hash"]

    register()
    dags = airflow.list_dags()
    monkeypatch.setattr(airflow, "list_dags", lambda **_: dags)  # comes by itself, and is not counted
    run_id = start()
    assert look() == (2, None)
    execute(run_id)
    requests, spec_hash = look()
    assert (requests, len(spec_hash or "")) == (3, 16)
    assert look() == (2, spec_hash)
    airflow.end("sales.daily", run_id, "failed")
    execute(run_id)
    assert look() == (3, spec_hash), "another attempt may run another version"


@pytest.mark.rule("37.15")
def test_an_ended_run_has_what_its_checks_found(
    client: Client, airflow: MemoryAirflow, start: Start, execute: Execute, register: Register
) -> None:
    register("sales.daily")
    run_id = start()
    found = CheckResult(name="small", severity="warn", status="warned", rows=3, message="too small")
    execute(run_id)
    airflow.note_checks("sales.daily", run_id, [found])
    assert get(client, run_id)["checks"] == []
    airflow.end("sales.daily", run_id, "success")
    assert get(client, run_id)["checks"] == [asdict(found)]
    (listed,) = client.get("/runs").json()["items"]
    assert listed["checks"] == []


@pytest.mark.rule("38.19")
def test_ended_run_has_the_rows_that_it_wrote_and_how_long_its_last_attempt_took(
    register: Callable[..., Any],
    client: Client,
    clock: ManualClock,
    airflow: MemoryAirflow,
    start: Callable[..., str],
    execute: Callable[..., None],
) -> None:
    register()
    run_id = start()
    clock.advance(100)  # it waits for a worker, which does not count
    execute(run_id)
    shown = client.get(f"/runs/{run_id}").json()
    assert (shown["rows"], shown["duration_seconds"]) == (None, None)
    clock.advance(12.5)
    airflow.note_rows("sales.daily", run_id, 1234)
    airflow.end("sales.daily", run_id, "success")
    shown = client.get(f"/runs/{run_id}").json()
    assert (shown["rows"], shown["duration_seconds"]) == (1234, 12.5)
    (listed,) = client.get("/runs").json()["items"]
    assert (listed["rows"], listed["duration_seconds"]) == (1234, 12.5)
