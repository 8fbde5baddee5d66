"""Backfills: requests, runs date by date, stop, resume, lists."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.models import DagRun, LogEvent, RunFilter
from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.backfills.backfill_runs import LONGEST_PAUSE, SHORTEST_PAUSE
from basecamp.backfills.plans import PlanStore, StoredPlan
from basecamp.notifications.outbox import PREFIX, OutboxEntry
from basecamp.server.wiring import build_services
from basecamp.services import Services
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader
from basecamp.shared.waiting import run_through
from dataspec.contract import waits
from dataspec.models import RunStatus
from dataspec.schedule.backfill_plan import BackfillPlan, Outcome
from dataspec.store import MemoryStore
from dataspec.store.base import MISSING
from dataspec.store.folder import FolderStore

Register = Callable[..., Response]
NAME = "sales.daily"
ID = "sales.daily_20240115_093045"
RANGE = {"start": "2024-01-01", "end": "2024-01-05"}
DATES = [f"2024-01-0{day}" for day in range(1, 6)]


def start(client: Client, key: str | None = None, **body: Any) -> Response:
    headers = {"Idempotency-Key": key} if key else {}
    answer: Response = client.post(f"/workflows/{NAME}/backfills", json=RANGE | body, headers=headers)
    return answer


def show(client: Client, backfill_id: str = ID) -> dict[str, Any]:
    answer = client.get(f"/backfills/{backfill_id}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def all_runs(airflow: MemoryAirflow) -> list[DagRun]:
    """Return every run, the oldest first."""
    return list(airflow.list_runs(RunFilter(), limit=100).runs)[::-1]


def built(airflow: MemoryAirflow) -> list[str]:
    return [run.conf["execution_date"] for run in all_runs(airflow)]


@dataclass
class Worker:
    """An Airflow that executes what is queued, and a reconciler that looks at it."""

    services: Services
    airflow: MemoryAirflow
    clock: ManualClock
    fails: set[str] = field(default_factory=set)
    """The dates whose runs fail, with every attempt."""

    def look(self) -> float | None:
        """Let the reconciler look at the backfill once."""
        return run_through(self.services.backfill_steps.advance(NAME), self.clock)

    def active(self) -> list[DagRun]:
        runs = self.airflow.list_runs(RunFilter(states=("queued", "running")), limit=100).runs
        assert len(runs) <= 1, "a backfill has one run at a time"
        return list(runs)

    def execute(self) -> None:
        """Let Airflow carry out the run that is active, to its end."""
        for run in self.active():
            state: Any = "failed" if run.conf["execution_date"] in self.fails else "success"
            while not self._run(run).finished:
                self.clock.advance(1)
                self.airflow.start(NAME, run.run_id, source="manual", spec_hash="ab")
                event = LogEvent(message="went wrong", error="Binder Error: no table")
                self.airflow.log_event(NAME, run.run_id, event)
                self.airflow.end(NAME, run.run_id, state)

    def build(self, times: int = 100) -> None:
        """Look and execute by turns, so many times at most, or until the backfill has ended."""
        for _ in range(times):
            if self.look() is None:
                return
            self.execute()
            self.clock.advance(1)

    def _run(self, run: DagRun) -> DagRun:
        found = self.airflow.get_run(run.dag_id, run.run_id)
        assert found is not None
        return found


@pytest.fixture
def worker(services: Services, airflow: MemoryAirflow, clock: ManualClock) -> Worker:
    return Worker(services, airflow, clock)


@pytest.fixture
def other(store: MemoryStore, airflow: MemoryAirflow, clock: ManualClock) -> Worker:
    """Another replica, which has seen nothing of it."""
    return Worker(build_services(store, airflow, clock), airflow, clock)


@pytest.mark.rule("31.62")
@pytest.mark.parametrize("wait", [False, True])
def test_its_runs_wait_for_their_upstream_only_if_the_request_says_so(
    register: Register, client: Client, worker: Worker, other: Worker, airflow: MemoryAirflow, *, wait: bool
) -> None:
    register()
    assert start(client, wait_for_upstream=wait).status_code == 201
    worker.look()
    other.build()
    assert {waits(run.conf, run_type=run.run_type) for run in all_runs(airflow)} == {wait}


# What a backfill is.


@pytest.mark.rule("14.1")
def test_each_date_is_built_one_after_the_other(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    answer = start(client)
    assert answer.status_code == 201
    assert answer.json()["backfill_id"] == ID
    assert (answer.json()["status"], answer.json()["dates_total"]) == ("PENDING", 5)
    worker.build()
    assert built(airflow) == DATES
    done = show(client)
    assert (done["status"], done["dates_done"], done["current_date"]) == ("COMPLETED", 5, None)
    assert done["finished_at"] is not None
    assert (done["error"], done["note"], done["failed_dates"]) == (None, None, [])


@pytest.mark.rule("14.7")
def test_its_plan_is_written_once_for_each_date(
    register: Register,
    client: Client,
    worker: Worker,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    put = store.put

    def put_noting(key: str, body: bytes, *, expected: str) -> str:
        written.append(key)
        return put(key, body, expected=expected)

    monkeypatch.setattr(store, "put", put_noting)
    register()
    start(client)
    worker.build()
    assert show(client)["status"] == "COMPLETED"
    assert (
        written.count(f"basecamp/backfills/active/{NAME}.json") == 2 + len(DATES) + 1
    )  # start, admission, dates, outcome


@pytest.mark.rule("14.3")
def test_the_next_run_is_triggered_only_after_the_last_one_has_succeeded(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    for _ in range(5):
        worker.look()
    assert built(airflow) == DATES[:1]
    worker.execute()
    worker.look()
    assert built(airflow) == DATES[:2]


@pytest.mark.rule("14.16")
def test_it_looks_closely_only_once_a_run_may_be_about_to_end(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    def start_run() -> str:
        (run,) = worker.active()
        airflow.start(NAME, run.run_id, source="manual", spec_hash="ab")
        return run.run_id

    register()
    start(client)
    assert worker.look() == SHORTEST_PAUSE, "of the first date it is not known how long it takes"
    first = start_run()
    clock.advance(20)
    airflow.end(NAME, first, "success")
    assert worker.look() == LONGEST_PAUSE
    start_run()
    pauses = []
    for seconds in (15, 0.5, 0.5, 4):  # four fifths of 20 seconds are 16
        clock.advance(seconds)
        pauses.append(worker.look())
    assert pauses == pytest.approx([1, 0.5, 0.16, 0.2])


@pytest.mark.rule("12.2")
def test_each_run_has_the_backfills_id_its_date_its_parameters_and_the_caller(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    client.post(
        f"/workflows/{NAME}/backfills",
        json=RANGE | {"parameters": {"limit": "7"}},
        headers={"Dli-User": "dana"},
    )
    worker.build()
    first, *_, last = all_runs(airflow)
    assert (first.run_id, last.run_id) == (f"{ID}_20240101", f"{ID}_20240105")
    assert {"execution_date": "2024-01-05", "limit": 7}.items() <= last.conf.items()
    assert last.conf["_dli"]["requested_by"] == "dana"
    dates = [run.logical_date for run in all_runs(airflow)]
    assert len(set(dates)) == len(dates), "logical dates are the moments of the requests, each unique"
    rows = client.get("/runs", params={"run_type": "backfill"}).json()["items"]
    assert [row["run_id"] for row in rows] == [run.run_id for run in all_runs(airflow)][::-1]
    assert {row["run_type"] for row in rows} == {"backfill"}


@pytest.mark.rule("14.15")
def test_an_active_backfill_shows_its_present_date(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    worker.look()
    assert show(client)["status"] == "PENDING", "no attempt has started"
    airflow.start(NAME, f"{ID}_20240101", source="manual", spec_hash="ab")
    assert show(client)["status"] == "RUNNING"
    airflow.end(NAME, f"{ID}_20240101", "success")
    worker.clock.advance(1)
    worker.look()
    shown = show(client)
    assert (shown["status"], shown["dates_done"], shown["current_date"]) == ("RUNNING", 1, "2024-01-02")
    assert shown["current_run_id"] == f"{ID}_20240102"
    run = client.get(f"/runs/{ID}_20240102").json()
    assert (run["run_type"], run["dataset_name"]) == ("backfill", NAME)


@pytest.mark.rule("14.2")
def test_it_may_begin_with_the_last_date(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client, reverse=True)
    worker.build()
    assert built(airflow) == DATES[::-1]


@pytest.mark.rule("14.2")
def test_of_a_schedule_only_dates_on_which_an_interval_starts_are_built(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register(replace={"0 9 * * *": "0 9 * * 1"})
    start(client, every="schedule", end="2024-01-20")
    worker.build()
    assert built(airflow) == ["2024-01-01", "2024-01-08", "2024-01-15"]


@pytest.mark.rule("30.30")
def test_a_backfill_of_two_days_of_an_hourly_dataset_builds_48_hours_each_once_in_order(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register(replace={"0 9 * * *": "0 * * * *"})
    started = start(client, end="2024-01-02").json()
    assert (started["dates_total"], started["warnings"]) == (48, [])
    worker.build()
    hours = [f"2024-01-0{day}T{hour:02}:00+09:00" for day in (1, 2) for hour in range(24)]
    assert built(airflow) == hours
    assert all_runs(airflow)[0].run_id == f"{ID}_20231231T1500Z"
    assert show(client)["status"] == "COMPLETED"


@pytest.mark.rule("30.30")
def test_a_backfill_builds_what_the_schedule_has_and_says_what_it_leaves_out(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register(replace={"0 9 * * *": "0 9 * * 1-5"})
    started = start(client, start="2024-01-04", end="2024-01-08").json()
    leaves = ["The schedule leaves out 2 dates of the range: 2024-01-06, 2024-01-07"]
    assert (started["dates_total"], started["warnings"]) == (3, leaves)
    preview = start(client, start="2024-01-04", end="2024-01-08", dry_run=True).json()
    assert (preview["dates"], preview["warnings"]) == (["2024-01-04", "2024-01-05", "2024-01-08"], leaves)
    worker.build()
    assert built(airflow) == ["2024-01-04", "2024-01-05", "2024-01-08"]


@pytest.mark.rule("30.31")
def test_a_plan_that_an_older_version_wrote_goes_on(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow, store: MemoryStore
) -> None:
    """It has one date for each day, of an hourly dataset as well: the first hour."""
    register(replace={"0 9 * * *": "0 * * * *"})
    start(client, end="2024-01-02")
    (info,) = store.list("basecamp/backfills/active/")
    held = store.get(info.key)
    assert held is not None
    older = json.loads(held.body) | {"format": 1, "every": "day", "dates": ["2024-01-01", "2024-01-02"]}
    store.put(info.key, json.dumps(older).encode(), expected=held.etag)
    worker.build()
    assert built(airflow) == ["2024-01-01T00:00+09:00", "2024-01-02T00:00+09:00"]
    assert show(client)["status"] == "COMPLETED"


# Failures.


@pytest.mark.rule("14.4")
def test_the_first_failure_ends_it_after_its_retries(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    worker.fails = {"2024-01-03"}
    start(client)
    worker.build()
    assert built(airflow) == DATES[:3]
    done = show(client)
    assert (done["status"], done["dates_done"], done["failed_dates"]) == ("FAILED", 2, ["2024-01-03"])
    assert done["error"] == "2024-01-03 failed: Binder Error: no table"
    [failed] = client.get("/runs", params={"status": "FAILED"}).json()["items"]
    assert failed["attempts"] == 2, "its retry was waited for"


@pytest.mark.rule("14.4")
def test_keep_going_continues_after_a_failure_and_names_the_dates(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    worker.fails = {"2024-01-02", "2024-01-05"}
    start(client, keep_going=True)
    worker.build()
    assert built(airflow) == DATES
    done = show(client)
    assert (done["status"], done["dates_done"]) == ("FAILED", 3)
    assert done["failed_dates"] == ["2024-01-02", "2024-01-05"]
    assert done["error"] == "2 of 5 dates failed: 2024-01-02, 2024-01-05"


@pytest.mark.rule("14.5")
def test_started_again_it_begins_with_the_first_date(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    worker.fails = {"2024-01-03"}
    start(client)
    worker.build()
    worker.fails = set()
    again = start(client).json()["backfill_id"]
    worker.build()
    assert built(airflow) == DATES[:3] + DATES
    assert show(client, again)["status"] == "COMPLETED"
    assert show(client)["status"] == "FAILED", "the first one's end stays readable"


@pytest.mark.rule("14.5")
def test_each_resume_begins_with_the_first_date_not_built(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    for failing in ("2024-01-02", "2024-01-04", None):
        worker.fails = {failing} if failing else set()
        assert start(client, resume=True).status_code == 201
        worker.build()
    assert built(airflow) == [*DATES[:2], *DATES[1:4], *DATES[3:]]
    refused = start(client, resume=True)
    assert refused.status_code == 409
    assert refused.json()["title"] == "Every date from 2024-01-01 to 2024-01-05 is built already."


@pytest.mark.rule("14.5")
def test_a_resume_builds_the_dates_that_failed(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    worker.fails = {"2024-01-02", "2024-01-05"}
    start(client, keep_going=True)
    worker.build()
    worker.fails = set()
    assert start(client, resume=True).json()["dates_total"] == 2
    worker.build()
    assert built(airflow) == [*DATES, "2024-01-02", "2024-01-05"]


@pytest.mark.rule("14.5")
@pytest.mark.parametrize("change", [{"end": "2024-01-06"}, {"parameters": {"limit": 7}}])
def test_of_another_range_or_with_other_parameters_nothing_counts_as_built(
    register: Register, client: Client, worker: Worker, change: Mapping[str, Any]
) -> None:
    register()
    start(client)
    worker.build()
    answer = start(client, resume=True, **change)
    assert answer.json()["dates_total"] == (6 if "end" in change else 5)


# Asking.


@pytest.mark.rule("14.14")
def test_a_dry_run_shows_the_dates_and_the_sql_of_the_first_and_the_last(
    register: Register, client: Client, store: MemoryStore, airflow: MemoryAirflow
) -> None:
    register()
    answer = start(client, dry_run=True, parameters={"limit": 7})
    assert answer.status_code == 200
    assert answer.json()["dates"] == DATES
    assert answer.json()["parameters"] == {"limit": 7}
    [first], [last] = answer.json()["first_statements"], answer.json()["last_statements"]
    assert first == "SELECT * FROM clicks WHERE day = '2024-01-01' LIMIT 7"
    assert last == "SELECT * FROM clicks WHERE day = '2024-01-05' LIMIT 7"
    assert not all_runs(airflow)
    assert not list(store.list("basecamp/backfills/"))


@pytest.mark.rule("14.1", "14.14")
@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"start": "2024-01-06"}, 400, "invalid_usage", "is before the start"),
        ({"end": "2024-02-30"}, 400, "invalid_usage", "there is no date 2024-02-30"),
        ({"start": "1024-01-01", "end": "2024-01-01"}, 400, "invalid_usage", "at most 40,000"),
        ({"parameters": {"limt": 1}}, 422, "unknown_parameter", "Allowed: execution_date, limit"),
        ({"parameters": {"limit": "x"}}, 422, "invalid_parameter", "Invalid value for parameter 'limit'"),
        (
            {"parameters": {"execution_date": "2024-01-01"}},
            422,
            "invalid_parameter",
            "A backfill sets 'execution_date' itself.",
        ),
        ({"every": "week"}, 400, "invalid_usage", "Invalid request."),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_wrong_request_is_refused_with_one_clear_message(
    register: Register,
    client: Client,
    store: MemoryStore,
    body: dict[str, Any],
    status: int,
    code: str,
    words: str,
    dry_run: bool,
) -> None:
    register()
    answer = start(client, dry_run=dry_run, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["title"]
    assert not list(store.list("basecamp/backfills/"))


@pytest.mark.rule("14.1")
def test_a_dataset_that_takes_no_date_can_not_be_backfilled(register: Register, client: Client) -> None:
    register(
        replace={"  - name: execution_date\n    type: date\n": ""},
        files={"query.sql": "SELECT {{ limit }}"},
    )
    answer = start(client)
    assert answer.status_code == 422
    assert answer.json()["title"].startswith("This dataset has no parameter 'execution_date'")
    assert f"dli workflow run {NAME}" in answer.json()["detail"]


def test_a_range_without_a_partition_is_refused(register: Register, client: Client) -> None:
    register(replace={"0 9 * * *": "0 9 * * 1"})
    none = start(client, every="schedule", start="2024-01-02")
    assert "No partition of the schedule '0 9 * * 1' starts" in none.json()["title"]


@pytest.mark.rule("30.30")
def test_days_of_partitions_that_are_finer_are_refused(register: Register, client: Client) -> None:
    register(replace={"0 9 * * *": "0 * * * *"})
    refused = start(client, every="day")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_usage")
    assert "are finer than a day" in refused.json()["title"]
    many = start(client, end="2029-01-01")
    assert "The range holds more than 40,000 partitions" in many.json()["title"]


def test_without_a_schedule_each_date_is_a_partition(register: Register, client: Client) -> None:
    register("other.set", replace={'schedule:\n  cron: "0 9 * * *"\n  timezone: Asia/Seoul\n': ""})
    answer = client.post("/workflows/other.set/backfills", json=RANGE | {"every": "schedule"})
    assert (answer.json()["dates_total"], answer.json()["every"], answer.json()["warnings"]) == (
        5,
        "partition",
        [],
    )


@pytest.mark.rule("7.7")
def test_an_unknown_dataset_an_overridden_spec_and_a_paused_dataset_are_refused(
    register: Register, publish: Callable[..., None], client: Client
) -> None:
    assert start(client).json()["code"] == "dataset_not_found"
    register()
    publish()
    assert start(client, source="manual").json()["code"] == "overridden"
    client.post(f"/workflows/{NAME}/pause")
    paused = start(client)
    assert (paused.status_code, paused.json()["code"]) == (409, "paused")
    assert f"dli workflow unpause {NAME}" in paused.json()["title"]


@pytest.mark.rule("14.6")
def test_a_second_backfill_of_a_dataset_is_refused_with_the_firsts_id(
    register: Register, client: Client, worker: Worker
) -> None:
    register()
    start(client)
    worker.look()
    refused = start(client, start="2024-01-03")
    assert (refused.status_code, refused.json()["code"]) == (409, "backfill_active")
    assert ID in refused.json()["title"]
    assert f"dli workflow stop {ID}" in refused.json()["detail"]


@pytest.mark.rule("14.6")
def test_another_dataset_may_be_backfilled_meanwhile(register: Register, client: Client) -> None:
    register()
    register("other.set")
    start(client)
    assert client.post("/workflows/other.set/backfills", json=RANGE).status_code == 201


@pytest.mark.rule("19.11")
def test_a_repeated_request_starts_nothing_twice_not_even_after_the_end(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    first = start(client, key="k").json()
    clock.advance(2)
    assert start(client, key="k").json()["backfill_id"] == first["backfill_id"]
    worker.build()
    again = start(client, key="k").json()
    assert (again["backfill_id"], again["status"]) == (first["backfill_id"], "COMPLETED")
    assert built(airflow) == DATES
    assert start(client, key="k", end="2024-01-06").status_code == 400


@pytest.mark.rule("3.6")
def test_a_backfill_never_has_the_id_of_a_run_nor_a_run_that_of_a_backfill(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    run = {"parameters": {"execution_date": "2024-01-14"}}
    assert client.post(f"/workflows/{NAME}/runs", json=run).json()["run_id"] == ID
    assert start(client).json()["backfill_id"] == f"{ID}_2"
    assert client.post(f"/workflows/{NAME}/runs", json=run).json()["run_id"] == f"{ID}_3"


@pytest.mark.rule("3.6")
def test_a_backfill_does_not_take_the_id_of_one_that_began_and_ended_while_it_started(
    register: Register,
    client: Client,
    worker: Worker,
    other: Worker,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register()
    create = PlanStore.create

    def late(plans: PlanStore, plan: BackfillPlan) -> StoredPlan | None:
        monkeypatch.setattr(PlanStore, "create", create)
        ended = plan.ended(Outcome(status=RunStatus.COMPLETED, at=plan.created_at))
        first = ended.model_copy(update={"idempotency_key": "of another request"})
        store.put(f"basecamp/backfills/ended/{NAME}/{ID}.json", first.body(), expected="*missing*")
        found = create(plans, plan)
        assert other.look() is None, "another replica begins no plan whose id is another backfill's"
        return found

    monkeypatch.setattr(PlanStore, "create", late)
    assert start(client).json()["backfill_id"] == f"{ID}_2"
    assert worker.services.backfill_lookup.find(f"{ID}_2").outcome is None
    worker.build(1)
    assert [run.run_id for run in worker.airflow.list_runs(RunFilter(), limit=9).runs] == [f"{ID}_2_20240101"]


def test_a_plan_of_a_later_version_is_left_alone_and_does_not_prevent_runs(
    register: Register, client: Client, store: MemoryStore
) -> None:
    register()
    key = f"basecamp/backfills/active/{NAME}.json"
    store.put(key, b'{"format": 5}', expected="*missing*")
    answer = start(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "newer_format")
    assert key in answer.json()["title"]
    run = client.post(f"/workflows/{NAME}/runs", json={"parameters": {"execution_date": "2024-01-14"}})
    assert run.status_code == 201


# Under way.


@pytest.mark.rule("7.7", "14.10")
def test_while_the_dataset_is_paused_it_waits_and_says_so(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    worker.build(2)
    client.post(f"/workflows/{NAME}/pause")
    before = len(all_runs(airflow))
    for _ in range(3):
        assert worker.look() is not None
        worker.clock.advance(60)
    assert len(all_runs(airflow)) == before
    shown = show(client)
    assert shown["status"] == "RUNNING"
    assert shown["note"] == f"Waiting: the dataset is paused. Resume it with: dli workflow unpause {NAME}"
    client.post(f"/workflows/{NAME}/unpause")
    worker.build()
    assert built(airflow) == DATES
    assert show(client)["status"] == "COMPLETED"


@pytest.mark.rule("14.11")
def test_a_dataset_that_is_removed_ends_it_with_the_reason(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow, clock: ManualClock
) -> None:
    register()
    start(client)
    worker.build(2)
    worker.look()
    client.delete(f"/datasets/{NAME}", params={"accept_active": True})
    clock.advance(60)
    worker.build()
    done = show(client)
    assert (done["status"], done["dates_done"]) == ("FAILED", 3), (
        "the run that was active has come to its end"
    )
    assert done["error"] == "The dataset was removed while its backfill was under way."
    assert built(airflow) == DATES[:3]


@pytest.mark.rule("14.11")
def test_when_code_takes_over_the_backfill_continues_with_the_effective_spec(
    register: Register,
    publish: Callable[..., None],
    client: Client,
    worker: Worker,
    airflow: MemoryAirflow,
) -> None:
    register()
    start(client)
    worker.build(2)
    publish(replace={"default: 100": "default: 500"})
    worker.build()
    assert show(client)["status"] == "COMPLETED"
    assert [run.conf["limit"] for run in all_runs(airflow)] == [100, 100, 500, 500, 500]


@pytest.mark.rule("14.11")
def test_parameters_that_do_not_fit_any_more_end_it_with_the_reason(
    register: Register, client: Client, worker: Worker, clock: ManualClock
) -> None:
    register()
    start(client, parameters={"limit": 7})
    worker.build(2)
    register(
        replace={"  - name: limit\n    type: integer\n    default: 100\n": ""},
        files={"query.sql": "SELECT '{{ execution_date }}'"},
    )
    clock.advance(60)
    worker.build()
    done = show(client)
    assert done["status"] == "FAILED"
    assert done["error"] == "2024-01-03: Unknown parameter 'limit'. Allowed: execution_date"


def test_a_replica_that_does_not_know_the_dataset_yet_looks_again(
    register: Register, client: Client, worker: Worker, other: Worker, airflow: MemoryAirflow
) -> None:
    other.services.workflows.page(limit=1)
    register()
    start(client)
    other.look()
    assert built(airflow) == DATES[:1]


@pytest.mark.rule("14.12")
def test_a_run_that_was_deleted_in_airflow_is_built_again(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    worker.build(1)
    worker.look()
    airflow.delete_run(NAME, f"{ID}_20240102")
    worker.build()
    assert built(airflow) == DATES
    assert show(client)["status"] == "COMPLETED"


@pytest.mark.rule("14.12")
def test_a_foreign_run_under_its_id_ends_the_backfill(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    airflow.trigger(NAME, f"{ID}_20240102", logical_date=worker.clock.now(), conf={})
    airflow.set_run_state(NAME, f"{ID}_20240102", "success", note="")
    worker.clock.advance(0.1)
    start(client)
    worker.build()
    done = show(client)
    assert (done["status"], done["dates_done"]) == ("FAILED", 1)
    assert "that is not of this backfill" in done["error"]


def test_a_logical_date_that_is_taken_only_delays_it(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    airflow.trigger(NAME, "somebodys", logical_date=worker.clock.now(), conf={"execution_date": "x"})
    airflow.set_run_state(NAME, "somebodys", "success", note="")
    assert worker.look()
    worker.clock.advance(0.2)
    worker.build()
    assert built(airflow) == ["x", *DATES]


@pytest.mark.rule("14.10")
def test_while_airflow_does_not_answer_a_backfill_waits_says_so_and_then_continues(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    worker.build(2)
    airflow.down = "connection refused"
    with pytest.raises(Exception, match="Airflow does not answer"):
        worker.look()
    answer = client.get(f"/backfills/{ID}")
    assert answer.json()["status"] == "RUNNING"
    note = "Airflow does not answer. The backfill continues when Airflow is available again."
    assert answer.json()["note"] == note
    assert "Dli-Warning" in answer.headers
    airflow.down = None
    worker.build()
    assert built(airflow) == DATES


# Stopping.


def stop(client: Client, backfill_id: str = ID, **body: Any) -> Response:
    answer: Response = client.post(f"/backfills/{backfill_id}/stop", json=body, headers={"Dli-User": "ann"})
    return answer


@pytest.mark.rule("14.9")
def test_a_stop_ends_its_run_and_then_the_backfill(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    worker.build(2)
    worker.look()
    airflow.start(NAME, f"{ID}_20240103", source="manual", spec_hash="ab")
    answer = stop(client, reason="wrong table")
    assert answer.status_code == 200
    stopped = answer.json()
    assert (stopped["status"], stopped["dates_done"], stopped["current_date"]) == ("KILLED", 2, None)
    assert stopped["note"].startswith("Stopped by ann at ")
    assert stopped["note"].endswith(": wrong table")
    run = client.get(f"/runs/{ID}_20240103").json()
    assert run["status"] == "KILLED"
    assert f"its backfill {ID} was stopped: wrong table" in run["note"]
    worker.build()
    assert built(airflow) == DATES[:3]
    assert stop(client).json() == stopped, "a second stop is harmless"


def test_a_stop_while_it_waits_ends_it_at_once(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    client.post(f"/workflows/{NAME}/pause")
    worker.look()
    before = worker.clock.now()
    assert stop(client).json()["status"] == "KILLED"
    assert worker.clock.now() == before
    assert not all_runs(airflow)


def test_a_stop_of_an_ended_backfill_returns_its_end(
    register: Register, client: Client, worker: Worker
) -> None:
    register()
    start(client)
    worker.build()
    assert stop(client).json()["status"] == "COMPLETED"


@pytest.mark.rule("14.9")
def test_a_run_that_is_stopped_by_its_id_ends_the_backfill(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client, keep_going=True)
    worker.build(2)
    worker.look()
    client.post(f"/runs/{ID}_20240103/stop", headers={"Dli-User": "bob"})
    worker.build()
    done = show(client)
    assert (done["status"], done["dates_done"]) == ("KILLED", 2)
    assert done["note"].startswith("Stopped by bob at ")
    assert built(airflow) == DATES[:3]


@pytest.mark.rule("14.9")
def test_a_stop_order_outlives_its_replica(
    register: Register, client: Client, worker: Worker, other: Worker, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    worker.look()
    airflow.down = "connection refused"
    refused = stop(client)
    assert refused.status_code == 503
    assert "the backfill stops as soon as Airflow answers" in refused.json()["detail"]
    airflow.down = None
    other.build()
    assert show(client)["status"] == "KILLED"
    assert built(airflow) == DATES[:1]


def test_a_stop_waits_for_a_run_that_may_still_be_on_its_way(
    register: Register, client: Client, worker: Worker, store: MemoryStore, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    held = worker.services.backfill_steps.plans.active(NAME)
    assert held is not None
    # A replica has said that it asks for the run, and has not been heard of since.
    store.put(f"basecamp/backfills/active/{NAME}.json", _asking(held.plan, worker), expected=held.etag)

    def it_comes() -> None:
        if not all_runs(airflow):
            own = {"backfill_id": ID, "run_type": "backfill"}
            conf = {"execution_date": "2024-01-01", "_dli": own}
            airflow.trigger(NAME, f"{ID}_20240101", logical_date=worker.clock.now(), conf=conf)

    worker.clock.on_wait.append(it_comes)
    assert stop(client).json()["status"] == "KILLED"
    [run] = all_runs(airflow)
    assert run.state == "failed", "the run that came late was ended as well"


def _asking(plan: BackfillPlan, worker: Worker) -> bytes:
    return plan.asking(plan.date, worker.clock.now()).body()


def test_a_stop_does_not_wait_for_ever_for_a_run_that_never_comes(
    register: Register, client: Client, worker: Worker, store: MemoryStore, airflow: MemoryAirflow
) -> None:
    register()
    start(client)
    held = worker.services.backfill_steps.plans.active(NAME)
    assert held is not None
    store.put(f"basecamp/backfills/active/{NAME}.json", _asking(held.plan, worker), expected=held.etag)
    assert stop(client).json()["status"] == "KILLED"
    assert not all_runs(airflow)


# Finding.


def test_an_unknown_id_is_not_found(client: Client) -> None:
    for wrong in ("x", ID, f"{ID}_20240101", "a" * 300, "..", "..%2F..%2Fledger_20240115_093045"):
        answer = client.get(f"/backfills/{wrong}")
        assert answer.status_code == 404, wrong
    assert client.get(f"/backfills/{ID}").json()["code"] == "backfill_not_found"
    assert stop(client).status_code == 404


@pytest.mark.rule("14.17")
def test_an_ended_backfill_whose_plan_is_damaged_is_named_with_its_object(
    client: Client, store: MemoryStore
) -> None:
    key = f"basecamp/backfills/ended/sales.daily/{ID}.json"
    store.put(key, b"{", expected=MISSING)
    for _ in range(2):
        answer = client.get(f"/backfills/{ID}")
        assert (answer.status_code, answer.json()["code"]) == (404, "backfill_plan_lost")
        assert (
            f"'{key}', could not be read and was moved to 'basecamp/quarantine/{key}/"
            in answer.json()["detail"]
        )


@pytest.mark.rule("14.17")
def test_lists_name_a_damaged_plan_until_its_copy_is_removed(
    client: Client, store: MemoryStore, register: Register
) -> None:
    register(NAME)
    copies = [
        store.put(f"basecamp/quarantine/basecamp/backfills/{key}/0", b"", expected=MISSING)
        for key in (f"active/{NAME}.json", f"ended/{NAME}/{ID}.json", "active/sales.other.json")
    ]
    assert len(client.get(f"/backfills?dataset={NAME}").json()["warnings"]) == 2
    warnings = client.get("/backfills").json()["warnings"]
    assert len(warnings) == len(copies)
    assert f"'basecamp/backfills/ended/{NAME}/{ID}.json', could not be read" in " ".join(warnings)


@pytest.mark.rule("14.17")
@pytest.mark.parametrize("body", [b"{", b'{"format": 99}'], ids=["damaged", "newer"])
def test_an_ended_backfill_is_shown_though_the_active_plan_can_not_be_read(
    client: Client, store: MemoryStore, worker: Worker, register: Register, body: bytes
) -> None:
    register()
    start(client)
    stop(client)
    worker.look()
    assert show(client)["status"] == "KILLED"
    store.put(f"basecamp/backfills/active/{NAME}.json", body, expected=MISSING)
    assert show(client)["status"] == "KILLED"


@pytest.mark.rule("14.17")
@pytest.mark.parametrize("body", [b"{", b'{"format": 99}'], ids=["damaged", "newer"])
def test_a_run_starts_though_the_active_plan_can_not_be_read(
    client: Client, store: MemoryStore, register: Register, body: bytes
) -> None:
    register()
    store.put(f"basecamp/backfills/active/{NAME}.json", body, expected=MISSING)
    run = {"parameters": {"execution_date": "2024-01-14"}}
    assert client.post(f"/workflows/{NAME}/runs", json=run).status_code == 201


@pytest.mark.rule("14.17")
@pytest.mark.parametrize("changes", [{}, {"dataset": "sales.other"}], ids=["its key", "its id"])
def test_the_plan_of_another_dataset_is_damage(
    client: Client, store: MemoryStore, register: Register, changes: dict[str, str]
) -> None:
    """A step writes to the key of the plan's dataset: it would go on with another one's backfill."""
    register()
    start(client)
    stored = store.get(f"basecamp/backfills/active/{NAME}.json")
    assert stored is not None
    key = "basecamp/backfills/active/sales.other.json"
    store.put(key, BackfillPlan.read(stored).changed(**changes).body(), expected=MISSING)
    listed = client.get("/backfills").json()
    assert [item["backfill_id"] for item in listed["items"]] == [ID]
    assert any(f"'{key}' in the store can't be read" in warning for warning in listed["warnings"])


@pytest.mark.rule("14.17")
def test_an_ended_plan_that_the_store_can_not_give_is_named(tmp_path: Path, clock: ManualClock) -> None:
    store = FolderStore(tmp_path)
    key = f"basecamp/backfills/ended/{NAME}/{ID}.json"
    (tmp_path / key).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / key)
    read = PlanStore(store, ObjectReader(store, clock)).read_ended([ID])
    assert read.plans == ()
    (warning,) = read.warnings
    assert warning.startswith(f"'{key}' can't be read: ")


@pytest.fixture
def three(register: Register, client: Client, worker: Worker) -> list[str]:
    """Two backfills of one dataset, of which one has ended, and one of another; the newest first."""
    register()
    register("other.set")
    ids = [start(client).json()["backfill_id"]]
    worker.build()
    worker.clock.advance(5)
    ids.append(client.post("/workflows/other.set/backfills", json=RANGE).json()["backfill_id"])
    worker.clock.advance(5)
    ids.append(start(client).json()["backfill_id"])
    return ids[::-1]


def listed(client: Client, **query: Any) -> list[str]:
    answer = client.get("/backfills", params=query)
    assert answer.status_code == 200, answer.text
    return [item["backfill_id"] for item in answer.json()["items"]]


@pytest.mark.rule("19.3")
def test_they_are_listed_newest_first_by_dataset_and_by_whether_they_go_on(
    client: Client, three: list[str]
) -> None:
    assert listed(client) == three
    assert listed(client, active=True) == three[:2]
    assert listed(client, active=False) == three[2:]
    assert listed(client, dataset=NAME) == [three[0], three[2]]
    assert listed(client, dataset=NAME, active=True) == three[:1]
    assert client.get("/backfills", params={"dataset": "no.such"}).status_code == 404


@pytest.mark.rule("19.8")
def test_a_list_is_read_page_by_page(client: Client, three: list[str]) -> None:
    first = client.get("/backfills", params={"limit": 2}).json()
    second = client.get("/backfills", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [item["backfill_id"] for page in (first, second) for item in page["items"]] == three
    assert second["next_cursor"] is None
    assert client.get("/backfills", params={"cursor": "x"}).status_code == 400


@pytest.mark.rule("38.14")
@pytest.mark.parametrize(
    ("fails", "title"),
    [(set(), "The backfill of sales.daily completed"), ({DATES[1]}, "The backfill of sales.daily failed")],
)
def test_end_of_a_backfill_is_told_once(
    register: Register,
    client: Client,
    worker: Worker,
    other: Worker,
    store: MemoryStore,
    fails: set[str],
    title: str,
) -> None:
    """Also if the replica dies after it has told it, before it puts the plan away."""
    targets = '  timezone: Asia/Seoul\nnotifications: {on_backfill_end: [{type: slack, channel: "#data"}]}\n'
    register(replace={"  timezone: Asia/Seoul\n": targets})
    start(client)
    worker.fails = fails
    plans = worker.services.backfill_steps.plans
    put_away = plans.put_away

    def die(held: StoredPlan) -> None:
        plans.put_away = put_away  # type: ignore[method-assign]
        raise KeyboardInterrupt(held.plan.backfill_id)

    plans.put_away = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        worker.build()
    assert other.look() is None
    (stored,) = store.get_many(info.key for info in store.list(PREFIX)).values()
    assert OutboxEntry.read(stored).notification.title == title
