"""Backfills that build a table anew, or take one over: what each run is told, on any server, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.shared.clock import ManualClock
from basecamp.shared.object_reader import ObjectReader
from dataspec.contract import adopts, full_refresh_of
from dataspec.errors import NewerFormat
from dataspec.schedule.backfill_plan import BackfillPlan
from dataspec.spec.full_refresh import FullRefresh
from dataspec.store import MemoryStore
from unit.basecamp.backfills.test_backfills import ID, NAME, Worker, all_runs, other, show, start, worker

__all__ = ["other", "worker"]

Register = Callable[..., Response]
DAILY = "{type: incremental, strategy: replace_partition, partition_column: day}"
APPEND = "{type: incremental, strategy: append}"
DAYS = {"start": "2024-01-01", "end": "2024-01-03"}


def materialized(form: str) -> dict[str, str]:
    return {"query_file: query.sql\n": f"query_file: query.sql\nmaterialization: {form}\n"}


def parts(airflow: MemoryAirflow) -> list[FullRefresh | None]:
    return [full_refresh_of(run.conf) for run in all_runs(airflow)]


def refresh(client: Client, **body: Any) -> Response:
    return start(client, **DAYS, full_refresh=True, **body)


@pytest.mark.rule("14.23")
def test_each_run_knows_whether_it_begins_or_ends_the_new_table_whichever_server_starts_it(
    register: Register, client: Client, worker: Worker, other: Worker, airflow: MemoryAirflow
) -> None:
    register(replace=materialized(DAILY))
    assert refresh(client).status_code == 201
    for server in (worker, other, worker, other, worker, other):
        server.build(times=1)
    worker.build()
    assert parts(airflow) == [
        FullRefresh(ID, begins=True, ends=False),
        FullRefresh(ID, begins=False, ends=False),
        FullRefresh(ID, begins=False, ends=True),
    ]
    assert (show(client)["status"], show(client)["full_refresh"]) == ("COMPLETED", True)


@pytest.mark.rule("14.23")
def test_one_partition_begins_and_ends_the_new_table(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register(replace=materialized(DAILY))
    start(client, start="2024-01-01", end="2024-01-01", full_refresh=True)
    worker.build()
    assert parts(airflow) == [FullRefresh(ID, begins=True, ends=True)]


@pytest.mark.rule("14.24")
def test_a_failed_date_leaves_the_old_table_and_resume_goes_on_with_the_new_one(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register(replace=materialized(DAILY))
    worker.fails = {"2024-01-02"}
    refresh(client, keep_going=True)
    worker.build()
    ended = show(client)
    assert ended["status"] == "FAILED"
    assert ended["error"].endswith("The old table is still in place; --resume goes on with the new one.")
    assert [part.ends for part in parts(airflow) if part] == [False, False, False]
    worker.fails = set()
    worker.clock.advance(60)
    resumed = refresh(client, resume=True).json()
    worker.build()
    assert show(client, resumed["backfill_id"])["status"] == "COMPLETED"
    assert parts(airflow)[3:] == [FullRefresh(ID, begins=False, ends=True)]


@pytest.mark.rule("14.24")
def test_a_full_refresh_does_not_resume_an_ordinary_backfill(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register(replace=materialized(DAILY))
    start(client, **DAYS)
    worker.build()
    worker.clock.advance(60)
    assert refresh(client, resume=True).json()["dates_total"] == 3


@pytest.mark.rule("14.25")
@pytest.mark.parametrize(
    ("form", "more", "reason"),
    [
        (DAILY, {"missing": True}, "A full refresh builds every partition"),
        (DAILY, {"with_downstream": True}, "A full refresh is for one dataset"),
        (None, {}, "has no 'materialization'"),
    ],
)
def test_a_full_refresh_that_can_not_be_is_refused(
    register: Register, client: Client, form: str | None, more: dict[str, Any], reason: str
) -> None:
    register(replace=materialized(form) if form else {})
    answer = refresh(client, **more)
    assert answer.status_code == 400
    assert reason in answer.json()["title"]


@pytest.mark.rule("14.26")
def test_every_run_of_a_backfill_that_adopts_takes_the_table_over(
    register: Register, client: Client, worker: Worker, airflow: MemoryAirflow
) -> None:
    register(replace=materialized(DAILY))
    assert start(client, **DAYS, adopt=True).json()["adopt"] is True
    worker.build()
    assert [adopts(run.conf) for run in all_runs(airflow)] == [True, True, True]


@pytest.mark.rule("14.26")
def test_nothing_is_adopted_without_a_materialization(register: Register, client: Client) -> None:
    register()
    answer = start(client, **DAYS, adopt=True)
    assert (answer.status_code, answer.json()["title"]) == (
        400,
        f"'{NAME}' has no 'materialization', so no run takes over a table.",
    )


@pytest.mark.rule("14.23", "14.26")
@pytest.mark.parametrize("option", ["full_refresh", "adopt"])
def test_a_server_that_does_not_know_the_options_leaves_the_plan_alone(
    register: Register,
    client: Client,
    store: MemoryStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    register(replace=materialized(DAILY))
    asked: dict[str, Any] = DAYS | {option: True}
    start(client, **asked)
    monkeypatch.setattr(BackfillPlan, "FORMAT", 3)
    stored = store.get(f"basecamp/backfills/active/{NAME}.json")
    assert stored is not None
    with pytest.raises(NewerFormat):
        ObjectReader(store, clock).read(BackfillPlan.read, stored)


@pytest.mark.rule("14.27")
@pytest.mark.parametrize(
    ("form", "more", "reason"),
    [
        (
            APPEND,
            {},
            [f"{NAME} is appended to: the rows of a partition that is built already would be in it twice."],
        ),
        (DAILY, {}, []),
        (
            DAILY,
            {"full_refresh": True},
            [f"After the last partition a new table replaces {NAME}: it has the rows of these 3 alone."],
        ),
    ],
)
def test_a_preview_says_what_a_user_confirms(
    register: Register, client: Client, form: str, more: dict[str, Any], reason: list[str]
) -> None:
    register(replace=materialized(form))
    assert start(client, **DAYS, dry_run=True, **more).json()["to_confirm"] == reason


@pytest.mark.rule("14.28")
def test_a_preview_shows_how_the_last_date_puts_the_new_table_in_place(
    register: Register, client: Client
) -> None:
    dialect = {"schedule:\n": "execution: {dialect: postgres}\nschedule:\n"}
    register(replace=materialized(APPEND) | dialect)
    shown = refresh(client, dry_run=True).json()
    assert shown["warnings"] == []
    text = "\n".join(shown["publishing"])
    steps = [
        "clicks WHERE day = '2024-01-03'",
        'insert into "sales"."__dli_new_<hash>"',
        'drop table "sales"."daily"',
        'alter table "sales"."__dli_new_<hash>" rename to "daily"',
    ]
    places = [text.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)
