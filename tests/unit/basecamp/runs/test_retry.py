"""`retry`: a failed or killed run runs again, once for all simultaneous requests."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.models import DagRun, LogEvent
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.shared.clock import ManualClock
from dataspec.errors import AirflowUnreachable

Register = Callable[..., Response]
Start = Callable[..., str]
Execute = Callable[..., None]
NO_RETRIES = {"schedule:": "schedule:\n  retry: {max_attempts: 0}"}


@pytest.fixture
def get(client: Client) -> Callable[[str], dict[str, Any]]:
    def get(run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = client.get(f"/runs/{run_id}").json()
        return found

    return get


@pytest.fixture
def failed(register: Register, start: Start, execute: Execute) -> str:
    """A run of a dataset without retries that has failed."""
    register(replace=NO_RETRIES)
    run_id = start(limit=7)
    execute(run_id, "failed")
    return run_id


@pytest.fixture
def killed(register: Register, start: Start, execute: Execute, client: Client, clock: ManualClock) -> str:
    """A run that was stopped in its first attempt."""
    register(replace=NO_RETRIES)
    run_id = start()
    execute(run_id)
    clock.advance(5)
    stop(client, run_id)
    return run_id


def stop(client: Client, run_id: str) -> None:
    answer = client.post(f"/runs/{run_id}/stop", json={"reason": "wrong"}, headers={"Dli-User": "kim"})
    assert answer.json()["status"] == "KILLED", answer.text


def retry(client: Client, run_id: str, key: str | None = None, user: str = "lee") -> Response:
    headers = {"Dli-User": user} | ({"Idempotency-Key": key} if key else {})
    return client.post(f"/runs/{run_id}/retry", headers=headers)


def history(client: Client, **query: str) -> list[str]:
    return [item["run_id"] for item in client.get("/runs", params=query).json()["items"]]


@pytest.mark.rule("13.5")
def test_a_retried_run_waits_runs_and_completes_with_its_id_parameters_and_creation(
    failed: str,
    client: Client,
    execute: Execute,
    clock: ManualClock,
    get: Callable[..., Any],
    airflow: MemoryAirflow,
) -> None:
    before = get(failed)
    clock.advance(60)
    waiting = retry(client, failed).json()
    clock.advance(5)
    execute(failed)
    running = get(failed)
    airflow.end("sales.daily", failed, "success")
    done = get(failed)
    assert (before["status"], before["attempts"], before["max_attempts"]) == ("FAILED", 1, 1)
    assert (waiting["status"], waiting["started_at"], waiting["finished_at"]) == ("PENDING", None, None)
    assert (waiting["attempts"], waiting["max_attempts"], waiting["error"]) == (1, 2, None)
    assert (running["status"], running["attempts"], running["max_attempts"]) == ("RUNNING", 2, 2)
    assert (running["started_at"], running["finished_at"]) == ("2024-01-15T09:31:51.123456Z", None)
    assert (done["status"], done["attempts"], done["error"]) == ("COMPLETED", 2, None)
    for kept in ("run_id", "parameters", "created_at", "run_type"):
        assert waiting[kept] == done[kept] == before[kept]
    assert done["note"] == "Retried by lee at 2024-01-15T09:31:46+00:00 after attempt 1"


def test_a_retried_run_whose_task_waits_its_turn_is_pending(
    failed: str, client: Client, clock: ManualClock, airflow: MemoryAirflow, get: Callable[..., Any]
) -> None:
    clock.advance(60)
    retry(client, failed)
    airflow.begin("sales.daily", failed)
    assert (get(failed)["status"], get(failed)["started_at"]) == ("PENDING", None)


@pytest.mark.rule("13.5")
def test_a_retry_runs_the_version_that_is_effective_by_then(
    failed: str,
    client: Client,
    register: Register,
    execute: Execute,
    get: Callable[..., Any],
    clock: ManualClock,
) -> None:
    before = get(failed)["spec_hash"]
    clock.advance(60)
    mended = register(replace={**NO_RETRIES, "default: 100": "default: 200"}).json()["spec_hash"]
    retry(client, failed)
    execute(failed, "success")
    assert get(failed)["spec_hash"] == mended != before


@pytest.mark.rule("13.5")
def test_a_retry_brings_as_many_attempts_as_the_spec_now_allows(
    failed: str, client: Client, register: Register, execute: Execute, clock: ManualClock
) -> None:
    register(replace={"schedule:": "schedule:\n  retry: {max_attempts: 2}"})
    clock.advance(60)
    assert retry(client, failed).json()["max_attempts"] == 4
    for _ in range(2):
        execute(failed, "failed")
    assert client.get(f"/runs/{failed}").json()["status"] == "RUNNING"
    execute(failed, "failed")
    ended = client.get(f"/runs/{failed}").json()
    assert (ended["status"], ended["attempts"], ended["max_attempts"]) == ("FAILED", 4, 4)


@pytest.mark.rule("13.5")
@pytest.mark.parametrize(("state", "status"), [("success", "COMPLETED"), ("failed", "FAILED")])
def test_a_stopped_run_that_is_retried_ends_as_its_last_attempt_does(
    killed: str, client: Client, execute: Execute, get: Callable[..., Any], state: str, status: str
) -> None:
    note = retry(client, killed).json()["note"]
    assert "Before: Stopped by kim" in note
    assert history(client, status="KILLED") == []
    assert history(client, status="PENDING") == [killed]
    execute(killed, state)
    assert get(killed)["status"] == status
    assert history(client, status=status) == [killed]
    assert history(client, status="KILLED") == []


def test_a_retried_run_that_is_stopped_again_is_killed_again(
    killed: str, client: Client, execute: Execute, get: Callable[..., Any], clock: ManualClock
) -> None:
    retry(client, killed)
    clock.advance(5)
    execute(killed)
    stop(client, killed)
    assert (get(killed)["status"], get(killed)["attempts"]) == ("KILLED", 2)
    assert get(killed)["note"].endswith("in attempt 2: wrong")


def test_a_run_that_was_stopped_before_its_first_attempt_starts_its_first(
    register: Register, start: Start, client: Client, execute: Execute, get: Callable[..., Any]
) -> None:
    register()
    run_id = start()
    stop(client, run_id)
    assert retry(client, run_id).json()["status"] == "PENDING"
    execute(run_id, "success")
    assert (get(run_id)["status"], get(run_id)["attempts"]) == ("COMPLETED", 1)


@pytest.mark.rule("13.7")
def test_a_retry_does_not_start_while_the_killed_process_may_still_run(
    killed: str, client: Client, airflow: MemoryAirflow, get: Callable[..., Any]
) -> None:
    airflow.processes_linger = True
    answer = retry(client, killed)
    assert (answer.status_code, answer.json()["code"]) == (409, "refused")
    assert "was not seen to end" in answer.json()["title"]
    assert "at the latest after 09:35:51 UTC" in answer.json()["detail"]
    assert get(killed)["status"] == "KILLED"
    airflow.processes_linger = False
    assert retry(client, killed).status_code == 200


@pytest.mark.rule("13.7")
def test_a_process_of_unknown_state_blocks_a_retry_for_minutes_at_most(
    killed: str, client: Client, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    airflow.processes_linger = True
    clock.advance(5 * 60)
    assert retry(client, killed).status_code == 200


@pytest.mark.rule("13.6")
def test_an_active_run_is_not_retried(register: Register, start: Start, client: Client) -> None:
    register()
    answer = retry(client, run_id := start())
    assert (answer.status_code, answer.json()["title"]) == (409, "This run is active.")
    assert f"dli workflow stop {run_id}" in answer.json()["detail"]


@pytest.mark.rule("13.6")
def test_a_completed_run_is_not_retried(
    register: Register, start: Start, execute: Execute, client: Client, get: Callable[..., Any]
) -> None:
    register()
    run_id = start()
    execute(run_id, "success")
    answer = retry(client, run_id)
    assert (answer.status_code, answer.json()["title"]) == (409, "This run has completed.")
    assert get(run_id)["note"] is None


@pytest.mark.rule("13.6")
def test_a_run_of_a_paused_dataset_is_not_retried(
    failed: str, client: Client, get: Callable[..., Any]
) -> None:
    client.post("/workflows/sales.daily/pause")
    answer = retry(client, failed)
    assert (answer.status_code, answer.json()["code"]) == (409, "paused")
    assert get(failed)["status"] == "FAILED"


@pytest.mark.rule("13.6")
def test_a_run_of_a_removed_dataset_is_not_retried(
    failed: str, client: Client, get: Callable[..., Any]
) -> None:
    assert client.delete("/datasets/sales.daily").is_success
    answer = retry(client, failed)
    assert (answer.status_code, answer.json()["code"]) == (409, "refused")
    assert "is not registered any more" in answer.json()["title"]
    assert get(failed)["status"] == "FAILED"


@pytest.mark.rule("13.6")
def test_a_run_whose_parameters_the_spec_does_not_take_any_more_is_not_retried(
    failed: str, client: Client, register: Register, get: Callable[..., Any]
) -> None:
    register(
        replace={"name: limit": "name: top"},
        files={"query.sql": "SELECT '{{ execution_date }}' LIMIT {{ top }}"},
    )
    answer = retry(client, failed)
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("Unknown parameter 'limit'.")
    assert get(failed)["status"] == "FAILED"


@pytest.mark.rule("11.12")
@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_a_run_of_the_timetable_is_retried_for_the_date_that_it_builds(
    register: Register,
    client: Client,
    execute: Execute,
    airflow: MemoryAirflow,
    get: Callable[..., Any],
    run_type: str,
) -> None:
    """A scheduled one, and one of Airflow's own backfill."""
    register(replace=NO_RETRIES)
    run_id = "sales.daily_20240115_000000"
    interval = (datetime(2024, 1, 14, tzinfo=UTC), datetime(2024, 1, 15, tzinfo=UTC))
    airflow.schedule("sales.daily", run_id, interval, run_type=run_type)
    execute(run_id, "failed")
    assert retry(client, run_id).status_code == 200
    assert get(run_id)["parameters"]["execution_date"] == "2024-01-14"


def test_a_run_that_is_not_there_is_not_found(failed: str, client: Client) -> None:
    assert retry(client, "sales.daily_20200101_000001").status_code == 404


@pytest.mark.rule("13.8")
def test_a_request_that_is_repeated_retries_once_and_is_answered_with_the_run_as_it_is(
    failed: str, client: Client, execute: Execute, get: Callable[..., Any], clock: ManualClock
) -> None:
    first = retry(client, failed, "k")
    again = retry(client, failed, "k")
    clock.advance(5)
    execute(failed, "failed")
    later = retry(client, failed, "k")
    assert (first.status_code, again.json(), get(failed)["attempts"]) == (200, first.json(), 2)
    assert (later.status_code, later.json()["status"]) == (200, "FAILED")
    assert retry(client, failed, "another").json()["status"] == "PENDING"


def test_a_key_that_another_run_was_retried_with_is_refused(
    failed: str, start: Start, execute: Execute, client: Client
) -> None:
    other = start()
    execute(other, "failed")
    retry(client, failed, "k")
    assert retry(client, other, "k").status_code == 400


def test_a_retry_whose_answer_was_lost_may_be_asked_for_again(
    failed: str, client: Client, airflow: MemoryAirflow, get: Callable[..., Any]
) -> None:
    airflow.down = "Connection refused"
    assert retry(client, failed, "k").status_code == 503
    airflow.down = None
    assert retry(client, failed, "k").json()["status"] == "PENDING"


@pytest.mark.rule("13.8")
@pytest.mark.parametrize("acts", [True, False], ids=["its answer was lost", "it did not arrive"])
def test_a_clear_that_got_no_answer_is_sent_again_only_while_the_run_has_its_old_end(
    failed: str, client: Client, airflow: MemoryAirflow, monkeypatch: pytest.MonkeyPatch, *, acts: bool
) -> None:
    clear, sent = airflow.clear_run, 0

    def lossy(dag_id: str, run_id: str, *, note: str) -> DagRun | None:
        nonlocal sent
        sent += 1
        if sent > 1 or acts:
            found = clear(dag_id, run_id, note=note)
        if sent == 1:
            raise AirflowUnreachable("Airflow does not answer.", detail="Server disconnected")
        return found

    monkeypatch.setattr(airflow, "clear_run", lossy)
    answer = retry(client, failed)
    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING")
    assert sent == (1 if acts else 2)


@pytest.mark.rule("13.8")
def test_of_many_simultaneous_requests_one_retries_and_the_others_return_its_run(
    failed: str, client: Client, airflow: MemoryAirflow, get: Callable[..., Any]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: retry(client, failed, user=f"u{number}"), range(8)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert sum(answer.status_code == 200 for answer in answers) >= 1
    notes = {answer.json()["note"] for answer in answers if answer.status_code == 200}
    assert len(notes) == 1
    assert (get(failed)["max_attempts"], get(failed)["note"]) == (2, *notes)


def test_the_log_of_each_attempt_stays_readable_after_a_retry(
    failed: str, client: Client, airflow: MemoryAirflow, execute: Execute
) -> None:
    retry(client, failed)
    execute(failed)
    airflow.log_event("sales.daily", failed, LogEvent(message="second"))
    first = client.get(f"/runs/{failed}/logs", params={"attempt": 1}).json()
    last = client.get(f"/runs/{failed}/logs").json()
    assert (first["attempt"], first["attempts"]) == (1, 2)
    assert (last["attempt"], last["lines"]) == (2, ["second"])
