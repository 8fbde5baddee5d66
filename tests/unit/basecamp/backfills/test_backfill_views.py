"""What a backfill shows of its partitions: dates, or times of a schedule finer than a day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from basecamp.backfills.lookup import record
from dataspec.models import RunStatus
from dataspec.schedule.backfill_plan import BackfillPlan

Register = Callable[..., Response]
NAME, LOW = "sales.daily", "sales.low"
HOURLY = {'"0 9 * * *"': '"0 * * * *"', "Asia/Seoul": "Europe/Berlin", "type: date\n": "type: datetime\n"}
NIGHT = {"start": "2024-10-27", "end": "2024-10-27"}


def started(client: Client, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/workflows/{NAME}/backfills", json=NIGHT | body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = client.get(f"/backfills/{answer.json()['backfill_id']}").json()
    return found


def labels(found: dict[str, Any]) -> list[str]:
    return [found[f"{which}_partition"]["partition_label"] for which in ("first", "last", "current")]


@pytest.mark.rule("14.22")
def test_hours_are_named_by_their_local_time_and_todays_keys_stay(register: Register, client: Client) -> None:
    register(NAME, HOURLY)
    found = started(client, reverse=True)
    assert labels(found) == ["2024-10-27 00:00", "2024-10-27 23:00", "2024-10-27 23:00"]
    assert found["first_partition"]["partition"] == "2024-10-27T00:00+02:00"
    assert found["first_partition"]["run_id"] == f"{found['backfill_id']}_20241026T2200Z"
    assert (found["start"], found["end"]) == ("2024-10-27", "2024-10-27")
    assert (found["current_date"], found["dates_total"]) == ("2024-10-27T23:00+01:00", 25)


@pytest.mark.rule("14.22")
def test_an_hour_that_comes_twice_has_its_offset(register: Register, client: Client) -> None:
    register(NAME, HOURLY)
    one = "2024-10-27T02:00+01:00"
    assert labels(started(client, start=one, end=one)) == ["2024-10-27 02:00+01:00"] * 3


@pytest.mark.rule("14.22")
def test_dates_are_their_own_labels_also_in_a_chain(register: Register, client: Client) -> None:
    register(NAME)
    register(LOW, {"query_file:": f"depends_on: [{NAME}]\nquery_file:"})
    found = started(client, start="2024-01-01", end="2024-01-02", with_downstream=True)
    assert labels(found) == ["2024-01-01", "2024-01-02", "2024-01-01"]


@pytest.mark.rule("14.22")
def test_a_plan_of_an_earlier_version_keeps_the_offset() -> None:
    plan = BackfillPlan(
        backfill_id=f"{NAME}_20240115_093045",
        dataset=NAME,
        start="2024-01-01",
        end="2024-01-01",
        every="partition",
        reverse=False,
        keep_going=False,
        parameters={},
        dates=("2024-01-01T05:00+01:00",),
        requested_by="kim",
        created_at="2024-01-15T09:30:45+00:00",
    )
    shown = record(plan, RunStatus.RUNNING)
    assert shown.span == ("2024-01-01 05:00+01:00", "2024-01-01 05:00+01:00")
    assert (shown.unit, shown.current) == ("partitions", "2024-01-01 05:00+01:00")
